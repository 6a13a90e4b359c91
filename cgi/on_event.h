/* DOORPOST_ON_EVENT: runs a command for each event, without a daemon. The handler only makes sure that
 * `doorpost exec` is running. */
#ifndef DOORPOST_ON_EVENT_H
#define DOORPOST_ON_EVENT_H

#include "config.h"
#include "lock.h"

/* Call before appending: creates the consumer's cursor if there is none, so that all new events come after
 * it. Returns 0, or ERROR_SYSTEM with a reason; then no command may run for this batch. */
int on_event_prepare(const struct config *config, const struct deadline *deadline, struct reason *reason);

/* Call after the answers are sent: starts `doorpost exec --once --name on-event`, detached, unless it is
 * running. Returns 0, or ERROR_SYSTEM with a reason. */
int on_event_start(const struct config *config, struct reason *reason);

#endif
