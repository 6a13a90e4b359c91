/* Something that does not work now: it is logged once, and tried again after a while. */
#ifndef DOORPOST_TROUBLE_H
#define DOORPOST_TROUBLE_H

#include "error.h"

#include <stdint.h>

/* All zero: there is none. */
struct trouble {
    struct reason told;
    int64_t told_at, delay, again; /* microseconds, on monotonic_now()'s clock */
};

/* Prints the reason and the consequence, unless the same was told within the hour. */
void trouble_tell(struct trouble *trouble, const struct reason *reason, const char *consequence);

/* The same; and `again` is a delay from now, which doubles each time until it is a minute. */
void trouble_hold(struct trouble *trouble, const struct reason *reason, const char *consequence);

/* It works again. */
void trouble_end(struct trouble *trouble);

#endif
