/* Root follows a path only if no lesser user can change where it leads. */
#ifndef DOORPOST_TRUST_H
#define DOORPOST_TRUST_H

#include "error.h"

#include <sys/types.h>

/* Looks at each directory and symbolic link on the way, and at what is at the end: all must belong to root or
 * to `owner`, and be closed to other writers. Returns 0; ERROR_INVALID if there is nothing of that name, and
 * only root or `owner` could make it; or ERROR_TROUBLE. Both with a reason that says what to change.
 *
 * After 0 nobody else can change what the path means, so that it may be opened by name. */
int trust_path(const char *path, uid_t owner, struct reason *reason);

/* The directory that the last name of a path is in, and that name. Returns 0, or ERROR_TROUBLE with a reason
 * if the path is too long or ends in no name. */
int trust_split(const char *path, char *directory, char *name, size_t size, struct reason *reason);

#endif
