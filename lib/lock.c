/* fcntl can wait for a lock, but has no timeout. A signal every few milliseconds interrupts the wait to
 * check the deadline, without the latency of polling. */
#include "lock.h"

#include "interrupt.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define STOP_WAIT (SECOND / 2)

static int set_lock(int fd, int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(fd, command, &lock);
}

static int wait_for(int fd, const struct deadline *deadline) {
    int64_t end = deadline->at;
    bool stopping = false;
    for (;;) {
        if (set_lock(fd, F_SETLKW, F_WRLCK) == 0)
            return 0;
        if (errno != EINTR)
            return -1;
        int64_t now = monotonic_now();
        if (!stopping && deadline->stop_requested != NULL && *deadline->stop_requested) {
            stopping = true;
            if (now + STOP_WAIT < end)
                end = now + STOP_WAIT;
        }
        if (now >= end)
            return -1;
    }
}

int lock_take(int fd, const struct deadline *deadline, struct reason *reason) {
    int result = set_lock(fd, F_SETLK, F_WRLCK);
    if (result != 0 && (errno == EAGAIN || errno == EACCES)) {
        interrupt_start();
        result = wait_for(fd, deadline);
        interrupt_stop();
    }
    if (result == 0)
        return 0;
    if (errno == EINTR)
        return FAIL(reason, ERROR_TIMEOUT,
                    "timed out waiting for the append lock, which another process holds");
    return FAIL(reason, ERROR_SYSTEM,
                "cannot lock the journal: %s (its file system must support fcntl locks)", strerror(errno));
}

void lock_release(int fd) {
    set_lock(fd, F_SETLK, F_UNLCK);
}
