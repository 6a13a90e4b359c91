/* Which event is run next, and what becomes of it. Knows no process and no clock: the caller tells the time.
 */
#ifndef DOORPOST_SCHEDULE_H
#define DOORPOST_SCHEDULE_H

#include "cursor.h"

#define SCHEDULE_MAX 16384 /* events between the first unfinished one and the last that was read */

enum item_state { ITEM_WAITING, ITEM_RUNNING, ITEM_DONE };

struct item {
    uint64_t seq;       /* 0: of a line that cannot be read */
    uint64_t identity;  /* a hash of the event's id */
    struct place place; /* of its line */
    struct mark end;    /* of its line */
    uint64_t order;     /* items with the same value run one after another */
    enum item_state state;
    int attempts; /* so far */
    int64_t due;  /* microseconds since 1970; not before */
    int64_t wait; /* microseconds; that it was postponed by last, or 0 */
};

struct schedule;

/* `retries`: how often a failed event is run again, by the delays of retry.h. NULL when there is no memory.
 */
struct schedule *schedule_new(int retries);
void schedule_free(struct schedule *schedule);

/* Forgets all items: the next one follows the line that ends at `front`. */
void schedule_clear(struct schedule *schedule, const struct mark *front);

bool schedule_is_full(const struct schedule *schedule);

/* Adds the event that follows those before: seq, identity, place, end and order of `item` count. One that the
 * cursor says is finished is added as such. Returns the schedule's own item, which is good until it is
 * finished; NULL if the cursor says so. */
struct item *schedule_add(struct schedule *schedule, const struct cursor *cursor, const struct item *item);

/* A line that is nobody's: it was finished when it was read. */
void schedule_skip(struct schedule *schedule, const struct item *item);

/* The item of an event that is not done; NULL if there is none. */
struct item *schedule_find(struct schedule *schedule, uint64_t seq, uint64_t identity);

/* The next event to run, marked as running; NULL if there is none yet. */
struct item *schedule_next(struct schedule *schedule, int64_t now);

/* Microseconds until an event that waits for its time can run; -1: none waits for that. */
int64_t schedule_wait(const struct schedule *schedule, int64_t now);

enum result {
    RESULT_DONE,
    RESULT_FAILED,
    RESULT_HOPELESS,
    RESULT_INTERRUPTED, /* does not count as an attempt */
    RESULT_POSTPONED    /* neither does that: it could not be run, and waits a while, up to a minute */
};

/* Would the event be given up? It failed too often, or is hopeless. */
bool schedule_gives_up(const struct schedule *schedule, const struct item *item, enum result result);

/* Notes how a run ended. */
void schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now);

/* How many events are not done. */
size_t schedule_left(const struct schedule *schedule);

/* Moves the cursor over all that is finished. Returns whether it changed. */
bool schedule_save(struct schedule *schedule, struct cursor *cursor);

#endif
