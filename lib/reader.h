/* Reading on in a segment: its lines one after another, damage and all. */
#ifndef DOORPOST_READER_H
#define DOORPOST_READER_H

#include "record.h"

/* The fields belong to reader.c. */
struct reader {
    int fd;
    uint64_t offset; /* in the file, of buffer[start] */
    size_t start, end;
    struct chain_state chain;
    char buffer[2 * RECORD_LIMIT];
};

/* Starts at `offset` of an open segment, which stays the caller's. `link` is where the chain stands before
 * it. */
void reader_start(struct reader *reader, int fd, uint64_t offset, struct chain_state chain);

/* Reads one line. Returns 1 with *scan (SCAN_RECORD, SCAN_UNCHAINED or SCAN_DAMAGED), the record and *offset,
 * where the line begins; 0 where no whole line follows yet (call again once the segment has grown); or
 * ERROR_TROUBLE with a reason. The record is good until the next call. */
int reader_next(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset,
                struct reason *reason);

/* The same for what is left when reader_next() returned 0 and the segment will not grow: a line of which only
 * the line break is missing, and what stands before it on the same line of text. Returns 1, or 0 if there is
 * no such line. */
int reader_rest(struct reader *reader, enum scan *scan, struct record *record, uint64_t *offset);

/* Where the chain stands after the line that was read last. */
struct chain_state reader_chain(const struct reader *reader);

/* Where the next line begins. */
uint64_t reader_offset(const struct reader *reader);

#endif
