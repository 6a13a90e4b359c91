/* cursors/NAME.waiting: deferred events, which are before the consumer's position and unfinished. */
#ifndef DOORPOST_WAITING_H
#define DOORPOST_WAITING_H

#include "queues.h"

/* `directory` is the journal's descriptor. */

/* Calls visit for each, in no particular order. Returns the number of damaged lines, or ERROR_SYSTEM with a
 * reason. */
int waiting_each(int directory, const char *name, void (*visit)(void *context, const struct item *item),
                 void *context, struct reason *reason);

/* The runner's state of the file. Initialise with zeros. */
struct waiting {
    bool known; /* the file matches the queues as last saved */
};

/* Loads the queues, discarding their previous contents. Returns 0 or an error with a reason. */
int waiting_load(int directory, const char *name, struct queues *queues, int64_t now, struct reason *reason);

/* Writes changes in the queues, durably. Returns 0, or ERROR_SYSTEM with a reason: then the next call writes
 * everything. */
int waiting_save(struct waiting *waiting, int directory, const char *name, struct queues *queues,
                 struct reason *reason);

#endif
