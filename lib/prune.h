/* Retention: deletes the oldest days of a journal in use. */
#ifndef DOORPOST_PRUNE_H
#define DOORPOST_PRUNE_H

#include "directory.h"
#include "record.h"

#include <stdbool.h>

/* ---- the chain before the oldest line ---- */

/* Sets the chain state before the first line, whose number is `first`: chain_start(), or where
 * prune_days() left it. Returns 1; 0 if it is unknown because days were deleted by other means; or an
 * error. */
int prune_chain(int directory, uint64_t first, struct chain_state *chain, struct reason *reason);

/* Returns true when prune_days() has deleted lines of this journal. */
bool prune_has_run(int directory);

/* ---- deleting the oldest days ---- */

struct pruned {
    int32_t first, last; /* the deleted days; meaningless if there are none */
    unsigned days;       /* with a segment or a file in rejected/ */
    uint64_t bytes;
    bool index_stale; /* most of the index refers to deleted lines: call rebuild_index() */
};

/* Lowers *keep, the first day to keep, to the newest day that has lines, because the next line's number
 * and chain come from there. Returns 0 or an error. */
int prune_first(int directory, int32_t *keep, struct reason *reason);

/* Called with the lock held before anything is deleted. Unless it returns 0, nothing is deleted. */
struct before {
    int (*call)(void *context, int directory, struct reason *reason);
    void *context;
};

/* Deletes the segments, and the files in rejected/, of days before `keep`, but never the newest segment
 * that has lines. If `dry_run`, only reports what it would do. Takes the append lock; `before` may be
 * NULL. Returns 0 or an error with a reason; after an error, the days deleted so far are whole days,
 * oldest first. */
int prune_days(struct directory *directory, int32_t keep, bool dry_run, const struct before *before,
               const struct deadline *deadline, struct pruned *pruned, struct reason *reason);

#endif
