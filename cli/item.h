/* An event that a consumer must run. */
#ifndef DOORPOST_ITEM_H
#define DOORPOST_ITEM_H

#include "walk.h"

enum item_state { ITEM_WAITING, ITEM_RUNNING, ITEM_DEFERRED, ITEM_DONE };

struct item {
    uint64_t seq;             /* 0 if the line cannot be read */
    uint64_t identity;        /* a hash of the event's id */
    struct position position; /* of its line */
    uint64_t order;           /* items with the same value run one at a time, in sequence */
    enum item_state state;
    int attempts;    /* so far */
    int64_t due;     /* earliest start, in microseconds since 1970 */
    int64_t wait;    /* last postponement, in microseconds, or 0 */
    int64_t started; /* start of its command, in microseconds since 1970, if running */
    bool deferred;   /* it is in the queues */
};

enum result {
    RESULT_DONE,
    RESULT_FAILED,      /* it is retried after a delay of ring_retry_after[] */
    RESULT_GIVEN_UP,    /* it has failed too often, or permanently */
    RESULT_INTERRUPTED, /* not counted as an attempt */
    RESULT_POSTPONED    /* not counted either: it could not be run, and waits up to a minute */
};

/* Microseconds until the item is due. Never more than the delay the event was given, because the clock may
 * have been wrong then or be wrong now. */
int64_t item_time_left(const struct item *item, int64_t now);

/* Number of attempts that have ended. */
int item_tried(const struct item *item);

#endif
