/* Segments are named 2026-11-23.jsonl, so that names sort like days. A segment that is empty may have a
 * directory entry that is not durable yet (its maker was killed); whoever writes the first line syncs the
 * directory before. From then on a writer need not ask. */
#define _GNU_SOURCE /* memrchr */
#include "segment.h"

#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_BACK 4096 /* a first look at the end of a segment: two lines and more, as a rule */

void segment_name(int32_t day, char out[SEGMENT_NAME_SIZE]) {
    day_format(day, out);
    memcpy(out + DAY_SIZE - 1, ".jsonl", sizeof ".jsonl");
}

int segment_open(int directory, int32_t day, bool append, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    int file = openat(directory, name, (append ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (file >= 0)
        return file;
    return fail(reason, errno == ENOENT ? ERROR_INVALID : ERROR_TROUBLE, "cannot open the segment %s: %s",
                name, strerror(errno));
}

int segment_create(int directory, int32_t day, struct reason *reason) {
    char name[SEGMENT_NAME_SIZE];
    struct stat status;
    segment_name(day, name);
    int file = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(reason, ERROR_TROUBLE, "cannot make the segment %s: %s", name, strerror(errno));
    if (fstat(file, &status) == 0 && (status.st_size > 0 || fsync(directory) == 0))
        return file;
    explain(reason, "cannot make the segment %s durable: %s", name, strerror(errno));
    close(file);
    return ERROR_TROUBLE;
}

static DIR *open_directory(int directory) {
    int file = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = file < 0 ? NULL : fdopendir(file);
    if (stream == NULL && file >= 0)
        close(file);
    return stream;
}

int segment_range(int directory, int32_t from, int32_t to, int32_t *first, int32_t *last,
                  struct reason *reason) {
    DIR *stream = open_directory(directory);
    if (stream == NULL)
        return fail(reason, ERROR_TROUBLE, "cannot list the journal: %s", strerror(errno));
    int found = 0;
    const struct dirent *entry;
    while ((errno = 0, entry = readdir(stream)) != NULL) {
        int32_t day;
        if (strlen(entry->d_name) != SEGMENT_NAME_SIZE - 1 ||
            strcmp(entry->d_name + DAY_SIZE - 1, ".jsonl") != 0 ||
            day_parse(entry->d_name, DAY_SIZE - 1, &day) != 0 || day < from || day > to)
            continue;
        *first = found && *first < day ? *first : day;
        *last = found && *last > day ? *last : day;
        found = 1;
    }
    if (errno != 0)
        found = fail(reason, ERROR_TROUBLE, "cannot list the journal: %s", strerror(errno));
    closedir(stream);
    return found;
}

/* What segment_mend() knows while it works. */
struct tail {
    int file;
    uint64_t size;
    char *text; /* the last `length` bytes of the segment, with room for one more */
    size_t length;
};

static int read_tail(struct tail *tail, size_t length, struct reason *reason) {
    tail->length = length < tail->size ? length : (size_t)tail->size;
    char *text = realloc(tail->text, tail->length + 1);
    if (text == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory to read the journal");
    tail->text = text;
    for (size_t filled = 0; filled < tail->length;) {
        ssize_t got = pread(tail->file, text + filled, tail->length - filled,
                            (off_t)(tail->size - tail->length + filled));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(reason, ERROR_TROUBLE, "cannot read the end of the journal: %s",
                        got < 0 ? strerror(errno) : "it is shorter than its size says");
        filled += (size_t)got;
    }
    return 0;
}

/* The start of the last line but one within the tail, as an index into it; or 0, the start of the segment; or
 * -1 where the tail does not reach back so far. */
static ptrdiff_t start_of_scan(const struct tail *tail) {
    const char *at = tail->text + tail->length;
    for (int breaks = 0; breaks < 3; breaks++) {
        at = memrchr(tail->text, '\n', (size_t)(at - tail->text));
        if (at == NULL)
            return tail->length == tail->size ? 0 : -1;
    }
    return at + 1 - tail->text;
}

/* Scans the lines from index `start` of the tail on. Returns the index after the last whole line. */
static size_t scan_lines(const struct tail *tail, size_t start, struct link *link) {
    struct record record;
    size_t used;
    while (record_scan(tail->text + start, tail->length - start, link, &record, &used) != SCAN_INCOMPLETE)
        start += used;
    return start;
}

/* Is what stands after the last line break a whole line, if that break is put right at `length`? */
static bool is_whole(struct tail *tail, size_t start, size_t length, struct link *link) {
    struct link next = *link;
    struct record record;
    size_t used;
    if (!link->known || length == 0)
        return false;
    char saved = tail->text[start + length];
    tail->text[start + length] = '\n';
    if (record_scan(tail->text + start, length + 1, &next, &record, &used) != SCAN_RECORD ||
        used != length + 1) {
        tail->text[start + length] = saved;
        return false;
    }
    *link = next;
    return true;
}

/* Completes or cuts what stands after the last line break. */
static int mend_remainder(struct tail *tail, size_t start, struct link *link, uint64_t *end,
                          struct reason *reason) {
    size_t length = tail->length - start;
    *end = tail->size - length;
    if (length == 0)
        return 0;
    if (is_whole(tail, start, length, link) || is_whole(tail, start, --length, link)) {
        if (pwrite(tail->file, "\n", 1, (off_t)(*end + length)) != 1)
            return fail(reason, ERROR_TROUBLE, "cannot complete the last line of the journal: %s",
                        strerror(errno));
        *end += length + 1;
        return 0;
    }
    if (ftruncate(tail->file, (off_t)*end) != 0)
        return fail(reason, ERROR_TROUBLE, "cannot cut off the torn end of the journal: %s", strerror(errno));
    return 0;
}

/* Where the end is too damaged for a short look, the whole segment is read. */
static int scan_segment(struct tail *tail, struct link *link, struct reason *reason) {
    struct reader *reader = malloc(sizeof *reader);
    if (reader == NULL)
        return fail(reason, ERROR_TROUBLE, "no memory to read the journal");
    enum scan scan;
    struct record record;
    uint64_t offset;
    int result;
    *link = (struct link){.known = false};
    reader_start(reader, tail->file, 0, *link);
    while ((result = reader_next(reader, &scan, &record, &offset, reason)) > 0)
        *link = reader_link(reader);
    free(reader);
    return result;
}

/* Bytes after the last line break that are more than any line can have: nothing to complete, the segment is
 * cut there. */
static int cut_overlong(struct tail *tail, struct reason *reason) {
    while (tail->size > 0) {
        int result = read_tail(tail, RECORD_LIMIT, reason);
        if (result != 0)
            return result;
        const char *line_break = memrchr(tail->text, '\n', tail->length);
        if (line_break == NULL && tail->length < tail->size) {
            tail->size -= tail->length;
            continue;
        }
        tail->size -=
            line_break == NULL ? tail->length : (size_t)(tail->text + tail->length - 1 - line_break);
        break;
    }
    if (ftruncate(tail->file, (off_t)tail->size) != 0)
        return fail(reason, ERROR_TROUBLE, "cannot cut off the torn end of the journal: %s", strerror(errno));
    return 0;
}

static int find_end(struct tail *tail, struct link *link, uint64_t *end, struct reason *reason) {
    ptrdiff_t start = -1;
    for (size_t length = LOOK_BACK; start < 0; length *= 4) {
        int result = read_tail(tail, length, reason);
        if (result != 0)
            return result;
        start = start_of_scan(tail);
        if (start < 0 && tail->length > 3 * RECORD_LIMIT)
            break;
    }
    if (start < 0 && memrchr(tail->text + tail->length - RECORD_LIMIT, '\n', RECORD_LIMIT) == NULL) {
        int result = cut_overlong(tail, reason);
        return result != 0 ? result : find_end(tail, link, end, reason);
    }
    size_t rest = scan_lines(tail, start < 0 ? 0 : (size_t)start, link);
    if (start < 0 || (start > 0 && !link->known)) {
        int result = scan_segment(tail, link, reason);
        if (result != 0)
            return result;
    }
    return mend_remainder(tail, rest, link, end, reason);
}

int segment_mend(int file, uint64_t size, struct link *link, uint64_t *end, struct reason *reason) {
    struct tail tail = {.file = file, .size = size};
    *link = (struct link){.known = false};
    int result = find_end(&tail, link, end, reason);
    free(tail.text);
    return result;
}
