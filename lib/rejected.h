/* rejected/: deliveries that were signed but are no usable events, whole, one JSON object a line. */
#ifndef DOORPOST_REJECTED_H
#define DOORPOST_REJECTED_H

#include "journal.h"

/* The lines of a batch on their way to the disk. */
struct rejected {
    int file;
    uint64_t at;
    char *text;
    size_t length;
};

/* Appends the lines of those entries that have no event to rejected/DAY.jsonl in `directory` with one write.
 * The caller holds the append lock. Returns 0 or ERROR_TROUBLE with a reason; rejected_finish() follows in
 * either case. */
int rejected_write(struct rejected *rejected, int directory, int32_t day, struct entry *const entries[],
                   size_t count, struct reason *reason);

/* Makes them durable (outside the lock) where `result` of rejected_write() was 0, and frees what it took.
 * Returns 0 or ERROR_TROUBLE with a reason. */
int rejected_finish(struct rejected *rejected, int result, struct reason *reason);

#endif
