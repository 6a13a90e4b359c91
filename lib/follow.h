/* Waits for the journal to grow. */
#ifndef DOORPOST_FOLLOW_H
#define DOORPOST_FOLLOW_H

#include <stdint.h>

struct follow {
    int notify; /* inotify, or -1 */
};

/* Watches the directory. If that fails, follow_wait() polls every half second. */
void follow_start(struct follow *follow, const char *directory);
void follow_end(struct follow *follow);

/* Returns once something may have been written since the last call, after `milliseconds` (-1: no limit), or
 * on a signal. */
void follow_wait(struct follow *follow, int64_t milliseconds);

/* Returns the longest time in milliseconds to wait before checking again. */
int64_t follow_poll_timeout_ms(const struct follow *follow);

#endif
