#include "settled.h"

#include "options.h"
#include "segment.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOCK_TIMEOUT (30 * SECOND)

/* Takes the lock file that has the name now. */
static int take_lock(struct settled *settled, struct reason *reason) {
    int lock = cursor_open_lock(settled->directory.fd, settled->name, reason);
    int result = lock < 0 ? lock : cursor_lock(lock, settled->which, false, reason);
    if (result == ERROR_TIMEOUT)
        explain(reason, "%s is already running, as process %d", settled->name,
                cursor_holder(lock, settled->which));
    int unused = result == 0 ? settled->lock : lock;
    if (unused >= 0)
        close(unused);
    if (result == 0)
        settled->lock = lock;
    return result;
}

int settled_open(struct settled *settled, const char *journal, const char *name, enum cursor_lock which,
                 struct reason *reason) {
    memset(settled, 0, sizeof *settled);
    settled->name = name;
    settled->which = which;
    settled->lock = settled->walk.fd = settled->follow.notify = -1;
    directory_start(&settled->directory, journal);
    int result = directory_open(&settled->directory, reason);
    if (result == 0)
        result = take_lock(settled, reason);
    if (result == 0)
        follow_start(&settled->follow, journal);
    return result;
}

void settled_close(struct settled *settled) {
    if (settled->name == NULL)
        return;
    follow_end(&settled->follow);
    walk_end(&settled->walk);
    if (settled->lock >= 0)
        close(settled->lock);
    directory_close(&settled->directory);
}

static bool is_before(struct position a, struct position b) {
    return a.day < b.day || (a.day == b.day && a.offset < b.offset);
}

/* Continues after the last line read, with files reopened by name. */
static void restart_walk(struct settled *settled) {
    struct position position = settled->read.position;
    if (position.day < settled->first)
        position = (struct position){.day = settled->first};
    walk_end(&settled->walk);
    walk_start(&settled->walk, settled->directory.fd, position, (struct chain_state){.known = false});
    walk_until(&settled->walk, settled->end.day);
}

void settled_start(struct settled *settled, const struct mark *after, int32_t first) {
    settled->read = *after;
    settled->first = first;
    settled->foreign = false;
    restart_walk(settled);
}

/* Returns 0 or an error with a reason. */
static int sync_day(const struct settled *settled, int32_t day, struct reason *reason) {
    int fd = segment_open(settled->directory.fd, day, false, reason);
    if (fd < 0)
        return fd;
    int result =
        fdatasync(fd) == 0 ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot sync the journal: %s", strerror(errno));
    close(fd);
    return result;
}

int settled_find_end(struct settled *settled, struct reason *reason) {
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    struct position end;
    int directory = settled->directory.fd;
    int result = cursor_end(&settled->directory, &end, &deadline, reason);
    if (result < 0)
        return result;
    settled->any = result > 0;
    if (!settled->any || (end.day == settled->end.day && end.offset == settled->end.offset &&
                          directory == settled->directory.fd))
        return 0;
    result = sync_day(settled, end.day, reason);
    if (result == 0)
        settled->end = end;
    /* Lines read ahead beyond the old end may have been rolled back since. */
    restart_walk(settled);
    return result;
}

/* Handles a replaced directory: the consumer's lock is no longer the one that other processes find. */
static int adopt_new_directory(struct settled *settled, struct reason *reason) {
    int result = take_lock(settled, reason);
    if (result != 0)
        return result == ERROR_TIMEOUT ? SETTLED_TAKEN : result;
    problem("the journal directory or its cursors/ was replaced: %s continues in the new one", settled->name);
    follow_end(&settled->follow);
    follow_start(&settled->follow, settled->directory.path);
    return SETTLED_REPLACED;
}

int settled_check(struct settled *settled, struct reason *reason) {
    int result = settled_find_end(settled, reason);
    if (result != 0)
        return result;
    result = cursor_lock_is_current(settled->directory.fd, settled->name, settled->lock, reason);
    settled->foreign = result <= 0;
    if (result == 0)
        return adopt_new_directory(settled, reason);
    if (result > 0)
        result = mark_check(settled->directory.fd, &settled->read, reason);
    return result < 0 ? result : result > 0 ? SETTLED_SAME : SETTLED_LOST;
}

void settled_reopen(struct settled *settled) {
    struct reason ignored;
    settled->foreign =
        directory_open(&settled->directory, &ignored) != 0 ||
        cursor_lock_is_current(settled->directory.fd, settled->name, settled->lock, &ignored) <= 0;
    restart_walk(settled);
}

bool settled_has_more(const struct settled *settled) {
    return settled->any && is_before(walk_position(&settled->walk), settled->end);
}

int settled_next(struct settled *settled, struct settled_line *line, struct reason *reason) {
    if (!settled_has_more(settled))
        return 0;
    int result = walk_next(&settled->walk, &line->scan, &line->record, &line->begin, reason);
    line->end = (struct mark){0};
    if (result > 0 && line->scan != SCAN_DAMAGED)
        settled->read = line->end = mark_of(&line->record, walk_position(&settled->walk));
    return result;
}
