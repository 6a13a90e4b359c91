/* Preloaded into the handler by the crash and fault tests. It can
 * - record every operation on files below SHIM_DIRECTORY, and every answer, in order, in the file named by
 *   SHIM_RECORD;
 * - make call number SHIM_NTH of function SHIM_FAIL fail with error number SHIM_ERRNO ("short": write half of
 *   the bytes; "drop": fail like a kernel that fails to sync and drops the pages), and then create SHIM_FIRED
 *   to show that it happened;
 * - simulate another boot (SHIM_BOOT names a file with its id; if there is no such file, the id cannot be
 *   read) and another time (SHIM_DAYS and SHIM_SECONDS each name a file with the number to add);
 * - simulate that the file system below SHIM_DIRECTORY is mounted read-only while file SHIM_READONLY exists;
 * - derive the inode numbers of the index's files from their names (SHIM_INODES), so that a disk rebuilt from
 *   a recording is not taken for a copy.
 * A line of the record: operation, path relative to the directory, number, bytes in hexadecimal, separated by
 * tabs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int record_file = -1;
static const char *directory, *fail_name, *fired, *boot;
static long nth, seen_calls;
static const char *how, *days, *seconds, *read_only;
static bool inodes;

__attribute__((constructor)) static void start(void) {
    const char *record = getenv("SHIM_RECORD");
    directory = getenv("SHIM_DIRECTORY");
    fail_name = getenv("SHIM_FAIL");
    how = getenv("SHIM_ERRNO");
    fired = getenv("SHIM_FIRED");
    boot = getenv("SHIM_BOOT");
    days = getenv("SHIM_DAYS");
    inodes = getenv("SHIM_INODES") != NULL;
    seconds = getenv("SHIM_SECONDS");
    read_only = getenv("SHIM_READONLY");
    nth = getenv("SHIM_NTH") != NULL ? atol(getenv("SHIM_NTH")) : 0;
    if (record != NULL)
        record_file =
            (int)syscall(SYS_openat, AT_FDCWD, record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* ---- recording ---- */

static bool is_below(const char *path, char out[PATH_MAX]) {
    size_t prefix = strlen(directory);
    if (strncmp(path, directory, prefix) != 0 || (path[prefix] != '/' && path[prefix] != '\0'))
        return false;
    snprintf(out, PATH_MAX, "%s", path[prefix] == '/' ? path + prefix + 1 : ".");
    return true;
}

static bool path_of(int fd, char out[PATH_MAX]) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || directory == NULL)
        return false;
    path[length] = '\0';
    return is_below(path, out);
}

static void note(const char *operation, const char *path, long long number, const void *bytes,
                 size_t length) {
    static char line[1 << 20];
    int saved = errno;
    if (record_file < 0)
        return;
    int used = snprintf(line, sizeof line, "%s\t%s\t%lld\t", operation, path, number);
    for (size_t i = 0; i < length && (size_t)used + 4 < sizeof line; i++)
        used += sprintf(line + used, "%02x", ((const unsigned char *)bytes)[i]);
    line[used++] = '\n';
    syscall(SYS_write, record_file, line, (size_t)used);
    errno = saved;
}

static void note_file(const char *operation, int fd, long long number, const void *bytes, size_t length) {
    char path[PATH_MAX];
    int saved = errno;
    if (record_file >= 0 && path_of(fd, path))
        note(operation, path, number, bytes, length);
    errno = saved;
}

/* ---- failing ---- */

static bool strikes(const char *name) {
    if (fail_name == NULL || strcmp(name, fail_name) != 0 || ++seen_calls != nth)
        return false;
    if (fired != NULL)
        close((int)syscall(SYS_openat, AT_FDCWD, fired, O_WRONLY | O_CREAT, 0600));
    return true;
}

static bool is_short(void) {
    return strcmp(how, "short") == 0;
}

static int fault(void) {
    errno = atoi(how);
    return -1;
}

/* ---- a read-only file system ---- */

static bool refuse(bool below) {
    if (below)
        errno = EROFS;
    return below;
}

static bool is_read_only(void) {
    int saved = errno;
    bool exists = read_only != NULL && syscall(SYS_faccessat, AT_FDCWD, read_only, F_OK) == 0;
    errno = saved;
    return exists;
}

static bool refuses_file(int fd) {
    char path[PATH_MAX];
    return is_read_only() && refuse(path_of(fd, path));
}

static bool refuses_path(int at, const char *name) {
    char path[PATH_MAX];
    return is_read_only() && refuse(name[0] == '/' ? is_below(name, path) : path_of(at, path));
}

/* The error that the kernel would give to an open for more than reading. */
static bool refuses_open(int at, const char *path, int flags) {
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    bool creates = (flags & O_CREAT) != 0 && faccessat(at, path, F_OK, 0) != 0 && errno == ENOENT;
    return (writes || creates) && refuses_path(at, path);
}

/* ---- the functions ---- */

static int open_and_note(int at, const char *path, int flags, mode_t mode) {
    if (refuses_open(at, path, flags))
        return -1;
    bool existed = (flags & O_CREAT) != 0 && faccessat(at, path, F_OK, 0) == 0;
    int fd = (int)syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0 && !existed)
        note_file("create", fd, 0, NULL, 0);
    if (fd >= 0 && (flags & O_TRUNC) != 0 && existed)
        note_file("truncate", fd, 0, NULL, 0);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (boot != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        path = boot;
    return strikes("open") ? fault() : open_and_note(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return strikes("openat") ? fault() : open_and_note(at, path, flags, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
    if (strikes("mkdirat"))
        return fault();
    if (refuses_path(at, path))
        return -1;
    int result = (int)syscall(SYS_mkdirat, at, path, mode);
    if (result == 0 && directory != NULL)
        note("mkdir", path, 0, NULL, 0);
    return result;
}

int unlinkat(int at, const char *path, int flags) {
    if (strikes("unlinkat"))
        return fault();
    if (refuses_path(at, path))
        return -1;
    int result = (int)syscall(SYS_unlinkat, at, path, flags);
    if (result == 0)
        note("unlink", path, 0, NULL, 0);
    return result;
}

int renameat(int at, const char *path, int to, const char *name) {
    return refuses_path(to, name) ? -1 : (int)syscall(SYS_renameat2, at, path, to, name, 0);
}

int linkat(int at, const char *path, int to, const char *name, int flags) {
    return refuses_path(to, name) ? -1 : (int)syscall(SYS_linkat, at, path, to, name, flags);
}

ssize_t read(int fd, void *bytes, size_t length) {
    if (strikes("read")) {
        if (!is_short())
            return fault();
        length = length / 2 + 1;
    }
    return syscall(SYS_read, fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (strikes("write")) {
        if (!is_short())
            return fault();
        length = length / 2;
    }
    return syscall(SYS_write, fd, bytes, length);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    if (length > 0 && memmem(bytes, length, "Status: ", 8) != NULL)
        note("answer", "", 0, bytes, length);
    return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t at) {
    if (strikes("pread")) {
        if (!is_short())
            return fault();
        length /= 2;
    }
    return syscall(SYS_pread64, fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    if (strikes("pwrite")) {
        if (!is_short())
            return fault();
        length /= 2;
    }
    if (refuses_file(fd))
        return -1;
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, at);
    if (written > 0)
        note_file("write", fd, at, bytes, (size_t)written);
    return written;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    static char all[1 << 19];
    size_t length = 0;
    for (int i = 0; i < count && length + parts[i].iov_len <= sizeof all; i++) {
        memcpy(all + length, parts[i].iov_base, parts[i].iov_len);
        length += parts[i].iov_len;
    }
    if (strikes("pwritev")) {
        if (!is_short())
            return fault();
        length /= 2;
    }
    if (refuses_file(fd))
        return -1;
    ssize_t written = syscall(SYS_pwrite64, fd, all, length, at);
    if (written > 0)
        note_file("write", fd, at, all, (size_t)written);
    return written;
}

static void set_inode(const char *path, struct stat *status) {
    if (!inodes || strncmp(path, "seen/", 5) != 0)
        return;
    status->st_ino = 5381;
    for (; *path != '\0'; path++)
        status->st_ino = status->st_ino * 33 + (unsigned char)*path;
}

int fstat(int fd, struct stat *status) {
    char path[PATH_MAX];
    int result = (int)syscall(SYS_fstat, fd, status);
    if (result == 0 && inodes && path_of(fd, path))
        set_inode(path, status);
    return result;
}

int fstatat(int at, const char *restrict path, struct stat *restrict status, int flags) {
    int result = (int)syscall(SYS_newfstatat, at, path, status, flags);
    if (result == 0)
        set_inode(path, status);
    return result;
}

int ftruncate(int fd, off_t length) {
    if (strikes("ftruncate"))
        return fault();
    if (refuses_file(fd))
        return -1;
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0)
        note_file("truncate", fd, length, NULL, 0);
    return result;
}

/* Simulates a kernel that cannot write dirty pages and discards them: the most recently appended data then
 * reads as zeros. */
static void drop_pages(int fd) {
    char zeros[4096] = {0};
    struct stat status;
    const char *from = getenv("SHIM_DROP_FROM");
    if (from == NULL || fstat(fd, &status) != 0)
        return;
    for (off_t at = atol(from); at < status.st_size; at += (off_t)sizeof zeros) {
        off_t left = status.st_size - at;
        syscall(SYS_pwrite64, fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros, at);
    }
}

static int sync_file(const char *name, long call, int fd) {
    if (strikes(name)) {
        if (strcmp(how, "drop") == 0) {
            drop_pages(fd);
            errno = EIO;
            return -1;
        }
        return fault();
    }
    int result = (int)syscall(call, fd);
    if (result == 0)
        note_file("sync", fd, 0, NULL, 0);
    return result;
}

int fdatasync(int fd) {
    return sync_file("fdatasync", SYS_fdatasync, fd);
}

int fsync(int fd) {
    return sync_file("fsync", SYS_fsync, fd);
}

/* The most recent shared mapping of part of a file: the handler maps files to sync them. */
static struct {
    void *address;
    int fd;
    off_t at;
} mapped;

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
    if (strikes("mmap")) {
        fault();
        return MAP_FAILED;
    }
    void *mapping = (void *)syscall(SYS_mmap, address, length, protection, flags, fd, at);
    if ((flags & MAP_SHARED) != 0 && mapping != MAP_FAILED) {
        mapped.address = mapping;
        mapped.fd = fd;
        mapped.at = at;
    }
    return mapping;
}

int msync(void *address, size_t length, int flags) {
    if (strikes("msync"))
        return fault();
    int result = (int)syscall(SYS_msync, address, length, flags);
    if (result == 0 && address == mapped.address) {
        char end[32];
        int digits = snprintf(end, sizeof end, "%lld", (long long)mapped.at + (long long)length);
        note_file("sync part", mapped.fd, mapped.at, end, (size_t)digits);
    }
    return result;
}

int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return strikes("fcntl") ? fault() : (int)syscall(SYS_fcntl, fd, command, argument);
}

/* The number in a file; 0 if the file is missing. */
static long number_in(const char *path) {
    char text[24] = "";
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : -1;
    long number = fd >= 0 && syscall(SYS_read, fd, text, sizeof text - 1) > 0 ? atol(text) : 0;
    if (fd >= 0)
        close(fd);
    return number;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += 86400 * number_in(days) + number_in(seconds);
    return result;
}

#ifdef SHIM_MALLOC /* not with a sanitizer, which has its own */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size) {
    if (strikes("malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    if (strikes("malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    if (strikes("malloc")) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
}
#endif
