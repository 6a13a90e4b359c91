/* Reading secrets without leaving copies in memory, and writing them. */
#ifndef DOORPOST_SECRET_H
#define DOORPOST_SECRET_H

#include "error.h"

#include <stddef.h>
#include <sys/types.h>

/* Reads a file of at most KEY_FILE_SIZE bytes ("-": standard input) into NUL-terminated memory from
 * sodium_malloc(), which the caller frees with sodium_free(). Returns NULL after printing the reason. */
char *secret_read(const char *path, size_t *length);

/* Prompts for one line on the terminal, without echo; without a terminal, reads it from standard input.
 * Returns as secret_read(). */
char *secret_ask(const char *prompt, size_t *length);

/* The same for a descriptor; `name` is for messages. */
char *secret_read_fd(int fd, const char *name, size_t *length);

/* Ownership and mode for a file. */
struct ownership {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

/* Replaces the contents of file `name` in `directory` (a descriptor): writes a temporary file, syncs it, and
 * renames it, so that a reader sees either the old or the new text. `path` is for messages. Returns 0, or
 * STATUS_PROBLEM after printing the reason. */
int secret_write(int directory, const char *name, const char *path, const char *text, size_t length,
                 const struct ownership *ownership);

#endif
