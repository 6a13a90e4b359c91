/* How far forwarders have come, for people and monitoring. */
#ifndef DOORPOST_FORWARD_STATUS_H
#define DOORPOST_FORWARD_STATUS_H

#include "config.h"
#include "forward_note.h"
#include "lag.h"

struct forward_status {
    const char *name; /* of the consumer */
    int process;      /* 0: it is not running */
    struct forward_note note;
    struct lag lag;
};

/* Calls visit for each consumer that is a forwarder. Returns an exit code. */
int forward_status_each(struct lines *lines,
                        void (*visit)(void *context, const struct forward_status *status), void *context);

/* Prints the status of one forwarder, or of all if `name` is NULL. Returns an exit code. */
int forward_status_show(const struct config *config, const char *name, bool json);

#endif
