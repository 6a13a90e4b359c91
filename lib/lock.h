/* The append lock: an fcntl record lock, which also works on NFS, taken with a deadline. */
#ifndef DOORPOST_LOCK_H
#define DOORPOST_LOCK_H

#include "error.h"

#include <signal.h>
#include <stdint.h>

struct deadline {
    int64_t at;                                  /* on monotonic_now()'s clock */
    const volatile sig_atomic_t *stop_requested; /* or NULL; once set, waits end within half a second */
};

/* Locks the whole file exclusively. Returns 0, ERROR_TIMEOUT if the deadline passed, or ERROR_SYSTEM if
 * the file system has no locks. Uses interrupt_start() while waiting. The process must hold only one
 * descriptor of the file: closing any other would release the lock (POSIX, fcntl). */
int lock_take(int fd, const struct deadline *deadline, struct reason *reason);

void lock_release(int fd);

#endif
