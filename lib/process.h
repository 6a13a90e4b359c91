/* What every program of ours sets up before anything else, and what it inherits. */
#ifndef DOORPOST_PROCESS_H
#define DOORPOST_PROCESS_H

#include <stdbool.h>

/* Prepares the process; see process.c for what is set and what is trusted. To be called first in main(). */
void process_prepare(void);

/* Returns true if `signal` was ignored when the program was started, as nohup(1) and shells do for what runs
 * in the background: it stays ignored then (POSIX, nohup). */
bool process_ignores(int signal);

#endif
