/* A temporary failure: logged once, and retried with a growing delay. */
#ifndef DOORPOST_BACKOFF_H
#define DOORPOST_BACKOFF_H

#include "error.h"

#include <stdint.h>

/* All zero: no failure. */
struct backoff {
    struct reason reported;
    int64_t reported_at, delay, again; /* microseconds, on monotonic_now()'s clock */
    int64_t longest;                   /* delay; 0: a minute */
};

/* Prints the reason and the consequence, unless the same reason was printed within the last hour. */
void backoff_report(struct backoff *backoff, const struct reason *reason, const char *consequence);

/* The same, and sets `again` to the time of the next try. The delay doubles each time, up to the longest. */
void backoff_start(struct backoff *backoff, const struct reason *reason, const char *consequence);

/* Resets the delay after a success. */
void backoff_clear(struct backoff *backoff);

/* The same, and the next failure is printed even if it is the same one: what failed has been seen to work. */
void backoff_end(struct backoff *backoff);

#endif
