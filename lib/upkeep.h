/* Care of a journal that is in use: what an operator has done to it while deliveries go on. */
#ifndef DOORPOST_UPKEEP_H
#define DOORPOST_UPKEEP_H

#include "directory.h"
#include "seen.h"

#include <stdbool.h>

/* ---- the chain before the oldest line ---- */

/* Where the chain stands before the first line: link_start(), or where upkeep_prune() left it. Returns 1; 0
 * where that is not known, because days were deleted by other means; or an error. `first` is the number of
 * the first line. */
int upkeep_link(int directory, uint64_t first, struct link *link, struct reason *reason);

/* ---- deleting the oldest days ---- */

struct pruned {
    int32_t first, last; /* the days that were deleted; meaningless where there are none */
    unsigned days;       /* with a segment or a file in rejected/ */
    uint64_t bytes;
    bool index_stale; /* more than half of the index is about deleted lines: upkeep_rebuild() */
};

/* Deletes the segments, and the files in rejected/, of days before `keep`, but never the newest segment that
 * has lines. Where `rehearse`, only says what it would do. Takes the append lock. Returns 0 or an error with
 * a reason; what was done until then is whole days, the oldest first. */
int upkeep_prune(struct directory *directory, int32_t keep, bool rehearse, const struct deadline *deadline,
                 struct pruned *pruned, struct reason *reason);

/* ---- the index ---- */

/* Makes the index anew beside the one in use, and puts it in its place. Deliveries go on meanwhile. `step` is
 * called about every second with where it has got. Returns 0 or an error with a reason; then the old index
 * is still there. */
int upkeep_rebuild(struct directory *directory, void (*step)(void *context, struct place place),
                   void *context, struct reason *reason);

/* Compares the index with the journal. The two must hold the same fingerprints and places; sums over what
 * each holds tell that without holding either in memory. */
struct audit {
    struct directory *directory;
    struct seen *seen;
    bool absent;          /* there is no index: it is made at the next delivery */
    struct place reached; /* lines before it must be in it */
    uint64_t indexed, found;
    int32_t first;
};

/* Opens the index and sums it up; `first` is the first day of the journal. Takes the append lock for a
 * moment. Returns 0 or an error: ERROR_DAMAGED where it has to be made anew. audit_end() follows in either
 * case. */
int audit_start(struct audit *audit, struct directory *directory, int32_t first,
                const struct deadline *deadline, struct reason *reason);

/* A line of the journal, with its identifiers. */
void audit_line(struct audit *audit, struct place place, const char *request_id, size_t request_length,
                const char *id, size_t id_length);

/* After the last line: do they agree? */
bool audit_agrees(const struct audit *audit);

/* Where they do not: is this line in the index? Returns 1, 0, or an error with a reason. */
int audit_find(struct audit *audit, struct place place, const char *request_id, size_t request_length,
               const char *id, size_t id_length, struct reason *reason);
void audit_end(struct audit *audit);

#endif
