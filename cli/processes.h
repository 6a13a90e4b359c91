/* Which users programs of this machine run as, and in which groups, by proc(5). */
#ifndef DOORPOST_PROCESSES_H
#define DOORPOST_PROCESSES_H

#include "config.h"
#include "user.h"

/* Finds a handler that has these settings or this journal, as far as this user may look at it. Returns the
 * number of its process, or 0. */
pid_t processes_find_worker(const struct config *config, struct user *user);

/* Finds a web server that does not run as root. */
pid_t processes_find_server(struct user *user);

/* Reads /proc/PROCESS/NAME. Returns the length; a NUL follows. */
size_t processes_read(const char *process, const char *name, char *out, size_t size);

/* Root goes on as the user of that process for good, in its groups: it may have been started with others than
 * /etc/group says. Returns 0, or -1 with errno. */
int processes_become(pid_t process);

#endif
