/* The append lock: an fcntl record lock, which also works on NFS, taken with a deadline. */
#ifndef DOORPOST_LOCK_H
#define DOORPOST_LOCK_H

#include "error.h"

#include <signal.h>
#include <stdint.h>

/* How long a caller will wait. */
struct deadline {
    int64_t at;                                  /* on monotonic_now()'s clock */
    const volatile sig_atomic_t *stop_requested; /* or NULL; once not 0, waits end within half a second */
};

/* Locks the whole file exclusively. Returns 0, ERROR_TIMEOUT when the deadline passed, or ERROR_TROUBLE where
 * the file system has no locks. Uses interrupt_start() while it waits. The
 * process must hold one descriptor of the file at most: closing any other one would release the lock (POSIX,
 * fcntl). */
int lock_take(int fd, const struct deadline *deadline, struct reason *reason);

void lock_release(int fd);

#endif
