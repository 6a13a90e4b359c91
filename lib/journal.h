/* The journal: a directory that stores each event once, in order of arrival, and signed but unusable
 * deliveries in rejected/. */
#ifndef DOORPOST_JOURNAL_H
#define DOORPOST_JOURNAL_H

#include "entry.h"
#include "lock.h"

struct journal;

/* Opens nothing yet: an append fails while the journal does not exist, and works once it does. `path` is
 * copied. `first_buckets` is the size of the index's first table, for tests; 0: the default. Returns NULL if
 * out of memory. */
struct journal *journal_new(const char *path, unsigned first_buckets);
void journal_free(struct journal *journal);

/* Stores every entry, or sets its reason. On return, any disposition other than UNAVAILABLE is durable, as is
 * the file's name. Waits for the append lock until the deadline, and holds it for the writes but not for the
 * syncs. `count` is at most JOURNAL_BATCH. */
void journal_append(struct journal *journal, struct entry *entries[], size_t count,
                    const struct deadline *deadline);

/* The two halves of journal_append(): journal_write() does the work under the lock; journal_sync() waits for
 * the disk and sets the dispositions. `entries` must remain valid until then. journal_sync() may run on
 * another thread, provided that nothing else uses the journal meanwhile. */
void journal_write(struct journal *journal, struct entry *entries[], size_t count,
                   const struct deadline *deadline);
void journal_sync(struct journal *journal);

/* A warning from the last journal_write() that affected no answer, or "". */
const char *journal_warning(const struct journal *journal);

/* Runs a step of the index's checkpoint; call it after answering. Errors affect no answer. Returns 0, or an
 * error with a reason, which needs no further handling. */
int journal_upkeep(struct journal *journal, const struct deadline *deadline, struct reason *reason);

/* Sets the clock (microseconds since 1970) that decides the current day, for tests. NULL: timestamp_now. */
void journal_set_clock(struct journal *journal, int64_t (*now)(void));

#endif
