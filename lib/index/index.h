/* The idempotency index: which identifiers the journal holds already, and in which line.
 *
 * It is a few hash tables in files of seen/ (table.c) and one file that says what they are (state.c). All of
 * it can be deleted, and is rebuilt from the journal. Nothing here is synced before an answer. */
#ifndef DOORPOST_INDEX_H
#define DOORPOST_INDEX_H

#include "mark.h"

enum identifier { IDENTIFIER_REQUEST, IDENTIFIER_EVENT, IDENTIFIER_SIGNATURE, IDENTIFIERS };

/* Set in the offset of a place that is in rejected/. */
#define POSITION_IN_REJECTED (UINT64_C(1) << 47)

struct index;

/* `first_buckets`: of the first table; 0: the usual ones. NULL when there is no memory. */
struct index *index_new(unsigned first_buckets);
void index_free(struct index *index);

/* Closes the files: the next index_begin() opens what is there then. */
void index_close(struct index *index);

/* The functions below need the append lock unless they say otherwise, and index_begin() under that lock
 * first. They return 0 (or what they say), ERROR_TROUBLE if the disk or the file system refused, or
 * ERROR_DAMAGED: the index has to be dropped with index_discard() and filled again from the journal. Errors
 * come with a reason. */

/* Opens the index in directory `journal`, makes an empty one if there is none, and takes up what other
 * processes have done since. */
int index_begin(struct index *index, int journal, struct reason *reason);

/* What the index knows of the journal. */
struct reach {
    struct mark mark;  /* every line before it is in the index; a day of 0 and a seq of 0: none is */
    uint64_t last_seq; /* the highest number that a line was given in this boot; 0: not known */
    int32_t newest;    /* the newest day of the journal, and */
    int64_t listed;    /* the modification time (nanoseconds) that the directory had when that was found;
                          negative: so recent that the directory may have changed again under it */
    struct position checked;  /* days before it were looked at since the directory changed */
    struct position rejected; /* everything before it in rejected/ is in the index */
};

/* After a reboot it is that of the last checkpoint: what was never synced may be gone. */
void index_reach(const struct index *index, struct reach *reach);
int index_set_reach(struct index *index, const struct reach *reach, struct reason *reason);

/* A 64-bit fingerprint (keyed SipHash-2-4) of an identifier. */
uint64_t index_fingerprint(const struct index *index, enum identifier kind, const char *text, size_t length);

/* Has the kernel begin to read what index_find() will need: many lookups wait for the disk together. */
void index_prefetch(struct index *index, uint64_t fingerprint);

/* Calls visit for each place that was stored under the fingerprint until it returns something other than 0,
 * which is then the result. Different identifiers can share a fingerprint, and the file may have changed
 * since: the line itself decides. */
int index_find(struct index *index, uint64_t fingerprint,
               int (*visit)(void *context, struct position position), void *context, struct reason *reason);

/* Returns 1 if this place is stored under the fingerprint, else 0. */
int index_holds(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason);

/* Stores a place under a fingerprint; index_insert_once() only if it is not there yet, by a lookup more. */
int index_insert(struct index *index, uint64_t fingerprint, struct position position, struct reason *reason);
int index_insert_once(struct index *index, uint64_t fingerprint, struct position position,
                      struct reason *reason);

/* How many places it holds, give or take those of killed writers; those of deleted lines count too. */
uint64_t index_count(const struct index *index);

/* Forgets everything and removes the files. */
int index_discard(struct index *index, struct reason *reason);

/* Returns true if there is an index in directory `journal`. */
bool index_exists(int journal);

/* Returns true when a step to the next checkpoint is due. No lock required. */
bool index_step_due(const struct index *index);

/* A step: index_step_begin() decides what is to be synced; index_step_sync() syncs it, which may take its
 * time and requires no lock; index_step_end() notes, after another index_begin(), that it is done. If the
 * lock is `held` throughout, index_step_begin() does it all. If the sync fails, the kernel may have dropped
 * what was written: ERROR_DAMAGED. */
int index_step_begin(struct index *index, bool held, struct reason *reason);
int index_step_sync(struct index *index, struct reason *reason);
int index_step_end(struct index *index, struct reason *reason);

/* Has the next step be a whole checkpoint, due at once: so that what was indexed is not indexed again. */
void index_request_checkpoint(struct index *index);

/* Calls visit for each place in the index, in no order, until it returns something other than 0, which is
 * then the result. No lock required: what is stored meanwhile may be visited or not. The result counts only
 * if index_is_current() says afterwards that the index was not replaced. */
int index_each(struct index *index,
               int (*visit)(void *context, uint64_t fingerprint, struct position position), void *context,
               struct reason *reason);
bool index_is_current(const struct index *index);

#endif
