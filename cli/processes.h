/* Users and groups that programs on this machine run as, from proc(5). */
#ifndef DOORPOST_PROCESSES_H
#define DOORPOST_PROCESSES_H

#include "config.h"
#include "user.h"

/* Finds a handler with these settings or this journal, as far as this user may look. Returns its process ID,
 * or 0. */
pid_t processes_find_worker(const struct config *config, struct user *user);

/* Finds a web server that does not run as root. */
pid_t processes_find_server(struct user *user);

/* Reads /proc/PROCESS/NAME. Returns the length; the text is NUL-terminated. */
size_t processes_read(const char *process, const char *name, char *out, size_t size);

/* Root becomes the user of that process permanently, with its groups: it may have been started with others
 * than those in /etc/group. Returns 0, or -1 with errno set. */
int processes_become(pid_t process);

#endif
