/* Brings the idempotency index up to the journal, by reading what it does not know yet. */
#ifndef DOORPOST_INDEXER_H
#define DOORPOST_INDEXER_H

#include "event.h"
#include "lock.h"

#include "index/index.h"

struct indexer;

/* NULL when there is no memory. */
struct indexer *indexer_new(void);
void indexer_free(struct indexer *indexer);

/* Reads on at *mark, up to the end of the day `last`, in the journal `directory` (a descriptor), puts every
 * event into the index, and steps *mark to the end of the last line it has read. Returns 0; ERROR_TIMEOUT
 * half a second before the deadline, with what was done until then being good; or another error. `locked`:
 * the caller holds the append lock, so that no line is only half there. */
int indexer_run(struct indexer *indexer, struct index *index, int directory, struct mark *mark, int32_t last,
                bool locked, const struct deadline *deadline, struct reason *reason);

/* The highest number of a line that indexer_run() has read and the chain has proven; 0: there was none. */
uint64_t indexer_highest(const struct indexer *indexer);

/* Reads the day of *place for an event that has one of the two identifiers. The caller holds the append lock.
 * Returns 1 with *place set to
 * where its line begins, 0 if the day does not have it, ERROR_TIMEOUT as above, or another error. */
int indexer_search(struct indexer *indexer, int directory, const struct event *event, struct place *place,
                   const struct deadline *deadline, struct reason *reason);

#endif
