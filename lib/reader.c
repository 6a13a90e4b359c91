/* A window slides over the file, wide enough for any line. A full window without a line break is damage
 * and is skipped. */
#include "reader.h"

#include "hole.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void reader_start(struct reader *reader, int fd, uint64_t offset, struct chain_state chain) {
    reader->fd = fd;
    reader->offset = offset;
    reader->start = reader->end = 0;
    reader->chain = chain;
}

struct chain_state reader_chain(const struct reader *reader) {
    return reader->chain;
}

uint64_t reader_offset(const struct reader *reader) {
    return reader->offset;
}

/* Moves the remaining bytes to the front and refills the buffer. Returns the number of bytes read, or
 * ERROR_SYSTEM. */
static ssize_t fill(struct reader *reader, struct reason *reason) {
    size_t left = reader->end - reader->start;
    memmove(reader->buffer, reader->buffer + reader->start, left);
    reader->start = 0;
    reader->end = left;
    ssize_t got;
    do
        got = pread(reader->fd, reader->buffer + left, sizeof reader->buffer - left,
                    (off_t)(reader->offset + left));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read the journal: %s", strerror(errno));
    reader->end += (size_t)got;
    return got;
}

int reader_next(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset,
                struct reason *reason) {
    for (;;) {
        size_t left = reader->end - reader->start;
        size_t used;
        *offset = reader->offset;
        *scan = record_scan(reader->buffer + reader->start, left, &reader->chain, record, &used);
        if (*scan == SCAN_INCOMPLETE && left == sizeof reader->buffer) {
            used = left;
            *scan = SCAN_DAMAGED;
        }
        if (*scan != SCAN_INCOMPLETE) {
            reader->start += used;
            reader->offset += used;
            if (used == sizeof reader->buffer)
                reader->offset = hole_end(reader->fd, reader->offset);
            return 1;
        }
        ssize_t got = fill(reader, reason);
        if (got <= 0)
            return (int)got;
    }
}

int reader_rest(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset) {
    struct chain_state chain = reader->chain;
    char *rest = reader->buffer + reader->start;
    size_t length = reader->end - reader->start, used;
    if (length == 0 || reader->end == sizeof reader->buffer)
        return 0;
    rest[length] = '\n';
    *scan = record_scan(rest, length + 1, &chain, record, &used);
    if (used > length) { /* no line begins within `rest` */
        if (*scan != SCAN_RECORD && *scan != SCAN_UNCHAINED)
            return 0;
        used = length;
    }
    *offset = reader->offset;
    reader->chain = chain;
    reader->start += used;
    reader->offset += used;
    return 1;
}
