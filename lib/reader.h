/* Reads the lines of a segment one by one, damaged ones included. */
#ifndef DOORPOST_READER_H
#define DOORPOST_READER_H

#include "record.h"

/* The fields are private to reader.c. */
struct reader {
    int fd;
    uint64_t offset; /* in the file, of buffer[start] */
    size_t start, end;
    struct chain_state chain;
    char buffer[2 * RECORD_LIMIT];
};

/* Starts at `offset` of an open segment, which the caller still owns. `chain` is the chain state there. */
void reader_start(struct reader *reader, int fd, uint64_t offset, struct chain_state chain);

/* Reads one line. Returns 1 with *scan (SCAN_RECORD, SCAN_UNCHAINED or SCAN_DAMAGED), the record, and the
 * line's start in *offset; 0 if no complete line follows yet (call again once the segment has grown); or
 * ERROR_SYSTEM with a reason. The record is valid until the next call. */
int reader_next(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset,
                struct reason *reason);

/* Reads what remains when reader_next() returned 0 and the segment will not grow: a line that lacks only
 * its line break, and any damage before it. Returns 1, or 0 if there is no such line. */
int reader_rest(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset);

/* The chain state after the last line read. */
struct chain_state reader_chain(const struct reader *reader);

/* The offset of the next line. */
uint64_t reader_offset(const struct reader *reader);

#endif
