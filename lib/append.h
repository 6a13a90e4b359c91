/* Bytes at the end of a file: all of them or none, and then on the disk. */
#ifndef DOORPOST_APPEND_H
#define DOORPOST_APPEND_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* What was written where, so that it can be written again. The parts stay the caller's. */
struct append {
    int fd;
    uint64_t at;
    const struct iovec *parts;
    int count; /* IOV_MAX at most */
};

/* Where the last whole line of a file of `size` bytes ends: what a killed writer left behind it was never
 * acknowledged. Returns 0 or ERROR_TROUBLE with a reason. */
int append_end(int fd, uint64_t size, uint64_t *end, struct reason *reason);

/* Writes the parts at `at`, the end of the file. Where the disk takes only some of the bytes, cuts the file
 * back to `at` and returns ERROR_TROUBLE. The caller holds the append lock. */
int append_write(const struct append *append, struct reason *reason);

enum sync { SYNC_FAILED, SYNC_CLEAN, SYNC_REWRITTEN };

/* Makes what append_write() wrote durable. After a failed sync the kernel may have dropped the pages and call
 * the next one a success, so the same bytes are written again in place before the one further try;
 * SYNC_REWRITTEN then vouches for these bytes alone. */
enum sync append_sync(const struct append *append, struct reason *reason);

/* Returns true if `file` still holds the beginning of the first and of the last line that append_write()
 * wrote. The parts come in threes, of which the first begins a line with its number and chain. */
bool append_is_there(const struct append *append, int fd);

#endif
