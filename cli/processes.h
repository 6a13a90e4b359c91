/* Which users programs of this machine run as, by proc(5). */
#ifndef DOORPOST_PROCESSES_H
#define DOORPOST_PROCESSES_H

#include "user.h"

#include <sys/stat.h>

/* Finds a process of another user than root whose program's file has one of the names (the last is NULL),
 * and, if `holds` is not NULL, that has this file or directory open. */
bool processes_find(const char *const *names, const struct stat *holds, struct user *user);

#endif
