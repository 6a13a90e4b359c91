/* A process may run for months, and the directory may be moved or replaced meanwhile. So each time the lock
 * is taken, the directory and the lock file are both checked against their names: a hard-linked copy of the
 * directory has the same lock file, so checking only the lock file would not be enough. */
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
    *directory = (struct directory){.fd = -1, .lock = -1};
    snprintf(directory->path, sizeof directory->path, "%s", path);
}

void directory_close(struct directory *directory) {
    if (directory->fd >= 0)
        close(directory->fd);
    if (directory->lock >= 0)
        close(directory->lock);
    directory->fd = directory->lock = -1;
}

static int check_format(const struct directory *directory, struct reason *reason) {
    char text[16] = "", quoted[QUOTE_SIZE(sizeof text)];
    int fd = regular_open(directory->fd, "format", O_RDONLY, reason);
    if (fd < 0)
        return fd == ERROR_INVALID ? 0 : ERROR_SYSTEM;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length > 0 && atoi(text) == DIRECTORY_FORMAT)
        return 0;
    size_t quoted_length = quote(quoted, sizeof quoted, text, strcspn(text, "\n"));
    return FAIL(reason, ERROR_SYSTEM,
                "the journal %s has format %.*s, but this program supports only format %d: install the newer "
                "Doorpost that wrote it",
                directory->path, (int)quoted_length - 2, quoted + 1, DIRECTORY_FORMAT);
}

int directory_open(struct directory *directory, struct reason *reason) {
    directory_close(directory);
    directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot open the journal directory %s: %s", directory->path,
                    strerror(errno));
    if (check_format(directory, reason) != 0) {
        directory_close(directory);
        return ERROR_SYSTEM;
    }
    return 0;
}

static bool is_remote(int fd) {
    struct statfs system;
    return fstatfs(fd, &system) == 0 && (system.f_type == NFS_MAGIC || system.f_type == SMB2_MAGIC);
}

static int open_lock(struct directory *directory, struct reason *reason) {
    int result = directory_open(directory, reason);
    if (result != 0)
        return result;
    directory->remote = is_remote(directory->fd);
    directory->lock = regular_open(directory->fd, "lock", O_RDWR | O_CREAT, reason);
    if (directory->lock == ERROR_DAMAGED) {
        directory_close(directory);
        return ERROR_SYSTEM;
    }
    if (directory->lock < 0 || fstat(directory->lock, &directory->lock_status) != 0 ||
        fstat(directory->fd, &directory->status) != 0) {
        explain(reason, "cannot write to the journal directory %s: %s", directory->path, strerror(errno));
        directory_close(directory);
        return ERROR_SYSTEM;
    }
    return 0;
}

static bool is_same(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int64_t mtime_of(const struct stat *status) {
    return status->st_mtim.tv_sec * 1000 * SECOND + status->st_mtim.tv_nsec;
}

/* Returns false if the directory or its lock file was replaced: a lock that others cannot find by name
 * excludes nobody. Also updates mtime_ns. */
static bool is_current(struct directory *directory) {
    struct stat named, lock;
    if (stat(directory->path, &named) != 0 || !is_same(&named, &directory->status) ||
        fstatat(directory->fd, "lock", &lock, 0) != 0 || !is_same(&lock, &directory->lock_status))
        return false;
    directory->mtime_ns = mtime_of(&named);
    return true;
}

void directory_refresh_mtime(struct directory *directory) {
    struct stat status;
    directory->mtime_ns = fstat(directory->fd, &status) == 0 ? mtime_of(&status) : 0;
}

int directory_lock(struct directory *directory, const struct deadline *deadline, struct reason *reason) {
    bool opened = false;
    if (directory->remote)
        directory_close(directory);
    for (int attempts = 0; attempts < 3; attempts++) {
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
    return FAIL(reason, ERROR_SYSTEM, "the journal directory %s or its lock file keeps being replaced",
                directory->path);
}

void directory_unlock(struct directory *directory) {
    lock_release(directory->lock);
}

int directory_open_subdirectory(int directory, const char *name, bool make, struct reason *reason) {
    if (make && mkdirat(directory, name, 0700) == 0 && fsync(directory) != 0) {
        explain(reason, "cannot sync the directory after creating %s/: %s", name, strerror(errno));
        unlinkat(directory, name, AT_REMOVEDIR); /* so that the next attempt creates and syncs it */
        return ERROR_SYSTEM;
    }
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return FAIL(reason, errno == ENOENT && !make ? ERROR_INVALID : ERROR_SYSTEM, "cannot open %s/: %s", name,
                strerror(errno));
}

DIR *directory_list(int directory, const char *name) {
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL && fd >= 0)
        close(fd);
    return stream;
}

int directory_clear(int directory, const char *name, struct reason *reason) {
    DIR *stream = directory_list(directory, name);
    if (stream == NULL)
        return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot list %s/: %s", name, strerror(errno));
    bool good = true;
    const struct dirent *entry;
    while (good && (errno = 0, entry = readdir(stream)) != NULL)
        good = entry->d_name[0] == '.' || unlinkat(dirfd(stream), entry->d_name, 0) == 0 || errno == ENOENT;
    good = good && errno == 0 && fsync(dirfd(stream)) == 0;
    int result = good ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot empty %s/: %s", name, strerror(errno));
    closedir(stream);
    return result;
}

int directory_sync(int directory, const char *name) {
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd >= 0 ? fsync(fd) : -1, error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return result;
}
