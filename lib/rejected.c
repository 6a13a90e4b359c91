/* A line of rejected/2026-11-23.jsonl:
 *
 *   {"received_at":"...","key":"9f86d081","signature":"sha256=...","reason":"meta.request_id is
 * missing","body":"<base64>"}
 *
 * The body is in base64 (RFC 4648, section 4) because it need not be JSON, or text at all. */
#define _GNU_SOURCE /* memmem */
#include "rejected.h"

#include "append.h"
#include "directory.h"
#include "quote.h"
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

#define FRAME 512 /* the names of the members, and those values that have a fixed length */

static size_t line_size(const struct entry *entry) {
    return FRAME + QUOTE_SIZE(strlen(entry->rejection)) +
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

/* Lays out the lines, after a line break if the file does not end with one: what a killed writer has left
 * there stays, as a line that cannot be read. */
static int compose(struct rejected *rejected, bool torn, struct entry *const entries[], size_t count,
                   uint64_t offset[], struct reason *reason) {
    size_t size = 2; /* that line break, and the NUL after the last line */
    for (size_t i = 0; i < count; i++)
        size += line_size(entries[i]);
    rejected->text = malloc(size);
    if (rejected->text == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory to keep a rejected delivery");
    if (torn)
        rejected->text[rejected->length++] = '\n';
    for (size_t i = 0; i < count; i++) {
        offset[i] = rejected->at + rejected->length;
        rejected->length +=
            write_line(entries[i], rejected->text + rejected->length, size - rejected->length);
    }
    return 0;
}

/* Opens the day's file; before its first line, its name is made durable, and that of rejected/. */
static int open_file(struct rejected *rejected, int journal, int32_t day, bool *torn, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE], last = '\n';
    struct stat status;
    segment_name(day, name);
    int directory = directory_within(journal, "rejected", true, reason);
    if (directory < 0)
        return directory;
    int file = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool good = file >= 0 && fstat(file, &status) == 0 &&
                (status.st_size > 0 || (fsync(directory) == 0 && fsync(journal) == 0)) &&
                (status.st_size == 0 || pread(file, &last, 1, status.st_size - 1) == 1);
    int result = good ? 0 : fail(reason, ERROR_TROUBLE, "cannot open rejected/%s: %s", name, strerror(errno));
    close(directory);
    rejected->file = file;
    rejected->at = good ? (uint64_t)status.st_size : 0;
    *torn = last != '\n';
    return result;
}

static struct append as_append(const struct rejected *rejected, struct iovec *part) {
    *part = (struct iovec){.iov_base = rejected->text, .iov_len = rejected->length};
    return (struct append){.file = rejected->file, .at = rejected->at, .parts = part, .count = 1};
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
    if (result == 0 && rejected->file >= 0 && append_sync(&append, reason) == SYNC_FAILED)
        result = ERROR_TROUBLE;
    if (rejected->file >= 0)
        close(rejected->file);
    free(rejected->text);
    return result;
}

/* ---- looking up ---- */

#define LINE_START "{\"received_at\":\""
#define SIGNATURE "\"signature\":\""

/* The signature of a line, or NULL if it does not begin as one; it stands near the beginning. */
static const char *signature_of(const char *line, size_t length) {
    size_t near = length < FRAME ? length : FRAME;
    if (length < sizeof LINE_START || memcmp(line, LINE_START, sizeof LINE_START - 1) != 0)
        return NULL;
    const char *at = memmem(line, near, SIGNATURE, sizeof SIGNATURE - 1);
    at = at != NULL ? at + sizeof SIGNATURE - 1 : NULL;
    return at != NULL && (size_t)(line + near - at) >= SIGNATURE_TEXT_SIZE ? at : NULL;
}

/* Opens the file of a day in rejected/. */
static int open_day(int journal, int32_t day, int flags, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    int directory = directory_within(journal, "rejected", false, reason);
    if (directory < 0)
        return directory;
    int file = openat(directory, name, flags | O_CLOEXEC);
    if (file < 0)
        file = fail(reason, errno == ENOENT ? ERROR_INVALID : ERROR_TROUBLE, "cannot open rejected/%s: %s",
                    name, strerror(errno));
    close(directory);
    return file;
}

int rejected_holds(int directory, struct place place, const char *signature, struct reason *reason) {
    char text[FRAME];
    int file = open_day(directory, place.day, O_RDONLY, reason);
    if (file < 0)
        return file == ERROR_INVALID ? 0 : file;
    ssize_t got = pread(file, text, sizeof text, (off_t)place.offset);
    int result = got >= 0 ? 0 : fail(reason, ERROR_TROUBLE, "cannot read rejected/: %s", strerror(errno));
    close(file);
    const char *found = got > 0 ? signature_of(text, (size_t)got) : NULL;
    return found != NULL && memcmp(found, signature, SIGNATURE_TEXT_SIZE - 1) == 0 ? 1 : result;
}

int rejected_open(int directory, struct place place, struct reason *reason) {
    char bytes[4096];
    const char *line_break = NULL;
    int file = open_day(directory, place.day, O_RDWR, reason);
    for (off_t at = (off_t)place.offset; file >= 0 && line_break == NULL;) {
        ssize_t got = pread(file, bytes, sizeof bytes, at);
        line_break =
            got > 0 ? memchr(bytes, '\n', (size_t)got) : bytes; /* at the end of the file that is all */
        size_t length =
            got > 0 && line_break != NULL ? (size_t)(line_break + 1 - bytes) : (size_t)(got > 0 ? got : 0);
        if (got < 0 || pwrite(file, bytes, length, at) != (ssize_t)length) {
            explain(reason, "cannot write to rejected/: %s", strerror(errno));
            close(file);
            return ERROR_TROUBLE;
        }
        at += got;
    }
    return file < 0 ? ERROR_TROUBLE : file;
}

/* Visits the lines of one open file from `offset` on. */
static int scan_file(FILE *file, struct place *from,
                     int (*visit)(void *context, const char *signature, struct place place,
                                  struct reason *reason),
                     void *context, struct reason *reason) {
    char *line = NULL, text[SIGNATURE_TEXT_SIZE];
    size_t size = 0;
    ssize_t length = 0;
    int result = fseeko(file, (off_t)from->offset, SEEK_SET);
    while (result == 0 && (length = getline(&line, &size, file)) > 0 && line[length - 1] == '\n') {
        const char *signature = signature_of(line, (size_t)length);
        if (signature != NULL) {
            snprintf(text, sizeof text, "%.*s", (int)sizeof text - 1, signature);
            result = visit(context, text, *from, reason);
        }
        from->offset += result == 0 ? (uint64_t)length : 0;
    }
    if (result == 0 && ferror(file))
        result = fail(reason, ERROR_TROUBLE, "cannot read rejected/: %s", strerror(errno));
    free(line);
    return result;
}

/* Visits the lines of a day's file, which it closes. */
static int scan_day(int file, struct place *from,
                    int (*visit)(void *context, const char *signature, struct place place,
                                 struct reason *reason),
                    void *context, struct reason *reason) {
    struct stat status;
    int result = fstat(file, &status);
    if (result == 0 && (uint64_t)status.st_size <= from->offset) {
        close(file);
        return 0;
    }
    FILE *stream = result == 0 ? fdopen(file, "r") : NULL;
    if (stream == NULL) {
        result = fail(reason, ERROR_TROUBLE, "cannot read rejected/: %s", strerror(errno));
        close(file);
        return result;
    }
    result = scan_file(stream, from, visit, context, reason);
    fclose(stream);
    return result;
}

int rejected_scan(int directory, struct place *from,
                  int (*visit)(void *context, const char *signature, struct place place,
                               struct reason *reason),
                  void *context, struct reason *reason) {
    int32_t first = 0, last = -1;
    int rejected = directory_within(directory, "rejected", false, reason);
    if (rejected < 0)
        return rejected == ERROR_INVALID ? 0 : rejected;
    int result = segment_range(rejected, from->day, DAY_MAX, &first, &last, reason);
    int32_t day = result > 0 && from->day < first ? first : from->day;
    for (result = result < 0 ? result : 0; result == 0 && day <= last; day++) {
        int file = segment_open(rejected, day, false, reason);
        if (file < 0 && file != ERROR_INVALID)
            result = file;
        if (file < 0)
            continue;
        if (day != from->day)
            *from = (struct place){.day = day};
        result = scan_day(file, from, visit, context, reason);
    }
    close(rejected);
    return result;
}

/* ---- reading ---- */

/* More than a line can be: the body in base64, and the rest. */
#define LINE_LIMIT (2 * BODY_LIMIT + FRAME + QUOTE_SIZE(sizeof(struct reason)))

struct visitor {
    int64_t since, until;
    int (*visit)(void *context, const struct rejection *rejection);
    void *context;
    bool skipping; /* a line that is too long */
    size_t filled;
    char window[LINE_LIMIT];
    unsigned char body[BODY_LIMIT];
};

static const char *text_of(struct json_object *line, const char *name) {
    struct json_object *value;
    return json_object_object_get_ex(line, name, &value) && json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : NULL;
}

static bool parse_line(struct visitor *visitor, struct json_object *line, struct rejection *rejection) {
    const char *at = text_of(line, "received_at");
    const char *body = text_of(line, "body");
    rejection->key = text_of(line, "key");
    rejection->signature = text_of(line, "signature");
    rejection->reason = text_of(line, "reason");
    if (at == NULL || body == NULL || rejection->key == NULL || rejection->signature == NULL ||
        rejection->reason == NULL || timestamp_parse(at, strlen(at), &rejection->received_at) != 0 ||
        sodium_base642bin(visitor->body, sizeof visitor->body, body, strlen(body), NULL, &rejection->length,
                          NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    rejection->body = (const char *)visitor->body;
    return true;
}

/* Visits the line at text[0..length), whose line break has become a NUL; NULL: it was too long to be one. */
static int visit_line(struct visitor *visitor, const char *text, struct rejection *rejection) {
    struct json_object *line = text != NULL ? json_tokener_parse(text) : NULL;
    int result = 0;
    rejection->line++;
    if (!parse_line(visitor, line, rejection)) {
        *rejection = (struct rejection){
            .day = rejection->day, .line = rejection->line, .reason = "a damaged line of rejected/"};
        result = visitor->visit(visitor->context, rejection);
    } else if (rejection->received_at >= visitor->since && rejection->received_at < visitor->until)
        result = visitor->visit(visitor->context, rejection);
    json_object_put(line);
    return result;
}

/* Visits the whole lines of what is in the window, and keeps the rest of it for later. What fills the window
 * without a line break is damage, and is skipped up to the next one. */
static int visit_window(struct visitor *visitor, struct rejection *rejection) {
    char *text = visitor->window;
    char *end = text + visitor->filled;
    char *line_break;
    int result = 0;
    while (result == 0 && (line_break = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        *line_break = '\0';
        result = visit_line(visitor, visitor->skipping ? NULL : text, rejection);
        visitor->skipping = false;
        text = line_break + 1;
    }
    visitor->filled = (size_t)(end - text);
    if (visitor->filled == sizeof visitor->window) {
        visitor->skipping = true;
        visitor->filled = 0;
    }
    memmove(visitor->window, text, visitor->filled);
    return result;
}

static int visit_file(struct visitor *visitor, int directory, int32_t day, struct reason *reason) {
    struct rejection rejection = {.day = day};
    ssize_t got = 0;
    int result = 0;
    int file = segment_open(directory, day, false, reason);
    if (file < 0)
        return file == ERROR_INVALID ? 0 : ERROR_TROUBLE;
    visitor->filled = 0;
    visitor->skipping = false;
    while (result == 0 && (got = read(file, visitor->window + visitor->filled,
                                      sizeof visitor->window - visitor->filled)) > 0) {
        visitor->filled += (size_t)got;
        result = visit_window(visitor, &rejection);
    }
    if (got < 0)
        result = fail(reason, ERROR_TROUBLE, "cannot read rejected/: %s", strerror(errno));
    else if (result == 0 && visitor->skipping)
        result = visit_line(visitor, NULL, &rejection);
    close(file);
    return result;
}

int rejected_each(int directory, int64_t since, int64_t until,
                  int (*visit)(void *context, const struct rejection *rejection), void *context,
                  struct reason *reason) {
    int32_t first, last;
    int rejected = openat(directory, "rejected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rejected < 0)
        return errno == ENOENT ? 0
                               : fail(reason, ERROR_TROUBLE, "cannot open rejected/: %s", strerror(errno));
    int result = segment_range(rejected, 0, DAY_MAX, &first, &last, reason);
    struct visitor *visitor = malloc(sizeof *visitor);
    if (visitor == NULL)
        result = fail(reason, ERROR_TROUBLE, "no memory to read rejected/");
    if (result > 0) {
        visitor->since = since;
        visitor->until = until;
        visitor->visit = visit;
        visitor->context = context;
        result = 0;
        for (int32_t day = first; day <= last && result == 0; day++)
            result = visit_file(visitor, rejected, day, reason);
    }
    free(visitor);
    close(rejected);
    return result;
}
