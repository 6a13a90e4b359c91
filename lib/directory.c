/* A process may live for months, and the directory be moved or replaced under it meanwhile; so each time the
 * lock is taken, its file is looked for again under its name. */
#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void directory_start(struct directory *directory, const char *path) {
    snprintf(directory->path, sizeof directory->path, "%s", path);
    directory->file = directory->lock = -1;
}

void directory_close(struct directory *directory) {
    if (directory->file >= 0)
        close(directory->file);
    if (directory->lock >= 0)
        close(directory->lock);
    directory->file = directory->lock = -1;
}

static int check_format(const struct directory *directory, struct reason *reason) {
    char text[16] = "";
    int file = openat(directory->file, "format", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0
                               : fail(reason, ERROR_TROUBLE, "cannot read %s/format: %s", directory->path,
                                      strerror(errno));
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length > 0 && atoi(text) == DIRECTORY_FORMAT)
        return 0;
    return fail(reason, ERROR_TROUBLE,
                "the journal %s is of format %.*s, and this program knows format %d: a later Doorpost has "
                "written it, install that",
                directory->path, (int)strcspn(text, "\n"), text, DIRECTORY_FORMAT);
}

int directory_open(struct directory *directory, struct reason *reason) {
    directory_close(directory);
    directory->file = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->file < 0)
        return fail(reason, ERROR_TROUBLE, "cannot open the journal directory %s: %s", directory->path,
                    strerror(errno));
    if (check_format(directory, reason) != 0) {
        directory_close(directory);
        return ERROR_TROUBLE;
    }
    return 0;
}

static int open_lock(struct directory *directory, struct reason *reason) {
    int result = directory_open(directory, reason);
    if (result != 0)
        return result;
    directory->lock = openat(directory->file, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (directory->lock < 0 || fstat(directory->lock, &directory->lock_status) != 0) {
        explain(reason, "cannot write to the journal directory %s: %s", directory->path, strerror(errno));
        directory_close(directory);
        return ERROR_TROUBLE;
    }
    return 0;
}

/* A lock file that others no longer find under its name excludes nobody: it, or the whole directory, was
 * replaced. */
static bool lock_is_current(const struct directory *directory) {
    char name[CONFIG_PATH_SIZE + sizeof "/lock"];
    struct stat status;
    snprintf(name, sizeof name, "%s/lock", directory->path);
    return stat(name, &status) == 0 && status.st_ino == directory->lock_status.st_ino &&
           status.st_dev == directory->lock_status.st_dev;
}

int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason) {
    bool opened = false;
    for (int tries = 0; tries < 3; tries++) {
        int result = 0;
        if (directory->lock < 0) {
            result = open_lock(directory, reason);
            opened = true;
        }
        if (result == 0)
            result = lock_take(directory->lock, deadline, reason);
        if (result != 0)
            return result;
        if (lock_is_current(directory))
            return opened;
        directory_close(directory);
    }
    return fail(reason, ERROR_TROUBLE, "the journal directory %s keeps changing", directory->path);
}

void directory_unlock(struct directory *directory) {
    lock_release(directory->lock);
}
