/* Deferred events: those that failed, run for long, or belong to a device whose earlier event is deferred.
 * There is one queue per device, in order. There may be as many events as in the journal. Does no I/O and
 * reads no clock. */
#ifndef DOORPOST_QUEUES_H
#define DOORPOST_QUEUES_H

#include "item.h"

struct queues;

/* Returns NULL if out of memory. */
struct queues *queues_new(void);
void queues_free(struct queues *queues);

/* Removes all items. */
void queues_clear(struct queues *queues);

/* Makes room for `more` items. Returns false if out of memory. */
bool queues_reserve(struct queues *queues, size_t more);

/* Appends an item, for which there must be room, to its device's queue. */
void queues_add(struct queues *queues, const struct item *item, int64_t now);

/* Returns true if there is an item of this order. */
bool queues_have(const struct queues *queues, uint64_t order);

/* Finds an event anywhere in its queue. Returns NULL if it is absent. */
struct item *queues_find(struct queues *queues, const struct item *item);

/* The next item to run, now marked as running; NULL if none can run yet. */
struct item *queues_next(struct queues *queues, int64_t now);

/* Microseconds until an item can run; 0: now; -1: none has a due time to wait for. */
int64_t queues_wait(struct queues *queues, int64_t now);

/* Returns an item that was running or taken to its queue, or removes it for good. */
void queues_put_back(struct queues *queues, struct item *item);
void queues_remove(struct queues *queues, struct item *item);

/* Takes the waiting head of a queue that has this number; NULL if there is none. Put it back or remove it. */
struct item *queues_take(struct queues *queues, uint64_t seq);

size_t queues_count(const struct queues *queues);

/* Each item has its own slot, from 0 to queues_size() - 1. NULL: the slot is empty. */
size_t queues_size(const struct queues *queues);
const struct item *queues_at(const struct queues *queues, size_t slot);

/* Takes a slot that must be written to disk, and clears its mark. Returns false if there is none. */
bool queues_take_changed(struct queues *queues, size_t *slot);
bool queues_are_changed(const struct queues *queues);

#endif
