/* A line of rejected/2026-11-23.jsonl:
 *
 *   {"received_at":"...","key":"9f86d081","signature":"sha256=...",
 *    "reason":"meta.request_id is missing","body":"<base64>"}
 *
 * The body is in base64 (RFC 4648, section 4) because it may be neither JSON nor text. */
#define _GNU_SOURCE /* memmem */
#include "rejected.h"

#include "append.h"
#include "directory.h"
#include "hole.h"
#include "quote.h"
#include "regular.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OVERHEAD 512 /* the member names, and the values of fixed length */

/* The length limit of a line: the base64 body and the rest. */
#define LINE_LIMIT (2 * BODY_LIMIT + OVERHEAD + QUOTE_SIZE(sizeof(struct reason)))

static size_t line_size(const struct entry *entry) {
    return OVERHEAD + QUOTE_SIZE(strlen(entry->rejection)) +
           sodium_base64_encoded_len(entry->length, sodium_base64_VARIANT_ORIGINAL);
}

static size_t write_line(const struct entry *entry, char *out, size_t size) {
    char at[TIMESTAMP_SIZE];
    timestamp_format(entry->received_at, at);
    size_t used = (size_t)snprintf(
        out, size, "{\"received_at\":\"%s\",\"key\":\"%s\",\"signature\":\"%s\",\"reason\":", at, entry->key,
        entry->signature);
    used += quote(out + used, size - used, entry->rejection, strlen(entry->rejection));
    used += (size_t)snprintf(out + used, size - used, ",\"body\":\"");
    sodium_bin2base64(out + used, size - used, (const unsigned char *)entry->body, entry->length,
                      sodium_base64_VARIANT_ORIGINAL);
    used += strlen(out + used);
    return used + (size_t)snprintf(out + used, size - used, "\"}\n");
}

/* Formats the lines, after a line break if the file does not end with one: what a killed writer left there
 * remains as an unreadable line. */
static int compose(struct rejected *rejected, bool torn, struct entry *const entries[], size_t count,
                   uint64_t offset[], struct reason *reason) {
    size_t size = 2; /* that line break, and the final NUL */
    for (size_t i = 0; i < count; i++)
        size += line_size(entries[i]);
    rejected->text = malloc(size);
    if (rejected->text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to store a rejected delivery");
    if (torn)
        rejected->text[rejected->length++] = '\n';
    for (size_t i = 0; i < count; i++) {
        offset[i] = rejected->at + rejected->length;
        rejected->length +=
            write_line(entries[i], rejected->text + rejected->length, size - rejected->length);
    }
    return 0;
}

/* Opens the day's file. Before its first line, makes the directory entries of the file and of rejected/
 * durable. */
static int open_file(struct rejected *rejected, int journal, int32_t day, bool *torn, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE], last = '\n';
    struct stat status;
    segment_name(day, name);
    int directory = directory_open_subdirectory(journal, "rejected", true, reason);
    if (directory < 0)
        return directory;
    int fd = regular_open(directory, name, O_RDWR | O_CREAT, reason);
    if (fd < 0) {
        close(directory);
        return ERROR_SYSTEM;
    }
    bool good = fstat(fd, &status) == 0 &&
                (status.st_size > 0 || (fsync(directory) == 0 && fsync(journal) == 0)) &&
                (status.st_size == 0 || pread(fd, &last, 1, status.st_size - 1) == 1);
    int result = good ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot open rejected/%s: %s", name, strerror(errno));
    close(directory);
    rejected->fd = fd;
    rejected->at = good ? (uint64_t)status.st_size : 0;
    *torn = last != '\n';
    return result;
}

static struct append as_append(const struct rejected *rejected, struct iovec *part) {
    *part = (struct iovec){.iov_base = rejected->text, .iov_len = rejected->length};
    return (struct append){.fd = rejected->fd, .at = rejected->at, .parts = part, .count = 1};
}

int rejected_write(struct rejected *rejected, int directory, int32_t day, struct entry *const entries[],
                   size_t count, uint64_t offset[], struct reason *reason) {
    struct iovec part;
    bool torn;
    int result = open_file(rejected, directory, day, &torn, reason);
    if (result == 0)
        result = compose(rejected, torn, entries, count, offset, reason);
    struct append append = as_append(rejected, &part);
    return result == 0 ? append_write(&append, reason) : result;
}

int rejected_finish(struct rejected *rejected, int result, struct reason *reason) {
    struct iovec part;
    struct append append = as_append(rejected, &part);
    if (result == 0 && rejected->fd >= 0 && append_sync(&append, reason) == SYNC_FAILED)
        result = ERROR_SYSTEM;
    if (rejected->fd >= 0)
        close(rejected->fd);
    free(rejected->text);
    return result;
}

/* ---- looking up ---- */

#define LINE_START "{\"received_at\":\""
#define SIGNATURE "\"signature\":\""

/* Finds the signature, which is near the start of a line. Returns NULL if it is not a line of ours. */
static const char *signature_of(const char *line, size_t length) {
    size_t near = length < OVERHEAD ? length : OVERHEAD;
    if (length < sizeof LINE_START || memcmp(line, LINE_START, sizeof LINE_START - 1) != 0)
        return NULL;
    const char *at = memmem(line, near, SIGNATURE, sizeof SIGNATURE - 1);
    at = at != NULL ? at + sizeof SIGNATURE - 1 : NULL;
    return at != NULL && (size_t)(line + near - at) >= SIGNATURE_TEXT_SIZE ? at : NULL;
}

static int open_day(int journal, int32_t day, int flags, struct reason *reason) {
    char path[sizeof "rejected/" + SEGMENT_NAME_SIZE] = "rejected/";
    segment_name(day, path + strlen(path));
    int fd = regular_open(journal, path, flags, reason);
    return fd == ERROR_DAMAGED ? ERROR_SYSTEM : fd;
}

int rejected_holds(int directory, struct position position, const char *signature, struct reason *reason) {
    char text[OVERHEAD];
    int fd = open_day(directory, position.day, O_RDONLY, reason);
    if (fd < 0)
        return fd == ERROR_INVALID ? 0 : fd;
    ssize_t got = pread(fd, text, sizeof text, (off_t)position.offset);
    int result = got >= 0 ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot read rejected/: %s", strerror(errno));
    close(fd);
    const char *found = got > 0 ? signature_of(text, (size_t)got) : NULL;
    return found != NULL && memcmp(found, signature, SIGNATURE_TEXT_SIZE - 1) == 0 ? 1 : result;
}

int rejected_open(int directory, struct position position, struct reason *reason) {
    char bytes[4096];
    const char *line_break = NULL;
    int fd = open_day(directory, position.day, O_RDWR, reason);
    uint64_t at = position.offset;
    while (fd >= 0 && line_break == NULL && at < position.offset + LINE_LIMIT) {
        ssize_t got = pread(fd, bytes, sizeof bytes, (off_t)at);
        line_break =
            got > 0 ? memchr(bytes, '\n', (size_t)got) : bytes; /* the end of the file ends the line too */
        size_t length =
            got > 0 && line_break != NULL ? (size_t)(line_break + 1 - bytes) : (size_t)(got > 0 ? got : 0);
        if (got < 0 || pwrite(fd, bytes, length, (off_t)at) != (ssize_t)length) {
            explain(reason, "cannot write to rejected/: %s", strerror(errno));
            close(fd);
            return ERROR_SYSTEM;
        }
        at += (uint64_t)got;
    }
    return fd < 0 ? ERROR_SYSTEM : fd;
}

/* ---- reading ---- */

/* Visits the complete lines of a day's file starting at *from, and moves *from past each. The line break
 * is replaced by a NUL. The text is NULL if it is too long to be a line. */
static int visit_lines(int fd, struct position *from,
                       int (*visit)(void *context, const char *text, struct position position), void *context,
                       struct reason *reason) {
    static char window[LINE_LIMIT];
    uint64_t at = from->offset; /* of the end of the window's content */
    size_t filled = 0;
    bool too_long = false;
    ssize_t got = 0;
    int result = 0;
    while (result == 0 && (got = pread(fd, window + filled, sizeof window - filled, (off_t)at)) > 0) {
        char *text = window, *end = window + filled + got, *line_break;
        at += (uint64_t)got;
        while (result == 0 && (line_break = memchr(text, '\n', (size_t)(end - text))) != NULL) {
            *line_break = '\0';
            result = visit(context, too_long ? NULL : text, *from);
            too_long = false;
            text = line_break + 1;
            if (result == 0)
                from->offset = at - (uint64_t)(end - text);
        }
        filled = (size_t)(end - text);
        if (filled == sizeof window) {
            too_long = true;
            filled = 0;
            at = hole_end(fd, at);
        }
        memmove(window, text, filled);
    }
    if (got < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read rejected/: %s", strerror(errno));
    return result == 0 && too_long ? visit(context, NULL, *from) : result;
}

/* Visits the lines of all days starting at *from. */
static int visit_days(int directory, struct position *from,
                      int (*visit)(void *context, const char *text, struct position position), void *context,
                      struct reason *reason) {
    int32_t first = 0, last = -1;
    int rejected = directory_open_subdirectory(directory, "rejected", false, reason);
    if (rejected < 0)
        return rejected == ERROR_INVALID ? 0 : rejected;
    int result = segment_range(rejected, from->day, DAY_MAX, &first, &last, reason);
    result = result < 0 ? result : 0;
    for (int32_t day = first; result == 0 && day <= last; day++) {
        int fd = segment_open(rejected, day, false, reason);
        if (fd < 0) {
            result = fd == ERROR_INVALID ? 0 : fd;
            continue;
        }
        if (day != from->day)
            *from = (struct position){.day = day};
        result = visit_lines(fd, from, visit, context, reason);
        close(fd);
    }
    close(rejected);
    return result;
}

struct scanner {
    int (*visit)(void *context, const char *signature, struct position position);
    void *context;
};

static int scan_line(void *context, const char *text, struct position position) {
    const struct scanner *scanner = context;
    char signature[SIGNATURE_TEXT_SIZE];
    const char *found = text != NULL ? signature_of(text, strnlen(text, OVERHEAD)) : NULL;
    if (found == NULL)
        return 0;
    snprintf(signature, sizeof signature, "%.*s", (int)sizeof signature - 1, found);
    return scanner->visit(scanner->context, signature, position);
}

int rejected_scan(int directory, struct position *from,
                  int (*visit)(void *context, const char *signature, struct position position), void *context,
                  struct reason *reason) {
    struct scanner scanner = {.visit = visit, .context = context};
    return visit_days(directory, from, scan_line, &scanner, reason);
}

struct visitor {
    int64_t since, until;
    int (*visit)(void *context, const struct rejection *rejection);
    void *context;
    struct rejection rejection;
};

static const char *text_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : NULL;
}

static bool parse_line(struct json_object *line, struct rejection *rejection) {
    static unsigned char bytes[BODY_LIMIT];
    const char *at = text_of(line, "received_at");
    const char *body = text_of(line, "body");
    rejection->key = text_of(line, "key");
    rejection->signature = text_of(line, "signature");
    rejection->reason = text_of(line, "reason");
    rejection->body = (const char *)bytes;
    return at != NULL && body != NULL && rejection->key != NULL && rejection->signature != NULL &&
           rejection->reason != NULL && timestamp_parse(at, strlen(at), &rejection->received_at) == 0 &&
           sodium_base642bin(bytes, sizeof bytes, body, strlen(body), NULL, &rejection->length, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0;
}

static int read_line(void *context, const char *text, struct position position) {
    struct visitor *visitor = context;
    struct rejection *rejection = &visitor->rejection;
    struct json_object *line = text != NULL ? json_tokener_parse(text) : NULL;
    int result = 0;
    rejection->line = rejection->day == position.day ? rejection->line + 1 : 1;
    rejection->day = position.day;
    if (!parse_line(line, rejection)) {
        *rejection = (struct rejection){
            .day = rejection->day, .line = rejection->line, .reason = "damaged line in rejected/"};
        result = visitor->visit(visitor->context, rejection);
    } else if (rejection->received_at >= visitor->since && rejection->received_at < visitor->until)
        result = visitor->visit(visitor->context, rejection);
    json_object_put(line);
    return result;
}

int rejected_each(int directory, int64_t since, int64_t until,
                  int (*visit)(void *context, const struct rejection *rejection), void *context,
                  struct reason *reason) {
    struct visitor visitor = {.since = since, .until = until, .visit = visit, .context = context};
    struct position from = {0};
    return visit_days(directory, &from, read_line, &visitor, reason);
}
