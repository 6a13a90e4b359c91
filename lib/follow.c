/* A network file system does not notify of other machines' writes. So even with inotify, a wait lasts at most
 * a second. */
#include "follow.h"

#include <poll.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POLL_WITH_INOTIFY 1000 /* milliseconds */
#define POLL_EVERY 500

void follow_start(struct follow *follow, const char *directory) {
    follow->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (follow->notify >= 0 && inotify_add_watch(follow->notify, directory, IN_MODIFY | IN_CREATE) < 0)
        follow_end(follow);
}

void follow_end(struct follow *follow) {
    if (follow->notify >= 0)
        close(follow->notify);
    follow->notify = -1;
}

int64_t follow_poll_timeout_ms(const struct follow *follow) {
    return follow->notify >= 0 ? POLL_WITH_INOTIFY : POLL_EVERY;
}

void follow_wait(struct follow *follow, int64_t milliseconds) {
    char events[4096];
    int64_t longest = follow_poll_timeout_ms(follow);
    int wait = (int)(milliseconds >= 0 && milliseconds < longest ? milliseconds : longest);
    struct pollfd watched = {.fd = follow->notify, .events = POLLIN};
    if (poll(&watched, 1, wait) > 0)
        while (read(follow->notify, events, sizeof events) > 0)
            continue;
}
