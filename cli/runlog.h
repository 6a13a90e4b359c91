/* cursors/NAME.log: the standard error of a runner that the handler has started, and nobody watches. */
#ifndef DOORPOST_RUNLOG_H
#define DOORPOST_RUNLOG_H

#include <stdbool.h>

/* If standard error is that file, messages get their time, and runlog_limit() keeps it small. */
void runlog_start(const char *journal, const char *name);

/* Is it? */
bool runlog_is_used(void);

/* Cuts off its older half once it is large. */
void runlog_limit(void);

#endif
