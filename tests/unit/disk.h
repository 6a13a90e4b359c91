/* A disk, and a kernel, that can be told to fail. The calls in disk.c come before the C library's. */
#ifndef DOORPOST_TESTS_DISK_H
#define DOORPOST_TESTS_DISK_H

#include <stdbool.h>
#include <sys/types.h>

extern struct disk {
    int failing_syncs; /* so many calls of fdatasync() to come fail with EIO */
    void (*on_failing_sync)(int fd);
    bool slow_reads;     /* each takes a tenth of a millisecond */
    unsigned prefetched; /* calls of posix_fadvise(POSIX_FADV_WILLNEED) */
    unsigned long read;  /* bytes, by pread() */
    unsigned opened;     /* calls of openat() */
    ino_t unreadable;    /* pread() of this file fails with EIO */
    const char *boot;    /* what the kernel says of which boot this is; NULL: the truth, "": nothing */
    bool remote;         /* every file system says that it is NFS */
    char calls[512];     /* what was done to the disk, in order: 'n' fsync, 's' fdatasync, 'w' pwritev */
} disk;

/* The calls but for 'n': the directory is synced once more when the time of its last change is no longer the
 * present, which may be at any moment of a test. */
const char *data_calls(void);

/* Set-up for cmocka: all is well, and nothing has been done yet. */
void reset_disk(void);

#endif
