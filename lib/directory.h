/* The journal's directory, and the append lock in it. */
#ifndef DOORPOST_DIRECTORY_H
#define DOORPOST_DIRECTORY_H

#include "config.h"
#include "lock.h"

#include <sys/stat.h>

struct directory {
    char path[CONFIG_PATH_SIZE];
    int file, lock; /* descriptors; -1: not open */
    struct stat lock_status;
};

/* Opens nothing yet. `path` is copied. */
void directory_start(struct directory *directory, const char *path);
void directory_close(struct directory *directory);

/* The format of journals that this program reads and writes: doorpost-journal(5). A journal of a later one
 * has a file `format` with its number. */
#define DIRECTORY_FORMAT 1

/* Opens the directory to read in it. Returns 0, or ERROR_TROUBLE with a reason; that also where its format is
 * one of later programs, which must not be taken for damage. */
int directory_open(struct directory *directory, struct reason *reason);

/* Opens the directory if it is not open, or is no longer the one under that path, and takes the append lock.
 * Returns 0; 1 where it was opened anew, and whatever else was opened in it before is of another directory;
 * ERROR_TIMEOUT or ERROR_TROUBLE with a reason. */
int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason);
void directory_unlock(struct directory *directory);

#endif
