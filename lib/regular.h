/* Opens files in places where somebody could have put something other than a regular file. */
#ifndef DOORPOST_REGULAR_H
#define DOORPOST_REGULAR_H

#include "error.h"

/* Opens `name` in `directory` (a descriptor) with `flags` and mode 0600 if it is a regular file. Refuses
 * anything that could block (a FIFO), act (a device) or redirect (a symbolic link). With AT_FDCWD, `name`
 * is a path chosen by the operator and may be a symbolic link. Returns the descriptor; ERROR_INVALID if
 * there is no such file; ERROR_DAMAGED if it is not a regular file; or ERROR_SYSTEM. All with a reason;
 * errno is that of openat(2). */
int regular_open(int directory, const char *name, int flags, struct reason *reason);

#endif
