/* A line of rejected/2026-11-23.jsonl:
 *
 *   {"received_at":"...","key":"9f86d081","signature":"sha256=...","reason":"meta.request_id is
 * missing","body":"<base64>"}
 *
 * The body is in base64 (RFC 4648, section 4) because it need not be JSON, or text at all. */
#define _GNU_SOURCE /* memrchr */
#include "rejected.h"

#include "append.h"
#include "quote.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
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

/* Where the last whole line ends: what a killed writer left behind it was never acknowledged. */
static int find_end(int file, uint64_t size, uint64_t *end, struct reason *reason) {
    char window[4096];
    for (*end = size; *end > 0;) {
        size_t length = *end < sizeof window ? (size_t)*end : sizeof window;
        if (pread(file, window, length, (off_t)(*end - length)) != (ssize_t)length)
            return fail(reason, ERROR_TROUBLE, "cannot read the end of rejected/: %s", strerror(errno));
        const char *line_break = memrchr(window, '\n', length);
        if (line_break != NULL) {
            *end -= length - (size_t)(line_break + 1 - window);
            return 0;
        }
        *end -= length;
    }
    return 0;
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
    result = find_end(rejected->file, (uint64_t)status.st_size, &rejected->at, reason);
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
