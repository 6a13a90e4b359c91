/* Which event is run next, and what becomes of it. Knows no process and no clock: the caller tells the time.
 */
#ifndef DOORPOST_SCHEDULE_H
#define DOORPOST_SCHEDULE_H

#include "cursor.h"

#define SCHEDULE_MAX 16384 /* events between the first unfinished one and the last that was read */

enum item_state { ITEM_WAITING, ITEM_RUNNING, ITEM_DONE };

struct item {
    uint64_t seq;
    struct place place, next; /* of its line, and of the line behind it */
    uint64_t order;           /* items with the same value run one after another */
    enum item_state state;
    int attempts; /* so far */
    int64_t due;  /* microseconds since 1970; not before */
};

struct schedule;

/* `retries`: how often a failed event is run again, by the delays of retry.h. NULL when there is no memory.
 */
struct schedule *schedule_new(int retries);
void schedule_free(struct schedule *schedule);

bool schedule_is_full(const struct schedule *schedule);

/* Adds the event that follows those before. One that the cursor says is finished is added as such. */
void schedule_add(struct schedule *schedule, const struct cursor *cursor, uint64_t seq, struct place place,
                  struct place next, uint64_t order);

/* A line that is nobody's: it was finished when it was read. */
void schedule_skip(struct schedule *schedule, uint64_t seq, struct place place, struct place next);

/* The next event to run, marked as running; NULL where there is none yet. */
struct item *schedule_next(struct schedule *schedule, int64_t now);

/* Microseconds until an event that waits for its time can run; -1: none waits for that. */
int64_t schedule_wait(const struct schedule *schedule, int64_t now);

enum result { RESULT_DONE, RESULT_FAILED, RESULT_HOPELESS, RESULT_INTERRUPTED };

/* Notes how a run ended. Returns true where the event is given up: it failed too often, or is hopeless. */
bool schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now);

/* How many events are not done. */
size_t schedule_left(const struct schedule *schedule);

/* Moves the cursor over all that is finished. Returns whether it changed. */
bool schedule_save(struct schedule *schedule, struct cursor *cursor);

#endif
