/* Reads the lines of the journal in order, across days. */
#ifndef DOORPOST_WALK_H
#define DOORPOST_WALK_H

#include "reader.h"

/* A position in the journal. */
struct position {
    int32_t day; /* of the segment, in days since 1970; up to DAY_MAX */
    uint64_t offset;
};

/* The fields are private to walk.c. It is large: allocate it with malloc or statically. */
struct walk {
    int directory;
    int fd; /* -1: no segment is open */
    int32_t day, last;
    bool closed;
    struct reader reader;
};

/* Starts at `from` in the directory (a descriptor, which the caller still owns); `chain` is the chain
 * state before it. Days without a segment are skipped. */
void walk_start(struct walk *walk, int directory, struct position from, struct chain_state chain);
void walk_end(struct walk *walk);

/* Sets how far to read: to the current end of day `last`. May be called again during the walk; `last`
 * never decreases. */
void walk_until(struct walk *walk, int32_t last);

/* The last day will not grow either: its last line, too, may lack its line break. */
void walk_close(struct walk *walk);

/* Reads one line, as reader_next() does, and sets *position to its start. Returns 1; 0 at the end of the
 * last day (call again when there may be more); or an error with a reason. */
int walk_next(struct walk *walk, enum scan *scan, struct record *record, struct position *position,
              struct reason *reason);

/* The position of the next line, and the chain state there. */
struct position walk_position(const struct walk *walk);
struct chain_state walk_chain(const struct walk *walk);

#endif
