/* DOORPOST_ON_EVENT: a command for each event, without a daemon. The handler only sees to it that `doorpost
 * exec` is running. */
#ifndef DOORPOST_ON_EVENT_H
#define DOORPOST_ON_EVENT_H

#include "config.h"
#include "lock.h"

/* Before anything is appended: makes the consumer's cursor where there is none, so that whatever comes is
 * behind it. Returns 0 or ERROR_TROUBLE with a reason: then the events of this batch may start nothing. */
int on_event_prepare(const struct config *config, const struct deadline *deadline, struct reason *reason);

/* After the answers are out: starts `doorpost exec --once --name on-event`, detached, unless it is running.
 * Returns 0 or ERROR_TROUBLE with a reason. */
int on_event_start(const struct config *config, struct reason *reason);

#endif
