/* A walk through the journal: line after line, across the days. */
#ifndef DOORPOST_WALK_H
#define DOORPOST_WALK_H

#include "reader.h"

/* Where a line begins. */
struct position {
    int32_t day; /* of the segment, days since 1970; up to DAY_MAX */
    uint64_t offset;
};

/* The fields belong to walk.c. It is large: place it with malloc, or statically. */
struct walk {
    int directory;
    int fd; /* -1: no segment is open */
    int32_t day, last;
    bool closed;
    struct reader reader;
};

/* Starts at `from` in the directory (a descriptor that stays the caller's); `link` is where the chain stands
 * before it. Days without a segment are passed over. */
void walk_start(struct walk *walk, int directory, struct position from, struct chain_state chain);
void walk_end(struct walk *walk);

/* How far the walk goes: to the end of the day `last` as it stands when it is read. Days may be added while
 * it is under way; `last` never goes back. */
void walk_until(struct walk *walk, int32_t last);

/* Nobody adds to the last day either: of its last line, too, only the line break may be missing. */
void walk_close(struct walk *walk);

/* Reads one line, as reader_next() does, and says where it begins. Returns 1; 0 at the end of the last day:
 * call again once there may be more; or an error with a reason. */
int walk_next(struct walk *walk, enum scan *scan, struct record *record, struct position *position,
              struct reason *reason);

/* Where the next line begins, and where the chain stands before it. */
struct position walk_position(const struct walk *walk);
struct chain_state walk_chain(const struct walk *walk);

#endif
