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
    bool remote;      /* on a network file system, so other hosts may write too */
    int64_t mtime_ns; /* modification time, nanoseconds since 1970; set when the lock is taken */
};

/* Initializes without opening anything. `path` is copied. */
void directory_start(struct directory *directory, const char *path);
void directory_close(struct directory *directory);

/* The journal format that this program reads and writes: doorpost-journal(5). A later format has its number
 * in a file `format`. */
#define DIRECTORY_FORMAT 1

/* Opens the directory for reading. Returns 0, or ERROR_SYSTEM with a reason; also for a later format, which
 * must not be reported as damage. */
int directory_open(struct directory *directory, struct reason *reason);

/* Takes the append lock, first reopening the directory if it is closed or was replaced. On a network file
 * system it is always reopened: only then does the client revalidate its cache (close-to-open consistency,
 * RFC 8881, section 10.3.1). Returns 0; 1 if it was reopened, so that descriptors opened in it before are
 * stale; ERROR_TIMEOUT or ERROR_SYSTEM with a reason. */
int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason);
void directory_unlock(struct directory *directory);

/* Updates directory->mtime_ns after this process has created an entry. The caller holds the lock. */
void directory_refresh_mtime(struct directory *directory);

/* Opens the subdirectory `name` of `directory` (a descriptor). If it does not exist, creates it durably if
 * `make`, else returns ERROR_INVALID. Returns a descriptor, or ERROR_SYSTEM with a reason. */
int directory_open_subdirectory(int directory, const char *name, bool make, struct reason *reason);

/* Opens the subdirectory for listing; the caller calls closedir(). Returns NULL with errno set on failure. */
DIR *directory_list(int directory, const char *name);

/* Durably removes the files in the subdirectory, if it exists, before anything new is created in it. Returns
 * 0, or ERROR_SYSTEM with a reason. */
int directory_clear(int directory, const char *name, struct reason *reason);

/* Makes the names in the subdirectory durable. Returns 0, or -1 with errno set. */
int directory_sync(int directory, const char *name);

#endif
