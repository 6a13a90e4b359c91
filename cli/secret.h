/* Text that must not be left lying around in memory, and asking for it. */
#ifndef DOORPOST_SECRET_H
#define DOORPOST_SECRET_H

#include "error.h"

#include <stddef.h>
#include <sys/types.h>

/* Reads a file of KEY_FILE_SIZE bytes at most ("-": standard input) into memory of sodium_malloc(), with a
 * NUL behind it; the caller frees it with sodium_free(). Returns NULL after having said why not. */
char *secret_read(const char *path, size_t *length);

/* Asks for one line on the terminal, without showing it; without a terminal, reads it from standard input.
 * As secret_read(). */
char *secret_ask(const char *prompt, size_t *length);

/* The same of a descriptor; `name` is for messages. */
char *secret_read_fd(int fd, const char *name, size_t *length);

/* Whose a file is to be. */
struct ownership {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

/* Gives the file `name` of `directory` (a descriptor) this text: writes another file beside it, syncs it, and
 * moves it over, so that a reader finds the old text or the new one. `path` is for messages. Returns 0 or
 * says why not. */
int secret_write(int directory, const char *name, const char *path, const char *text, size_t length,
                 const struct ownership *ownership);

#endif
