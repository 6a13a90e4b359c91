/* The journal: a directory that keeps each event once, in the order of arrival, and whatever was signed but
 * unusable beside it. */
#ifndef DOORPOST_JOURNAL_H
#define DOORPOST_JOURNAL_H

#include "entry.h"
#include "lock.h"

struct journal;

/* Opens nothing yet: a journal that is not there is trouble for an append, and no longer once it is there.
 * `path` is copied. `first_buckets` is the size of the index's first table, for tests; 0: the usual one. NULL
 * when there is no memory. */
struct journal *journal_new(const char *path, unsigned first_buckets);
void journal_free(struct journal *journal);

/* Keeps every entry, or says in its reason why not. All that a disposition other than UNAVAILABLE says is
 * on the disk, under its name, when this returns. Takes the append lock, waits for it until the deadline, and
 * holds it for the writes but not for the syncs. `count` is JOURNAL_BATCH at most. */
void journal_append(struct journal *journal, struct entry *entries[], size_t count,
                    const struct deadline *deadline);

/* The two halves of journal_append(): journal_write() for what is done under the lock, journal_sync() for the
 * wait for the disk, which sets the dispositions; `entries` has to stay until then. The second half may run
 * on another thread, as long as nobody else uses the journal meanwhile. */
void journal_write(struct journal *journal, struct entry *entries[], size_t count,
                   const struct deadline *deadline);
void journal_sync(struct journal *journal);

/* What a person should know of the last journal_write(), though no answer suffered; "" if there is nothing.
 */
const char *journal_warning(const struct journal *journal);

/* What can wait until the answers are out: a step of the index's checkpoint. Trouble with it is told in
 * `reason` and harms no answer; returns 0, or an error after which nothing is left to do. */
int journal_upkeep(struct journal *journal, const struct deadline *deadline, struct reason *reason);

/* The current day on the journal's clock, microseconds since 1970; tests set it. NULL: timestamp_now. */
void journal_set_clock(struct journal *journal, int64_t (*now)(void));

#endif
