/* A consumer of the merged stream: its progress and failures, as status.h has them for a journal's. Each
 * function returns an exit code. `where`: see database_new(). */
#ifndef DOORPOST_TURNS_H
#define DOORPOST_TURNS_H

#include <stdbool.h>

/* `name`: one consumer; NULL: all. */
int turns_show(const char *where, const char *name, bool json);
int turns_show_failed(const char *where, const char *name, bool json);

/* Removes the event with that number or id from the list; it is not run again. */
int turns_drop(const char *where, const char *name, const char *id);

/* If the event with that number or id still awaits a retry, has it retried at once; otherwise sets *to_run:
 * the caller must run it. */
int turns_retry(const char *where, const char *name, const char *id, bool *to_run);

#endif
