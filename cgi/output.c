#include "output.h"

#include "timestamp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

/* At most PIPE_BUF bytes at a time: a writable pipe takes that many without blocking. */
void output_write(const char *text, size_t length, int64_t deadline) {
    while (length > 0) {
        struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
        int64_t left = deadline - monotonic_now();
        if (left <= 0 || poll(&output, 1, (int)(left / 1000) + 1) == 0)
            return;
        ssize_t written = write(STDOUT_FILENO, text, length < PIPE_BUF ? length : PIPE_BUF);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return;
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}
