/* The idempotency index: which identifiers the journal already holds, and in which line. */
#ifndef DOORPOST_SEEN_H
#define DOORPOST_SEEN_H

#include "walk.h"

enum identifier { IDENTIFIER_REQUEST, IDENTIFIER_EVENT };

struct seen;

/* `first_buckets` is the size of the first table, a power of two (0: the usual one). NULL when there is no
 * memory. */
struct seen *seen_new(unsigned first_buckets);
void seen_free(struct seen *seen);

/* Closes the files: the next seen_begin() opens what is there then. */
void seen_close(struct seen *seen);

/* Pretends that this is another boot of the machine, for tests; NULL: no longer. Before the first
 * seen_begin(). */
void seen_set_boot(struct seen *seen, const char *boot);

/* The functions below want the append lock held. Where one returns ERROR_DAMAGED, the index has to be dropped
 * with seen_discard() and filled again from the journal, after another seen_begin(); ERROR_TROUBLE (with a
 * reason) means that the disk or the file system refused. */

/* Opens the index in directory `journal`, makes an empty one where there is none, and takes up what other
 * processes have done since the last call. */
int seen_begin(struct seen *seen, int journal, struct reason *reason);

/* How far into the journal the index reaches: every line before this place is in it. Returns false where it
 * reaches nowhere yet. *settled: the place is in the newest segment, so nobody need look for a newer one.
 * After a reboot this is the last checkpoint, because what was never synced may be gone. */
bool seen_reached(const struct seen *seen, struct place *place, bool *settled);

/* Writes down how far it reaches now. */
int seen_reach(struct seen *seen, struct place place, bool settled, struct reason *reason);

/* A 64-bit fingerprint (keyed SipHash-2-4) of an identifier of EVENT_FIELD_SIZE - 1 bytes at most. */
uint64_t seen_fingerprint(const struct seen *seen, enum identifier kind, const char *text, size_t length);

/* Has the kernel begin to read what seen_find() will want of the disk, so that who looks for many waits for
 * all at once. */
void seen_prefetch(struct seen *seen, uint64_t fingerprint);

/* Calls visit for each place that was stored under the fingerprint, until it returns something other than 0,
 * which is then the result; 0 when there is no more. Different identifiers can share a fingerprint: the line
 * itself decides. */
int seen_find(struct seen *seen, uint64_t fingerprint, int (*visit)(void *context, struct place place),
              void *context, struct reason *reason);

/* Is this place stored under the fingerprint? Returns 1, 0 or an error. */
int seen_holds(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason);

/* Stores a place under a fingerprint. */
int seen_insert(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason);

/* How many fingerprints it holds, give or take those of killed writers; those of lines that were deleted
 * since count too. After seen_begin(). */
uint64_t seen_count(const struct seen *seen);

/* Forgets everything and removes the files. */
int seen_discard(struct seen *seen, struct reason *reason);

/* Is there an index in directory `journal`? */
bool seen_exists(int journal);

/* Removes the files of an index that nobody has open: those at `path` in a directory, such as "seen". */
int seen_remove(int directory, const char *path, struct reason *reason);

/* Is so much unsynced that a step to the next checkpoint is due? Wants no lock. */
bool seen_step_due(const struct seen *seen);

/* A step: seen_step_begin() finds out what is to be synced; seen_step_sync() syncs it, and wants no lock,
 * because that may take its time; seen_step_end() notes, after another seen_begin(), that it is done. Where
 * the sync failed, the kernel may have dropped what was written: ERROR_DAMAGED. */
int seen_step_begin(struct seen *seen, struct reason *reason);
int seen_step_sync(struct seen *seen, struct reason *reason);
int seen_step_end(struct seen *seen, struct reason *reason);

/* A whole checkpoint at once: seen_sync() writes the tables to the disk and wants no lock; seen_checkpoint()
 * then, under the lock, notes that everything up to `place` (the reach before the sync) is there. */
int seen_sync(struct seen *seen, struct reason *reason);
int seen_checkpoint(struct seen *seen, struct place place, struct reason *reason);

/* Calls visit for every fingerprint in the index, in no order, until it returns something other than 0, which
 * is then the result. Wants no lock: what is stored meanwhile may be visited or not. Whatever the result, it
 * counts only where seen_unchanged() says that all tables are what they were at seen_begin(). */
int seen_each(struct seen *seen, int (*visit)(void *context, uint64_t fingerprint, struct place place),
              void *context, struct reason *reason);
bool seen_unchanged(const struct seen *seen);

#endif
