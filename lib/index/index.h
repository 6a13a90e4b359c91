/* The idempotency index: which identifiers the journal already holds, and in which line.
 *
 * It consists of a few hash tables in files of seen/ (table.c) and one state file that describes them
 * (state.c). All of it can be deleted, and is then rebuilt from the journal.
 *
 * Nothing here is synced before an answer. So after a reboot, which the boot id reveals, only what the last
 * checkpoint has synced is believed, and the lines after it are indexed again. The *reach* is the mark up to
 * which all lines are in the index; a *checkpoint* is a reach that is on the disk; it moves in *steps*, each
 * of which syncs a stretch of a table, and a *round* is over when every stretch has had its turn. */
#ifndef DOORPOST_INDEX_H
#define DOORPOST_INDEX_H

#include "mark.h"

enum identifier {
    IDENTIFIER_REQUEST,   /* meta.request_id */
    IDENTIFIER_EVENT,     /* data.id: either of the two makes a duplicate */
    IDENTIFIER_SIGNATURE, /* of what is in rejected/, which may have no identifier */
    IDENTIFIERS
};

/* Set in the offset of a position that is in rejected/. */
#define POSITION_IN_REJECTED (UINT64_C(1) << 47)

struct index;

/* `first_buckets`: the size of the first table; 0: the default. Returns NULL if out of memory. */
struct index *index_new(unsigned first_buckets);
void index_free(struct index *index);

/* Closes the files. The next index_begin() opens those that exist then. */
void index_close(struct index *index);

/* Unless they say otherwise, the functions below require the append lock, and index_begin() first after
 * taking it. They return 0 (or what they say); ERROR_SYSTEM if a system call failed; or ERROR_DAMAGED: the
 * index must be dropped with index_discard() and rebuilt from the journal. Errors come with a reason. */

/* Opens the index in directory `journal`, creating an empty one if there is none, and picks up the changes
 * of other processes. */
int index_begin(struct index *index, int journal, struct reason *reason);

/* How much of the journal the index covers. */
struct reach {
    struct mark mark;  /* every line before it is in the index; day and seq 0: none is */
    uint64_t last_seq; /* the highest number assigned in this boot; 0: unknown */
    int32_t newest;    /* the newest day of the journal, */
    int64_t listed;    /* the directory's modification time (nanoseconds) when that was found; negative: too
                          recent to detect a later change */
    struct position checked;  /* days before it were checked since the directory changed */
    struct position rejected; /* everything before it in rejected/ is in the index */
};

/* After a reboot, this is the reach of the last checkpoint: what was not synced may be gone. */
void index_reach(const struct index *index, struct reach *reach);
int index_set_reach(struct index *index, const struct reach *reach, struct reason *reason);

/* Returns a 64-bit fingerprint (keyed SipHash-2-4) of an identifier. */
uint64_t index_fingerprint(const struct index *index, enum identifier kind, const char *text, size_t length);

/* Starts reading ahead what index_find() will need, so that many lookups wait for the disk only once. */
void index_prefetch(struct index *index, uint64_t fingerprint);

/* Calls visit for each position stored under the fingerprint until it returns nonzero, which is then the
 * result. Different identifiers can share a fingerprint, and the file may have changed since, so the
 * caller must check the line itself. */
int index_find(struct index *index, uint64_t fingerprint,
               int (*visit)(void *context, struct position position), void *context, struct reason *reason);

/* Returns 1 if this position is stored under the fingerprint, else 0. */
int index_holds(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason);

/* Stores a position under a fingerprint. index_insert_once() first looks it up, and stores it only if
 * missing. */
int index_insert(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason);
int index_insert_once(struct index *index, uint64_t fingerprint, struct position position,
                      struct reason *reason);

/* The number of positions stored, including those of deleted lines; approximate if writers were killed. */
uint64_t index_count(const struct index *index);

/* Forgets everything and removes the files. */
int index_discard(struct index *index, struct reason *reason);

/* Returns true if directory `journal` has an index. */
bool index_exists(int journal);

/* Returns true when a step to the next checkpoint is due. No lock required. */
bool index_step_due(const struct index *index);

/* A step: index_step_begin() decides what to sync; index_step_sync() syncs it, which may be slow and
 * requires no lock; index_step_end() records, after another index_begin(), that it is done. If the lock is
 * `held` throughout, index_step_begin() does all of it. If the sync fails, the kernel may have dropped the
 * written data: ERROR_DAMAGED. */
int index_step_begin(struct index *index, bool held, struct reason *reason);
int index_step_sync(struct index *index, struct reason *reason);
int index_step_end(struct index *index, struct reason *reason);

/* Makes the next step a full checkpoint, due at once, so that nothing is indexed twice. */
void index_request_checkpoint(struct index *index);

/* Calls visit for each position in the index, in no order, until it returns nonzero, which is then the
 * result. No lock required: entries stored meanwhile may or may not be visited. The result is valid only
 * if index_is_current() then confirms that the index was not replaced. */
int index_each(struct index *index,
               int (*visit)(void *context, uint64_t fingerprint, struct position position), void *context,
               struct reason *reason);
bool index_is_current(const struct index *index);

#endif
