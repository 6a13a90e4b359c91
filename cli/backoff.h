/* Something that does not work now: it is logged once, and tried again after a while. */
#ifndef DOORPOST_BACKOFF_H
#define DOORPOST_BACKOFF_H

#include "error.h"

#include <stdint.h>

/* All zero: there is none. */
struct backoff {
    struct reason reported;
    int64_t reported_at, delay, again; /* microseconds, on monotonic_now()'s clock */
};

/* Prints the reason and the consequence, unless the same was told within the hour. */
void backoff_report(struct backoff *trouble, const struct reason *reason, const char *consequence);

/* The same; and `again` is a delay from now, which doubles each time until it is a minute. */
void backoff_start(struct backoff *trouble, const struct reason *reason, const char *consequence);

/* It works again. */
void backoff_clear(struct backoff *trouble);

#endif
