/* What a consumer has done, and what has failed. Each returns an exit code. */
#ifndef DOORPOST_STATUS_H
#define DOORPOST_STATUS_H

#include "config.h"

#include <stdbool.h>

/* `name`: of one consumer; NULL: all. */
int status_show(const struct config *config, const char *name, bool json);
int status_show_failed(const struct config *config, const char *name, bool json);

/* Takes the event with that number or id off the list; it is not run again. */
int status_drop(const struct config *config, const char *name, const char *id);

/* If the event with that number or id is still tried again, has that done at once; else *here is true, and it
 * is to be run here. */
int status_retry(const struct config *config, const char *name, const char *id, bool *here);

#endif
