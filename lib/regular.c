/* O_NONBLOCK only matters for the open itself: it does not affect reading or writing a regular file. */
#include "regular.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int regular_open(int directory, const char *name, int flags, struct reason *reason) {
    struct stat status;
    int follow = directory == AT_FDCWD ? 0 : O_NOFOLLOW;
    int fd = openat(directory, name, flags | follow | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || errno == ENXIO || errno == EISDIR || (errno == ELOOP && follow != 0))
        return FAIL(reason, ERROR_DAMAGED, "%s is not a regular file: move it away", name);
    return FAIL(reason, errno == ENOENT ? ERROR_INVALID : ERROR_SYSTEM, "cannot open %s: %s", name,
                strerror(errno));
}
