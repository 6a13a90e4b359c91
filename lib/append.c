/* Durability depends on the order of writes: append_write() under the lock, append_sync() outside it, then
 * the answer. */
#define _GNU_SOURCE /* memrchr */
#include "append.h"

#include "hole.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static size_t total_length(const struct append *append) {
    size_t length = 0;
    for (int i = 0; i < append->count; i++)
        length += append->parts[i].iov_len;
    return length;
}

/* Returns 0 if every byte was written. A short write is not retried: it means that the disk is full or a
 * limit was reached. */
static int write_parts(const struct append *append) {
    ssize_t written;
    do
        written = pwritev(append->fd, append->parts, append->count, (off_t)append->at);
    while (written < 0 && errno == EINTR);
    if (written >= 0 && (size_t)written != total_length(append)) {
        errno = ENOSPC;
        return -1;
    }
    return written < 0 ? -1 : 0;
}

int append_end(int fd, uint64_t size, uint64_t *end, struct reason *reason) {
    char window[4096];
    for (*end = size; (*end = hole_start(fd, *end)) > 0;) {
        size_t length = *end < sizeof window ? (size_t)*end : sizeof window;
        if (pread(fd, window, length, (off_t)(*end - length)) != (ssize_t)length)
            return FAIL(reason, ERROR_SYSTEM, "cannot read the end of the journal: %s", strerror(errno));
        const char *line_break = memrchr(window, '\n', length);
        if (line_break != NULL) {
            *end -= length - (size_t)(line_break + 1 - window);
            return 0;
        }
        *end -= length;
    }
    return 0;
}

int append_write(const struct append *append, struct reason *reason) {
    if (write_parts(append) == 0)
        return 0;
    int result = FAIL(reason, ERROR_SYSTEM, "cannot write to the journal: %s", strerror(errno));
    /* If this fails too, the next writer truncates the torn tail. */
    if (ftruncate(append->fd, (off_t)append->at) != 0)
        explain(reason, "cannot write to the journal, nor truncate the partial write: %s", strerror(errno));
    return result;
}

enum sync append_sync(const struct append *append, struct reason *reason) {
    if (fdatasync(append->fd) == 0)
        return SYNC_CLEAN;
    explain(reason, "cannot sync the journal: %s", strerror(errno));
    if (write_parts(append) != 0 || fdatasync(append->fd) != 0)
        return SYNC_FAILED;
    return SYNC_REWRITTEN;
}

static bool matches_at(int fd, uint64_t at, const struct iovec *part) {
    char bytes[512];
    size_t length = part->iov_len < sizeof bytes ? part->iov_len : sizeof bytes;
    return pread(fd, bytes, length, (off_t)at) == (ssize_t)length &&
           memcmp(bytes, part->iov_base, length) == 0;
}

bool append_is_present(const struct append *append, int fd) {
    uint64_t last = append->at;
    for (int i = 0; i + 3 < append->count; i++)
        last += append->parts[i].iov_len;
    return append->count < 3 ||
           (matches_at(fd, append->at, &append->parts[0]) &&
            (append->count == 3 || matches_at(fd, last, &append->parts[append->count - 3])));
}
