/* A delivery's body, from a file or standard input. */
#ifndef DOORPOST_BODY_H
#define DOORPOST_BODY_H

#include "config.h"

#include <stddef.h>

/* Reads the whole body (path NULL or "-": standard input), up to BODY_LIMIT bytes, the handler's limit. The
 * caller frees it. Prints the error and returns NULL on failure. */
char *body_read(const char *path, size_t *length);

#endif
