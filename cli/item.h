/* An event that a consumer has to run. */
#ifndef DOORPOST_ITEM_H
#define DOORPOST_ITEM_H

#include "walk.h"

enum item_state { ITEM_WAITING, ITEM_RUNNING, ITEM_DEFERRED, ITEM_DONE };

struct item {
    uint64_t seq;             /* 0: of a line that cannot be read */
    uint64_t identity;        /* a hash of the event's id */
    struct position position; /* of its line */
    uint64_t order;           /* items with the same value run one after another */
    enum item_state state;
    int attempts;    /* so far */
    int64_t due;     /* microseconds since 1970; not before */
    int64_t wait;    /* microseconds; that it was postponed by last, or 0 */
    int64_t started; /* microseconds since 1970; when its command was, if it is running */
    bool aside;      /* it is in the queues */
};

/* Microseconds until it is due. The clock may have been wrong when that was noted, or be so now: it is never
 * longer than the delay that the event was given. */
int64_t item_time_left(const struct item *item, int64_t now);

/* How many attempts have ended. */
int item_tried(const struct item *item);

#endif
