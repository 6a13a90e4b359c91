/* Small files, of the journal or in cursors/, that are read, and replaced, as a whole. */
#ifndef DOORPOST_REPLACE_H
#define DOORPOST_REPLACE_H

#include "error.h"

#include <stddef.h>

/* `directory` is the journal's descriptor; paths are relative to it. */

/* Makes cursors/ if it is missing, durably. */
int replace_prepare(int directory, struct reason *reason);

/* Reads the whole file. Returns 1 with *text (the caller frees it; a NUL follows its *length bytes); 0 if
 * there is none; ERROR_DAMAGED if that is no file, or has holes; or ERROR_TROUBLE: it is there, but cannot be
 * read. */
int replace_read(int directory, const char *path, char **text, size_t *length, struct reason *reason);

/* Makes a spare of `size` bytes, inode and blocks, so that a replace_write() of as many does not depend on
 * what room there is by then. A spare that is there already is used again. Returns 0; ERROR_INVALID with a
 * reason if it may not be written, and trying again is of no use; or ERROR_TROUBLE. */
int replace_reserve(int directory, const char *spare, size_t size, struct reason *reason);

/* Fills the spare, which is made if it is missing, and gives it the name `path`, durably: a reader finds the
 * old text or the new one. */
int replace_write(int directory, const char *spare, const char *path, const char *text, size_t length,
                  struct reason *reason);

#endif
