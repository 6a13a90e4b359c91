/* A chain value is a hash over everything before it: if number and chain match, it is the same line of the
 * same history. */
#define _GNU_SOURCE /* memrchr */
#include "mark.h"

#include "segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ 4096 /* bytes; most lines are shorter */

static int read_line(int fd, uint64_t end, char *text, struct line *line, struct reason *reason) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot stat a segment: %s", strerror(errno));
    size_t limit = end < RECORD_LIMIT + 1 ? (size_t)end : RECORD_LIMIT + 1;
    for (size_t length = limit < FIRST_READ ? limit : FIRST_READ;; length = limit) {
        ssize_t got = pread(fd, text, length, (off_t)(end - length));
        if (got < 0)
            return FAIL(reason, ERROR_SYSTEM, "cannot read the journal: %s", strerror(errno));
        bool has_line_break = got > 0 && text[got - 1] == '\n';
        if ((size_t)got < length || (!has_line_break && (uint64_t)status.st_size != end))
            return 0;
        size_t stop = length - has_line_break;
        const char *before = memrchr(text, '\n', stop);
        size_t start = before != NULL ? (size_t)(before + 1 - text) : 0;
        if (before != NULL || length == end) {
            *line =
                (struct line){.text = text + start, .length = stop - start, .offset = end - length + start};
            return 1;
        }
        if (length == limit)
            return 0;
    }
}

int mark_line(int directory, struct position end, char *text, struct line *line, struct reason *reason) {
    if (end.offset == 0)
        return 0;
    int fd = segment_open(directory, end.day, false, reason);
    if (fd < 0)
        return fd == ERROR_INVALID ? 0 : fd;
    int result = read_line(fd, end.offset, text, line, reason);
    close(fd);
    return result;
}

struct mark mark_of(const struct record *record, struct position end) {
    struct mark mark = {.position = end, .seq = record->seq};
    memcpy(mark.chain, record->chain, CHAIN_SIZE - 1);
    memcpy(mark.received_at, record->received_at, TIMESTAMP_SIZE - 1);
    return mark;
}

int mark_read(int directory, struct position position, struct mark *mark, struct reason *reason) {
    struct record record;
    struct line line;
    char *text = malloc(RECORD_LIMIT + 1);
    if (text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to read the journal");
    *mark = (struct mark){.position = position};
    int result = mark_line(directory, position, text, &line, reason);
    if (result > 0 && record_parse(line.text, line.length, &record) == 0)
        *mark = mark_of(&record, position);
    free(text);
    return result;
}

int mark_check(int directory, const struct mark *mark, struct reason *reason) {
    struct mark found;
    if (mark->position.offset == 0)
        return 1; /* the start of a day has no line to compare */
    int result = mark_read(directory, mark->position, &found, reason);
    if (result <= 0)
        return result;
    return (mark->seq == 0 || found.seq == mark->seq) &&
           (mark->chain[0] == '\0' || strcmp(found.chain, mark->chain) == 0);
}
