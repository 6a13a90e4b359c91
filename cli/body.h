/* A delivery's body, from a file or standard input. */
#ifndef DOORPOST_BODY_H
#define DOORPOST_BODY_H

#include "config.h"

#include <stddef.h>

/* Reads it whole (NULL or "-": standard input); BODY_LIMIT bytes at most, as the handler has it. The caller
 * frees it. Returns NULL after having said why not. */
char *body_read(const char *path, size_t *length);

#endif
