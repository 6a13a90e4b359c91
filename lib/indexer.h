/* Extends the idempotency index by reading new journal lines. */
#ifndef DOORPOST_INDEXER_H
#define DOORPOST_INDEXER_H

#include "event.h"
#include "lock.h"

#include "index/index.h"

/* The fields are private to indexer.c. Large: allocate it statically or with malloc. */
struct indexer {
    struct event_parser *parser;
    struct event event;
    uint64_t highest;
    struct walk walk;
};

/* The caller owns the parser. */
void indexer_start(struct indexer *indexer, struct event_parser *parser);

/* The fingerprints of an event's identifiers, valid until the index is discarded. */
struct identity {
    uint64_t request, event;
};
struct identity indexer_identify(const struct index *index, const struct event *event);

/* Adds an event's position to the index; `insert` is index_insert or index_insert_once. */
int indexer_put(struct index *index, const struct event *event, struct position position,
                int (*insert)(struct index *index, uint64_t fingerprint, struct position position,
                              struct reason *reason),
                struct reason *reason);

/* Indexes every event from *mark to the end of the day `last` in the journal `directory` (a descriptor), and
 * advances *mark to the end of the last line read. Returns 0; ERROR_TIMEOUT half a second before the
 * deadline, keeping the progress so far; or another error. `locked`: the caller holds the append lock, so no
 * line is partially written. */
int indexer_run(struct indexer *indexer, struct index *index, int directory, struct mark *mark, int32_t last,
                bool locked, const struct deadline *deadline, struct reason *reason);

/* The highest line number that the last indexer_run() read and the chain verified; 0: none. */
uint64_t indexer_highest(const struct indexer *indexer);

/* Searches the day of *position for an event with either identifier. The caller holds the append lock.
 * Returns 1 with *position set to the start of its line, 0 if not found, ERROR_TIMEOUT as above, or another
 * error. */
int indexer_search(struct indexer *indexer, int directory, const struct event *event,
                   struct position *position, const struct deadline *deadline, struct reason *reason);

#endif
