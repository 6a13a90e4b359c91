/* The order: write the text to the spare file, sync it, rename it, sync the directory. The spare is
 * overwritten, not truncated first, so that its blocks are reused. */
#include "replace.h"

#include "directory.h"
#include "hole.h"
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int replace_prepare(int directory, struct reason *reason) {
    int fd = directory_open_subdirectory(directory, "cursors", true, reason);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int read_open(int fd, const char *path, char **text, size_t *length, struct reason *reason) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot stat %s: %s", path, strerror(errno));
    size_t size = (size_t)status.st_size;
    if (hole_before(fd, size)) /* its size may exceed memory */
        return FAIL(reason, ERROR_DAMAGED, "%s is damaged: part of it was never written: move it away", path);
    *text = malloc(size + 1);
    if (*text == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for %s", path);
    while (*length < size) {
        ssize_t got = pread(fd, *text + *length, size - *length, (off_t)*length);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return FAIL(reason, ERROR_SYSTEM, "cannot read %s: %s", path, strerror(errno));
        *length += got > 0 ? (size_t)got : 0;
    }
    (*text)[*length] = '\0';
    return 1;
}

int replace_read(int directory, const char *path, char **text, size_t *length, struct reason *reason) {
    *text = NULL;
    *length = 0;
    struct reason why;
    int fd = regular_open(directory, path, O_RDONLY, &why);
    if (fd == ERROR_INVALID)
        return 0; /* and the caller's reason stays as it is */
    if (fd < 0)
        return explain(reason, "%s", why.text), fd;
    int result = read_open(fd, path, text, length, reason);
    close(fd);
    if (result < 0) {
        free(*text);
        *text = NULL;
    }
    return result;
}

static int write_all(int fd, const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

/* Overwrites the file, and truncates it to the text if `trim`. Returns 0, or -1 with errno set. */
static int overwrite(int directory, const char *path, const char *text, size_t length, bool trim) {
    int fd = regular_open(directory, path, O_WRONLY | O_CREAT, NULL);
    if (fd < 0)
        return -1;
    int result = write_all(fd, text, length);
    if (result == 0 && trim)
        result = ftruncate(fd, (off_t)length);
    if (result == 0)
        result = fdatasync(fd);
    int error = errno;
    if (close(fd) != 0 && result == 0)
        return -1; /* some network file systems report a full disk only here */
    errno = error;
    return result;
}

int replace_reserve(int directory, const char *spare, size_t size, struct reason *reason) {
    char *blank = malloc(size);
    if (blank == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for %s", spare);
    memset(blank, ' ', size);
    int result = overwrite(directory, spare, blank, size, false);
    free(blank);
    if (result == 0)
        return 0;
    bool forbidden = errno == EROFS || errno == EACCES || errno == EPERM;
    return FAIL(reason, forbidden ? ERROR_INVALID : ERROR_SYSTEM, "cannot write %s: %s", spare,
                strerror(errno));
}

int replace_write(int directory, const char *spare, const char *path, const char *text, size_t length,
                  struct reason *reason) {
    if (overwrite(directory, spare, text, length, true) == 0 &&
        renameat(directory, spare, directory, path) == 0 &&
        directory_sync(directory, strchr(path, '/') != NULL ? "cursors" : ".") == 0)
        return 0;
    return FAIL(reason, ERROR_SYSTEM, "cannot write %s: %s", path, strerror(errno));
}
