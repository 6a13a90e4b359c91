/* cursors/NAME.log: standard error of a runner that the handler started and nobody watches. */
#ifndef DOORPOST_RUNLOG_H
#define DOORPOST_RUNLOG_H

#include <stdbool.h>

/* If standard error is that file, prefixes messages with the time, and enables runlog_limit(). */
void runlog_start(const char *journal, const char *name);

/* Returns true if it is. */
bool runlog_is_used(void);

/* Discards the older half of a large file. */
void runlog_limit(void);

#endif
