/* cursors/NAME.waiting: the events that a consumer has set aside, which are before its place and not
 * finished. */
#ifndef DOORPOST_WAITING_H
#define DOORPOST_WAITING_H

#include "queues.h"

/* `directory` is the journal's descriptor. */

/* Calls visit for each, in no order. Returns how many lines are damaged, or ERROR_TROUBLE with a reason. */
int waiting_each(int directory, const char *name, void (*visit)(void *context, const struct item *item),
                 void *context, struct reason *reason);

/* The file as the runner of the consumer keeps it. All zero at first. */
struct waiting {
    bool known; /* the file has what the queues had when they were saved last */
};

/* Reads the queues, which are forgotten before. Returns 0 or an error with a reason. */
int waiting_load(int directory, const char *name, struct queues *queues, int64_t now, struct reason *reason);

/* Writes what has changed in the queues, durably. Returns 0, or ERROR_TROUBLE with a reason: then all is
 * written the next time. */
int waiting_save(struct waiting *waiting, int directory, const char *name, struct queues *queues,
                 struct reason *reason);

#endif
