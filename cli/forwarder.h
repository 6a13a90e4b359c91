/* Another consumer of the journal: copies its lines into the database of the merged stream. */
#ifndef DOORPOST_FORWARDER_H
#define DOORPOST_FORWARDER_H

#include "config.h"

#include <stdbool.h>
#include <stdint.h>

#define FORWARDER_NAME "forward" /* of the consumer, if no other is given */

struct forward {
    const char *to;   /* see database_new() */
    const char *name; /* of the consumer */
    const char *node; /* stored with each event */
    bool once;        /* forward what is there, and end */
    bool verify;      /* the same, but with what was received since then, whatever the cursor says */
    int64_t since;    /* microseconds since 1970 */
};

/* Forwards the journal until a signal ends it. With `verify`, prints how many events the database lacked.
 * Returns an exit code: STATUS_PROBLEM if it could not start, if `once` or `verify` met a failure, or if
 * progress could not be saved. */
int forwarder_run(const struct config *config, const struct forward *forward);

#endif
