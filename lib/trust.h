/* Root follows a path only if no other user can change what it refers to. */
#ifndef DOORPOST_TRUST_H
#define DOORPOST_TRUST_H

#include "error.h"

#include <sys/types.h>

/* Checks each directory and symbolic link on the path, and the file itself: all must belong to root or to
 * `owner`, and be writable by no one else. Returns 0; ERROR_INVALID if the file does not exist and only
 * root or `owner` could create it; or ERROR_SYSTEM. Both errors come with a reason that says what to
 * change.
 *
 * After 0, no other user can change what the path refers to, so it may be opened by name. */
int trust_path(const char *path, uid_t owner, struct reason *reason);

/* Splits a path into its directory and its last name. Returns 0, or ERROR_SYSTEM with a reason if the path
 * is too long or does not end in a name. */
int trust_split(const char *path, char *directory, char *name, size_t size, struct reason *reason);

#endif
