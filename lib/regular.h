/* Opening files where someone could have put something other than a file. */
#ifndef DOORPOST_REGULAR_H
#define DOORPOST_REGULAR_H

#include "error.h"

/* Opens `name` in `directory` (a descriptor) with `flags` and mode 0600, if it is a regular file: what would
 * block (a FIFO), act (a device) or lead away (a symbolic link) is refused. With AT_FDCWD, `name` is a path
 * that the operator chose, and may be a link to a file. Returns the descriptor; ERROR_INVALID if there is no
 * such file; ERROR_DAMAGED if it is not a file; or ERROR_TROUBLE. All with a reason; errno is that of
 * openat(2). */
int regular_open(int directory, const char *name, int flags, struct reason *reason);

#endif
