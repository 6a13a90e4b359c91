/* Waiting until the journal has grown. */
#ifndef DOORPOST_FOLLOW_H
#define DOORPOST_FOLLOW_H

#include <stdint.h>

struct follow {
    int notify; /* inotify, or -1 */
};

/* Watches the directory; where that does not work, follow_wait() looks again every half second. */
void follow_start(struct follow *follow, const char *directory);
void follow_end(struct follow *follow);

/* Returns once something may have been written, at once where that was since the last call; after
 * `milliseconds` at the latest (-1: no limit); or when a signal came. */
void follow_wait(struct follow *follow, int64_t milliseconds);

/* The longest time in milliseconds after which to look again, whatever is told. */
int64_t follow_poll_timeout_ms(const struct follow *follow);

#endif
