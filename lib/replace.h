/* Small files of the journal, in its directory or in cursors/, that are read and replaced as a whole. */
#ifndef DOORPOST_REPLACE_H
#define DOORPOST_REPLACE_H

#include "error.h"

#include <stddef.h>

/* `directory` is the journal's descriptor; paths are relative to it. */

/* Creates cursors/ if it is missing, durably. */
int replace_prepare(int directory, struct reason *reason);

/* Reads the whole file. Returns 1 with *text (the caller frees it; a NUL follows its *length bytes); 0 if
 * there is none; ERROR_DAMAGED if it is not a regular file or has holes; or ERROR_SYSTEM if it cannot be
 * read. */
int replace_read(int directory, const char *path, char **text, size_t *length, struct reason *reason);

/* Creates a spare file of `size` bytes, inode and blocks, so that a replace_write() of that size succeeds
 * on a full disk. Reuses an existing spare. Returns 0; ERROR_INVALID with a reason if writing is not
 * permitted and a retry is pointless; or ERROR_SYSTEM. */
int replace_reserve(int directory, const char *spare, size_t size, struct reason *reason);

/* Writes the spare, creating it if missing, and renames it to `path`, durably: a reader finds either the
 * old text or the new one. */
int replace_write(int directory, const char *spare, const char *path, const char *text, size_t length,
                  struct reason *reason);

#endif
