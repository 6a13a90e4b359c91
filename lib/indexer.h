/* Brings the idempotency index up to the journal, by reading what it does not know yet. */
#ifndef DOORPOST_INDEXER_H
#define DOORPOST_INDEXER_H

#include "event.h"
#include "lock.h"
#include "seen.h"

struct indexer;

/* NULL when there is no memory. */
struct indexer *indexer_new(void);
void indexer_free(struct indexer *indexer);

/* Reads on at *place, up to the end of the day `last`, in the journal `directory` (a descriptor), puts every
 * event into `seen`, and steps *place to where it got. Returns 0; ERROR_TIMEOUT half a second before the
 * deadline, with what was done until then being good; or another error. */
int indexer_run(struct indexer *indexer, struct seen *seen, int directory, struct place *place, int32_t last,
                const struct deadline *deadline, struct reason *reason);

#endif
