/* Which event is run next, and what becomes of it. Knows no process and no clock: the caller tells the time.
 */
#ifndef DOORPOST_SCHEDULE_H
#define DOORPOST_SCHEDULE_H

#include "cursor.h"
#include "queues.h"

#define SCHEDULE_MAX 1024 /* events between the first unfinished one and the last that was read */

struct schedule;

/* `retries`: how often a failed event is run again, by ring_retry_after[]. NULL when there is no memory.
 */
struct schedule *schedule_new(int retries);
void schedule_free(struct schedule *schedule);

/* Forgets all items but those that were set aside: the next one follows the line that ends at `front`. */
void schedule_clear(struct schedule *schedule, const struct mark *front);

bool schedule_is_full(const struct schedule *schedule);

/* What was set aside. */
struct queues *schedule_queues(struct schedule *schedule);

/* If the schedule is full, sets aside what holds others up: what has failed, or runs for long, and what is of
 * the same device. */
void schedule_defer(struct schedule *schedule, int64_t now);

/* What was set aside is on the disk: the cursor moves over it, and there is room for more. */
void schedule_release_deferred(struct schedule *schedule);

/* Adds the event that follows those before, whose line ends at `end`: seq, identity, place and order of
 * `item` count. One that the cursor says is finished, or that was set aside before, is added as finished.
 * Returns the schedule's own item, which is good until it is finished; NULL if it is. */
struct item *schedule_add(struct schedule *schedule, const struct cursor *cursor, const struct item *item,
                          const struct mark *end);

/* A line that is nobody's, with seq 0 if it cannot be read: it was finished when it was read. */
void schedule_skip(struct schedule *schedule, uint64_t seq, const struct mark *end);

/* The item of the same event that is not done; NULL if there is none. */
struct item *schedule_find(struct schedule *schedule, const struct item *item);

/* The next event to run, marked as running; NULL if there is none yet. */
struct item *schedule_next(struct schedule *schedule, int64_t now);

/* Microseconds until an event that waits for its time can run; -1: none waits for that. */
int64_t schedule_wait(const struct schedule *schedule, int64_t now);

enum result {
    RESULT_DONE,
    RESULT_FAILED,
    RESULT_PERMANENT,
    RESULT_INTERRUPTED, /* does not count as an attempt */
    RESULT_POSTPONED    /* neither does that: it could not be run, and waits a while, up to a minute */
};

/* Would the event be given up? It failed too often, or is hopeless. */
bool schedule_gives_up(const struct schedule *schedule, const struct item *item, enum result result);

/* Notes how a run ended. */
void schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now);

/* An event that is to be tried again is not. Returns false if there is none of that number. */
bool schedule_drop(struct schedule *schedule, uint64_t seq, int64_t now);

/* If an event with that number is to be tried again, it is due now. */
void schedule_hurry(struct schedule *schedule, uint64_t seq);

/* How many events are not done. */
size_t schedule_left(const struct schedule *schedule);

/* Moves the cursor over all that is finished. Returns whether it changed. */
bool schedule_save(struct schedule *schedule, struct cursor *cursor);

#endif
