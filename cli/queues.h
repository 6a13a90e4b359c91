/* Events that were set aside, because they failed, run for long, or are of a device whose events must wait
 * for such a one: a queue a device, in order. There may be as many as the journal has events. Knows neither
 * file nor clock. */
#ifndef DOORPOST_QUEUES_H
#define DOORPOST_QUEUES_H

#include "item.h"

struct queues;

/* NULL when there is no memory. */
struct queues *queues_new(void);
void queues_free(struct queues *queues);

/* Forgets all. */
void queues_clear(struct queues *queues);

/* Makes room for `more` items. Returns false when there is no memory. */
bool queues_reserve(struct queues *queues, size_t more);

/* Puts one that there is room for at the end of its device's queue. */
void queues_add(struct queues *queues, const struct item *item, int64_t now);

/* Is there any of this order? */
bool queues_have(const struct queues *queues, uint64_t order);

/* Finds an event in any position of its queue. Returns NULL if it is not there. */
struct item *queues_find(struct queues *queues, const struct item *item);

/* The next one to run, marked as running; NULL if there is none yet. */
struct item *queues_next(struct queues *queues, int64_t now);

/* Microseconds until one can run; 0: now; -1: none waits for its time. */
int64_t queues_wait(struct queues *queues, int64_t now);

/* One that was running waits again, or is over and leaves. */
void queues_put_back(struct queues *queues, struct item *item);
void queues_remove(struct queues *queues, struct item *item);

/* The first of a queue that waits; NULL if none has that number. It can be removed. */
struct item *queues_take(struct queues *queues, uint64_t seq);

size_t queues_count(const struct queues *queues);

/* Each is in a slot of its own, from 0 to queues_size() - 1. NULL: the slot is empty. */
size_t queues_size(const struct queues *queues);
const struct item *queues_at(const struct queues *queues, size_t slot);

/* A slot whose content on the disk is to be written, which is then forgotten. Returns false if there is none.
 */
bool queues_take_changed(struct queues *queues, size_t *slot);
bool queues_are_changed(const struct queues *queues);

#endif
