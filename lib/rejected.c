/* A line of rejected/2026-11-23.jsonl:
 *
 *   {"received_at":"...","key":"9f86d081","signature":"sha256=...","reason":"meta.request_id is
 * missing","body":"<base64>"}
 *
 * The body is in base64 (RFC 4648, section 4) because it need not be JSON, or text at all. */
#include "rejected.h"

#include "append.h"
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

static int compose(struct rejected *rejected, struct entry *const entries[], size_t count,
                   struct reason *reason) {
    size_t size = 1; /* the NUL after the last line */
    for (size_t i = 0; i < count; i++)
        if (entries[i]->event == NULL)
            size += line_size(entries[i]);
    rejected->text = malloc(size);
    if (rejected->text == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory to keep a rejected delivery");
    for (size_t i = 0; i < count; i++)
        if (entries[i]->event == NULL)
            rejected->length +=
                write_line(entries[i], rejected->text + rejected->length, size - rejected->length);
    return 0;
}

/* Opens the day's file; before its first line, its name and that of its directory are made durable. */
static int open_file(int journal, int32_t day, struct stat *status, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    if (mkdirat(journal, "rejected", 0700) != 0 && errno != EEXIST)
        return fail(reason, ERROR_TROUBLE, "cannot make rejected/: %s", strerror(errno));
    int directory = openat(journal, "rejected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = directory < 0 ? -1 : openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool durable = file >= 0 && fstat(file, status) == 0 &&
                   (status->st_size > 0 || (fsync(directory) == 0 && fsync(journal) == 0));
    if (!durable) {
        explain(reason, "cannot open rejected/%s: %s", name, strerror(errno));
        if (file >= 0)
            close(file);
        file = ERROR_TROUBLE;
    }
    if (directory >= 0)
        close(directory);
    return file;
}

static struct append as_append(const struct rejected *rejected, struct iovec *part) {
    *part = (struct iovec){.iov_base = rejected->text, .iov_len = rejected->length};
    return (struct append){.file = rejected->file, .at = rejected->at, .parts = part, .count = 1};
}

int rejected_write(struct rejected *rejected, int directory, int32_t day, struct entry *const entries[],
                   size_t count, struct reason *reason) {
    struct stat status;
    struct iovec part;
    *rejected = (struct rejected){.file = -1};
    int result = compose(rejected, entries, count, reason);
    if (result != 0)
        return result;
    rejected->file = open_file(directory, day, &status, reason);
    if (rejected->file < 0)
        return rejected->file;
    result = append_end(rejected->file, (uint64_t)status.st_size, &rejected->at, reason);
    if (result == 0 && rejected->at < (uint64_t)status.st_size &&
        ftruncate(rejected->file, (off_t)rejected->at) != 0)
        result = fail(reason, ERROR_TROUBLE, "cannot cut off the torn end of rejected/: %s", strerror(errno));
    struct append append = as_append(rejected, &part);
    return result == 0 ? append_write(&append, reason) : result;
}

int rejected_finish(struct rejected *rejected, int result, struct reason *reason) {
    struct iovec part;
    struct append append = as_append(rejected, &part);
    if (result == 0 && append_sync(&append, reason) == SYNC_FAILED)
        result = ERROR_TROUBLE;
    if (rejected->file >= 0)
        close(rejected->file);
    free(rejected->text);
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
