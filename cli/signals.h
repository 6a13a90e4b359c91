/* Signals that end a program, as a descriptor that can be polled. */
#ifndef DOORPOST_SIGNALS_H
#define DOORPOST_SIGNALS_H

#include <stdbool.h>

/* Blocks SIGTERM, SIGINT and SIGHUP, the last two unless they are ignored (nohup), and SIGCHLD if `children`;
 * ignores SIGPIPE. Returns a descriptor, or -1 with errno set. */
int signals_open(bool children);

/* Reads what has arrived. Returns true if the program is to end. */
bool signals_take(int fd);

#endif
