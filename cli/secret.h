/* Text that must not be left lying around in memory, and asking for it. */
#ifndef DOORPOST_SECRET_H
#define DOORPOST_SECRET_H

#include "error.h"

#include <stddef.h>

/* Reads a file of KEY_FILE_SIZE bytes at most ("-": standard input) into memory of sodium_malloc(), with a
 * NUL behind it; the caller frees it with sodium_free(). Returns NULL after having said why not. */
char *secret_read(const char *path, size_t *length);

/* Asks for one line on the terminal, without showing it; without a terminal, reads it from standard input.
 * As secret_read(). */
char *secret_ask(const char *prompt, size_t *length);

/* Replaces the file's text: writes another file beside it with the same owner and `mode`, syncs it, and moves
 * it over. So whoever reads it finds the old text or the new one. Returns 0 or says why not. */
int secret_write(const char *path, const char *text, size_t length, unsigned mode);

/* Makes a name durable, by syncing the directory that it is in. Returns 0, or -1 with errno. */
int secret_sync_name(const char *path);

#endif
