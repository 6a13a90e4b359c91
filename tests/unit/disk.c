#define _GNU_SOURCE
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define NFS_MAGIC 0x6969

struct disk disk;

void reset_disk(void) {
    disk = (struct disk){.boot = NULL};
}

static void note(char call) {
    size_t length = strlen(disk.calls);
    if (length + 1 < sizeof disk.calls)
        disk.calls[length] = call;
}

const char *data_calls(void) {
    static char calls[sizeof disk.calls];
    size_t length = 0;
    for (const char *call = disk.calls; *call != '\0'; call++)
        if (*call != 'n')
            calls[length++] = *call;
    calls[length] = '\0';
    return calls;
}

int fsync(int fd) {
    note('n');
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

int fdatasync(int fd) {
    note('s');
    if (disk.failing_syncs > 0) {
        disk.failing_syncs--;
        if (disk.on_failing_sync != NULL)
            disk.on_failing_sync(fd);
        errno = EIO;
        return -1;
    }
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    note('w');
    return syscall(SYS_pwritev, fd, parts, count, at, 0L);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at) {
    struct stat status;
    if (disk.slow_reads)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    if (disk.unreadable != 0 && fstat(fd, &status) == 0 && status.st_ino == disk.unreadable) {
        errno = EIO;
        return -1;
    }
    ssize_t got = syscall(SYS_pread64, fd, bytes, length, at);
    disk.read += got > 0 ? (unsigned long)got : 0;
    return got;
}

int posix_fadvise(int fd, off_t at, off_t length, int advice) {
    (void)fd, (void)at, (void)length;
    disk.prefetched += advice == POSIX_FADV_WILLNEED;
    return 0;
}

/* A descriptor that reads this text. */
static int file_of(const char *text) {
    int fd = (int)syscall(SYS_memfd_create, "boot", 0);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || lseek(fd, 0, SEEK_SET) != 0)
        return -1;
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    if (disk.boot == NULL || strcmp(path, BOOT_ID) != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (disk.boot[0] != '\0')
        return file_of(disk.boot);
    errno = ENOENT;
    return -1;
}

int openat(int directory, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    disk.opened++;
    return (int)syscall(SYS_openat, directory, path, flags, mode);
}

int fstatfs(int fd, struct statfs *out) {
    int result = (int)syscall(SYS_fstatfs, fd, out);
    if (disk.remote)
        out->f_type = NFS_MAGIC;
    return result;
}
