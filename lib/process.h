/* Process setup common to all programs. */
#ifndef DOORPOST_PROCESS_H
#define DOORPOST_PROCESS_H

#include <stdbool.h>

/* Prepares the process; process.c says what is set and what is trusted. Must be called first in main(). */
void process_prepare(void);

/* Returns true if `signal` was ignored when the program started, as nohup(1) and shells do for background
 * jobs. It must then stay ignored (POSIX, nohup). */
bool process_ignores(int signal);

#endif
