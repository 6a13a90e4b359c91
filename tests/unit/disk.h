/* A disk and a kernel that can be made to fail. The functions in disk.c override the C library's. */
#ifndef DOORPOST_TESTS_DISK_H
#define DOORPOST_TESTS_DISK_H

#include <stdbool.h>
#include <sys/types.h>

extern struct disk {
    int failing_syncs; /* number of fdatasync() calls that will fail with EIO */
    void (*on_failing_sync)(int fd);
    bool slow_reads;     /* each read takes a tenth of a millisecond */
    unsigned prefetched; /* calls of posix_fadvise(POSIX_FADV_WILLNEED) */
    unsigned long read;  /* bytes read by pread() */
    unsigned opened;     /* calls of openat() */
    ino_t unreadable;    /* pread() of this file fails with EIO */
    const char *boot;    /* the boot id that the kernel reports; NULL: the real one, "": none */
    bool remote;         /* every file system is reported as NFS */
    char calls[512];     /* operations in order: 'n' fsync, 's' fdatasync, 'w' pwritev */
} disk;

/* The calls without 'n': the directory is synced once more when its modification time is in the past, which
 * may happen at any point of a test. */
const char *data_calls(void);

/* cmocka set-up: no faults, and no calls recorded. */
void reset_disk(void);

#endif
