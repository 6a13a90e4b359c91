/* A process may live for months, and the directory be moved or replaced under it meanwhile; so each time the
 * lock is taken, the directory and the lock file are looked for again under their names. A copy made of hard
 * links has the same lock file, so the one does not answer for the other. */
#include "directory.h"

#include "quote.h"
#include "regular.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NFS_MAGIC 0x6969
#define SMB2_MAGIC 0xfe534d42

void directory_start(struct directory *directory, const char *path) {
    *directory = (struct directory){.file = -1, .lock = -1};
    snprintf(directory->path, sizeof directory->path, "%s", path);
}

void directory_close(struct directory *directory) {
    if (directory->file >= 0)
        close(directory->file);
    if (directory->lock >= 0)
        close(directory->lock);
    directory->file = directory->lock = -1;
}

static int check_format(const struct directory *directory, struct reason *reason) {
    char text[16] = "", quoted[QUOTE_SIZE(sizeof text)];
    int file = regular_open(directory->file, "format", O_RDONLY, reason);
    if (file < 0)
        return file == ERROR_INVALID ? 0 : ERROR_TROUBLE;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length > 0 && atoi(text) == DIRECTORY_FORMAT)
        return 0;
    size_t quoted_length = quote(quoted, sizeof quoted, text, strcspn(text, "\n"));
    return fail(reason, ERROR_TROUBLE,
                "the journal %s is of format %.*s, and this program knows format %d: a later Doorpost has "
                "written it, install that",
                directory->path, (int)quoted_length - 2, quoted + 1, DIRECTORY_FORMAT);
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

static bool is_remote(int file) {
    struct statfs system;
    return fstatfs(file, &system) == 0 && (system.f_type == NFS_MAGIC || system.f_type == SMB2_MAGIC);
}

static int open_lock(struct directory *directory, struct reason *reason) {
    int result = directory_open(directory, reason);
    if (result != 0)
        return result;
    directory->remote = is_remote(directory->file);
    directory->lock = regular_open(directory->file, "lock", O_RDWR | O_CREAT, reason);
    if (directory->lock == ERROR_DAMAGED) {
        directory_close(directory);
        return ERROR_TROUBLE;
    }
    if (directory->lock < 0 || fstat(directory->lock, &directory->lock_status) != 0 ||
        fstat(directory->file, &directory->status) != 0) {
        explain(reason, "cannot write to the journal directory %s: %s", directory->path, strerror(errno));
        directory_close(directory);
        return ERROR_TROUBLE;
    }
    return 0;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int64_t modified(const struct stat *status) {
    return status->st_mtim.tv_sec * 1000 * SECOND + status->st_mtim.tv_nsec;
}

/* A lock file that others no longer find under its name excludes nobody: it, or the whole directory, was
 * replaced. */
static bool is_current(struct directory *directory) {
    struct stat named, lock;
    if (stat(directory->path, &named) != 0 || !is_same(&named, &directory->status) ||
        fstatat(directory->file, "lock", &lock, 0) != 0 || !is_same(&lock, &directory->lock_status))
        return false;
    directory->modified = modified(&named);
    return true;
}

void directory_look(struct directory *directory) {
    struct stat status;
    directory->modified = fstat(directory->file, &status) == 0 ? modified(&status) : 0;
}

int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason) {
    bool opened = false;
    if (directory->remote)
        directory_close(directory);
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
        if (is_current(directory))
            return opened;
        directory_close(directory);
    }
    return fail(reason, ERROR_TROUBLE, "the journal directory %s keeps changing", directory->path);
}

void directory_unlock(struct directory *directory) {
    lock_release(directory->lock);
}

int directory_within(int directory, const char *name, bool make, struct reason *reason) {
    if (make && mkdirat(directory, name, 0700) == 0 && fsync(directory) != 0) {
        explain(reason, "cannot make %s/ durable: %s", name, strerror(errno));
        unlinkat(directory, name, AT_REMOVEDIR); /* so that the next attempt syncs it */
        return ERROR_TROUBLE;
    }
    int file = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0)
        return file;
    return fail(reason, errno == ENOENT && !make ? ERROR_INVALID : ERROR_TROUBLE, "cannot open %s/: %s", name,
                strerror(errno));
}

DIR *directory_list(int directory, const char *name) {
    int file = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = file >= 0 ? fdopendir(file) : NULL;
    if (stream == NULL && file >= 0)
        close(file);
    return stream;
}

int directory_clear(int directory, const char *name, struct reason *reason) {
    DIR *stream = directory_list(directory, name);
    if (stream == NULL)
        return errno == ENOENT ? 0
                               : fail(reason, ERROR_TROUBLE, "cannot list %s/: %s", name, strerror(errno));
    bool good = true;
    const struct dirent *entry;
    while (good && (errno = 0, entry = readdir(stream)) != NULL)
        good = entry->d_name[0] == '.' || unlinkat(dirfd(stream), entry->d_name, 0) == 0 || errno == ENOENT;
    good = good && errno == 0 && fsync(dirfd(stream)) == 0;
    int result = good ? 0 : fail(reason, ERROR_TROUBLE, "cannot empty %s/: %s", name, strerror(errno));
    closedir(stream);
    return result;
}

int directory_sync(int directory, const char *name) {
    int file = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = file >= 0 ? fsync(file) : -1, error = errno;
    if (file >= 0)
        close(file);
    errno = error;
    return result;
}
