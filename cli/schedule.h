/* Decides which event to run next, and records the results. Handles no processes and reads no clock: the
 * caller passes the time. */
#ifndef DOORPOST_SCHEDULE_H
#define DOORPOST_SCHEDULE_H

#include "cursor.h"
#include "queues.h"

#define SCHEDULE_MAX 1024 /* from the first unfinished event to the last one read */

struct schedule;

/* Returns NULL if out of memory. */
struct schedule *schedule_new(void);
void schedule_free(struct schedule *schedule);

/* Removes all items except deferred ones; the next item follows the line that ends at `front`. */
void schedule_clear(struct schedule *schedule, const struct mark *front);

bool schedule_is_full(const struct schedule *schedule);

/* The deferred items. */
struct queues *schedule_queues(struct schedule *schedule);

/* If the schedule is full, defers the items that block others: those that have failed or run for long, and
 * later ones of the same device. */
void schedule_defer(struct schedule *schedule, int64_t now);

/* The deferred items are on disk: the cursor may move past them, which makes room. */
void schedule_release_deferred(struct schedule *schedule);

/* Adds the next event, whose line ends at `end`, using seq, identity, position and order of `item`. An event
 * that the cursor lists as finished, or that was deferred before, is added as finished. Returns the
 * schedule's own item, which is valid until it is finished; NULL if it already is. */
struct item *schedule_add(struct schedule *schedule, const struct cursor *cursor, const struct item *item,
                          const struct mark *end);

/* Adds a line that needs no command as finished; seq is 0 if the line cannot be read. */
void schedule_skip(struct schedule *schedule, uint64_t seq, const struct mark *end);

/* Finds the unfinished item of the same event; NULL if there is none. */
struct item *schedule_find(struct schedule *schedule, const struct item *item);

/* The next event to run, now marked as running; NULL if none can run yet. */
struct item *schedule_next(struct schedule *schedule, int64_t now);

/* Microseconds until the next waiting event is due; -1: none is waiting for its time. */
int64_t schedule_wait(const struct schedule *schedule, int64_t now);

/* Records the result of a run. */
void schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now);

/* Cancels the retry of an event. Returns false if no event with that number awaits one. */
bool schedule_drop(struct schedule *schedule, uint64_t seq, int64_t now);

/* Makes the event with that number due now, if it awaits a retry. */
void schedule_expedite(struct schedule *schedule, uint64_t seq);

/* The number of unfinished events. */
size_t schedule_left(const struct schedule *schedule);

/* Moves the cursor past all finished events. Returns true if it changed. */
bool schedule_save(struct schedule *schedule, struct cursor *cursor);

#endif
