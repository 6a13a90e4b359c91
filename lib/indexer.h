/* Brings the idempotency index up to the journal, by reading what it does not know yet. */
#ifndef DOORPOST_INDEXER_H
#define DOORPOST_INDEXER_H

#include "event.h"
#include "lock.h"

#include "index/index.h"

/* The fields belong to indexer.c. It is large: place it with malloc, or statically. */
struct indexer {
    struct event_parser *parser;
    struct event event;
    uint64_t highest;
    struct walk walk;
};

/* The parser stays the caller's. */
void indexer_start(struct indexer *indexer, struct event_parser *parser);

/* The fingerprints of an event's identifiers, as the index knows them until it is discarded. */
struct identity {
    uint64_t request, event;
};
struct identity indexer_identify(const struct index *index, const struct event *event);

/* Puts the place of an event into the index; `insert` is index_insert, or index_insert_once. */
int indexer_put(struct index *index, const struct event *event, struct position position,
                int (*insert)(struct index *index, uint64_t fingerprint, struct position position,
                              struct reason *reason),
                struct reason *reason);

/* Reads on at *mark, up to the end of the day `last`, in the journal `directory` (a descriptor), puts every
 * event into the index, and steps *mark to the end of the last line it has read. Returns 0; ERROR_TIMEOUT
 * half a second before the deadline, with what was done until then being good; or another error. `locked`:
 * the caller holds the append lock, so that no line is only half there. */
int indexer_run(struct indexer *indexer, struct index *index, int directory, struct mark *mark, int32_t last,
                bool locked, const struct deadline *deadline, struct reason *reason);

/* The highest number of a line that indexer_run() has read and the chain has proven; 0: there was none. */
uint64_t indexer_highest(const struct indexer *indexer);

/* Reads the day of *place for an event that has one of the two identifiers. The caller holds the append lock.
 * Returns 1 with *place set to where its line begins, 0 if the day does not have it, ERROR_TIMEOUT as above,
 * or another error. */
int indexer_search(struct indexer *indexer, int directory, const struct event *event,
                   struct position *position, const struct deadline *deadline, struct reason *reason);

#endif
