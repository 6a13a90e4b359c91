/* A consumer's progress and failures. Each function returns an exit code. */
#ifndef DOORPOST_STATUS_H
#define DOORPOST_STATUS_H

#include "config.h"

#include <stdbool.h>

/* `name`: one consumer; NULL: all. */
int status_show(const struct config *config, const char *name, bool json);
int status_show_failed(const struct config *config, const char *name, bool json);

/* Removes the event with that number or id from the list; it is not run again. */
int status_drop(const struct config *config, const char *name, const char *id);

/* If the event with that number or id still awaits a retry, has it retried at once; otherwise sets *to_run:
 * the caller must run it. */
int status_retry(const struct config *config, const char *name, const char *id, bool *to_run);

#endif
