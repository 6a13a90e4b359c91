/* Retention: the oldest days of a journal that is in use are deleted. */
#ifndef DOORPOST_PRUNE_H
#define DOORPOST_PRUNE_H

#include "directory.h"
#include "record.h"

#include <stdbool.h>

/* ---- the chain before the oldest line ---- */

/* Where the chain stands before the first line: link_start(), or where prune_days() left it. Returns 1; 0
 * where that is not known, because days were deleted by other means; or an error. `first` is the number of
 * the first line. */
int prune_chain(int directory, uint64_t first, struct chain_state *chain, struct reason *reason);

/* Returns true when prune_days() has deleted lines of this journal. */
bool prune_was_here(int directory);

/* ---- deleting the oldest days ---- */

struct pruned {
    int32_t first, last; /* the days that were deleted; meaningless where there are none */
    unsigned days;       /* with a segment or a file in rejected/ */
    uint64_t bytes;
    bool index_stale; /* more than half of the index is about deleted lines: rebuild_index() */
};

/* The first day that prune_days() keeps: lowers *keep to the newest day that has lines, because the next
 * line's number and chain come from there. Returns 0 or an error. */
int prune_first(int directory, int32_t *keep, struct reason *reason);

/* What is to be done before anything is deleted, under the lock; nothing is, if it does not return 0. */
struct before {
    int (*call)(void *context, int directory, struct reason *reason);
    void *context;
};

/* Deletes the segments, and the files in rejected/, of days before `keep`, but never the newest segment that
 * has lines. Where `dry_run`, only says what it would do. Takes the append lock; `before` may be NULL.
 * Returns 0 or an error with a reason; what was done until then is whole days, the oldest first. */
int prune_days(struct directory *directory, int32_t keep, bool dry_run, const struct before *before,
               const struct deadline *deadline, struct pruned *pruned, struct reason *reason);

#endif
