/* Appends to a file: all bytes or none, then durable. */
#ifndef DOORPOST_APPEND_H
#define DOORPOST_APPEND_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* What was written where, so that it can be rewritten. The caller owns the parts. */
struct append {
    int fd;
    uint64_t at;
    const struct iovec *parts;
    int count; /* IOV_MAX at most */
};

/* Sets *end to the end of the last complete line in a file of `size` bytes. What a killed writer left after
 * it was never acknowledged. Returns 0, or ERROR_SYSTEM with a reason. */
int append_end(int fd, uint64_t size, uint64_t *end, struct reason *reason);

/* Writes the parts at `at`, the end of the file. On a short write, truncates the file to `at` and returns
 * ERROR_SYSTEM. The caller holds the append lock. */
int append_write(const struct append *append, struct reason *reason);

enum sync { SYNC_FAILED, SYNC_CLEAN, SYNC_REWRITTEN };

/* Makes what append_write() wrote durable. After a failed sync the kernel may drop the pages and report the
 * next sync as a success, so the bytes are rewritten in place before the single retry. SYNC_REWRITTEN then
 * covers these bytes only. */
enum sync append_sync(const struct append *append, struct reason *reason);

/* Returns true if `fd` still holds the beginnings of the first and last lines that append_write() wrote.
 * Each line has three parts; the first contains its number and chain. */
bool append_is_present(const struct append *append, int fd);

#endif
