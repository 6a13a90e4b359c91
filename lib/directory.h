/* The journal's directory, and the append lock in it. */
#ifndef DOORPOST_DIRECTORY_H
#define DOORPOST_DIRECTORY_H

#include "config.h"
#include "lock.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

struct directory {
    char path[CONFIG_PATH_SIZE];
    int fd, lock; /* descriptors; -1: not open */
    struct stat status, lock_status;
    bool remote;      /* on a network file system, where other hosts may write too */
    int64_t mtime_ns; /* when an entry was made or removed last, nanoseconds since 1970; set with the lock */
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
 * One on a network file system is always opened again: only then do its clients ask the server what it holds
 * (close-to-open consistency, RFC 8881, section 10.3.1). Returns 0; 1 if it was opened again, and whatever
 * else was opened in it before is of another directory or time; ERROR_TIMEOUT or ERROR_TROUBLE with a reason.
 */
int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason);
void directory_unlock(struct directory *directory);

/* Sets directory->modified again, after this process has made an entry. The caller holds the lock. */
void directory_refresh_mtime(struct directory *directory);

/* Opens the subdirectory `name` of `directory` (a descriptor). If it is not there, makes it, and its name
 * durable, or returns ERROR_INVALID if `make` is false. Returns a descriptor, or ERROR_TROUBLE with a reason.
 */
int directory_open_subdirectory(int directory, const char *name, bool make, struct reason *reason);

/* Opens the subdirectory to list it, for closedir(). NULL with errno set if that fails. */
DIR *directory_list(int directory, const char *name);

/* Removes the files in the subdirectory, if there is one, durably: what is made next does not come to the
 * disk before they are gone from it. Returns 0, or ERROR_TROUBLE with a reason. */
int directory_clear(int directory, const char *name, struct reason *reason);

/* Makes the names in the subdirectory durable. Returns 0, or -1 with errno set. */
int directory_sync(int directory, const char *name);

#endif
