/* A window over the journal's order. Finished items leave at its front; an item that finishes further back
 * stays until all before it are finished, because a cursor is one position and a few ranges. So that nothing
 * stays at the front for long, items that block others when the window is full move to the queues, which are
 * unbounded. */
#include "schedule.h"

#include "ring.h"

#include <stdlib.h>
#include <string.h>

#define LAST_DUE INT64_C(253402300799) /* end of the year 9999, in seconds */
#define LONGEST_WAIT (60 * SECOND)
#define LONG_RUN SECOND                 /* a command running for longer blocks others */
#define BLOCKED_SIZE (2 * SCHEDULE_MAX) /* a power of two */

struct schedule {
    bool changed, queues_first;
    struct queues *queues;
    size_t first, count, left; /* `item` is a ring */
    size_t deferred;           /* items in the queues that are not on disk anywhere else */
    struct mark front;         /* everything before it is finished */
    struct item item[SCHEDULE_MAX];
    struct mark end[SCHEDULE_MAX]; /* of the line of each */
    /* The orders of unfinished items further ahead: a hash set that is emptied by incrementing `round`. */
    struct {
        uint64_t order;
        uint32_t round;
    } blocked[BLOCKED_SIZE];
    uint32_t round;
};

struct schedule *schedule_new(void) {
    struct schedule *schedule = calloc(1, sizeof *schedule);
    struct queues *queues = queues_new();
    if (schedule == NULL || queues == NULL) {
        free(schedule);
        queues_free(queues);
        return NULL;
    }
    schedule->queues = queues;
    return schedule;
}

void schedule_free(struct schedule *schedule) {
    if (schedule != NULL)
        queues_free(schedule->queues);
    free(schedule);
}

void schedule_clear(struct schedule *schedule, const struct mark *front) {
    schedule->first = schedule->count = schedule->left = schedule->deferred = 0;
    schedule->front = *front;
    schedule->changed = false;
}

bool schedule_is_full(const struct schedule *schedule) {
    return schedule->count == SCHEDULE_MAX;
}

struct queues *schedule_queues(struct schedule *schedule) {
    return schedule->queues;
}

static struct item *at(struct schedule *schedule, size_t index) {
    return &schedule->item[(schedule->first + index) % SCHEDULE_MAX];
}

/* Removes finished items from the front. The front stays before an unreadable line until a readable one,
 * which can verify the position, is finished. */
static void advance(struct schedule *schedule) {
    while (schedule->count > 0 && at(schedule, 0)->state == ITEM_DONE) {
        if (at(schedule, 0)->seq > 0) {
            schedule->front = schedule->end[schedule->first];
            schedule->changed = true;
        }
        schedule->first = (schedule->first + 1) % SCHEDULE_MAX;
        schedule->count--;
    }
}

/* The item in the window stands in for the one in the queues until that is on disk. */
static void mark_deferred(struct schedule *schedule, struct item *item, const struct item *queued) {
    item->attempts = item_tried(queued);
    item->due = queued->due;
    item->state = ITEM_DEFERRED;
    schedule->deferred++;
}

/* Appends an item to the window. */
static struct item *take_next(struct schedule *schedule, const struct mark *end) {
    schedule->end[(schedule->first + schedule->count) % SCHEDULE_MAX] = *end;
    return at(schedule, schedule->count++);
}

struct item *schedule_add(struct schedule *schedule, const struct cursor *cursor, const struct item *line,
                          const struct mark *end) {
    const struct item *queued = queues_find(schedule->queues, line);
    if (cursor_has_done(cursor, line->seq) || (queued != NULL && !queues_are_changed(schedule->queues))) {
        schedule_skip(schedule, line->seq, end);
        return NULL;
    }
    struct item *item = take_next(schedule, end);
    if (queued != NULL) {
        *item = *line;
        mark_deferred(schedule, item, queued);
        return NULL;
    }
    *item = (struct item){
        .seq = line->seq, .identity = line->identity, .position = line->position, .order = line->order};
    for (size_t i = 0; i < cursor->retry_count; i++)
        if (cursor->retry[i].seq == item->seq) {
            item->attempts = (int)cursor->retry[i].attempts;
            item->due = (cursor->retry[i].due < LAST_DUE ? cursor->retry[i].due : LAST_DUE) * SECOND;
        }
    schedule->left++;
    return item;
}

void schedule_skip(struct schedule *schedule, uint64_t seq, const struct mark *end) {
    *take_next(schedule, end) = (struct item){.seq = seq, .state = ITEM_DONE};
    advance(schedule);
}

struct item *schedule_find(struct schedule *schedule, const struct item *wanted) {
    struct item *queued = queues_find(schedule->queues, wanted);
    for (size_t i = 0; queued == NULL && i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->seq == wanted->seq && item->identity == wanted->identity && item->state < ITEM_DEFERRED)
            return item;
    }
    return queued;
}

static bool holds_up(const struct schedule *schedule, const struct item *item, int64_t now) {
    if (queues_have(schedule->queues, item->order))
        return true;
    if (item->state == ITEM_RUNNING)
        return now < item->started || now - item->started > LONG_RUN;
    return item_time_left(item, now) > 0;
}

void schedule_defer(struct schedule *schedule, int64_t now) {
    if (!schedule_is_full(schedule) || !queues_reserve(schedule->queues, schedule->left))
        return;
    for (size_t i = 0; i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->state >= ITEM_DEFERRED || !holds_up(schedule, item, now))
            continue;
        queues_add(schedule->queues, item, now);
        mark_deferred(schedule, item, item);
        schedule->left--;
    }
}

void schedule_release_deferred(struct schedule *schedule) {
    for (size_t i = 0; schedule->deferred > 0 && i < schedule->count; i++)
        if (at(schedule, i)->state == ITEM_DEFERRED) {
            at(schedule, i)->state = ITEM_DONE;
            schedule->deferred--;
            schedule->changed = true;
        }
    advance(schedule);
}

/* Updates the stand-in of a deferred item that was run before it was on disk. */
static void update_stand_in(struct schedule *schedule, const struct item *queued, bool over) {
    for (size_t i = 0; schedule->deferred > 0 && i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->state != ITEM_DEFERRED || item->seq != queued->seq || item->identity != queued->identity)
            continue;
        item->attempts = queued->attempts;
        item->due = queued->due;
        item->state = over ? ITEM_DONE : ITEM_DEFERRED;
        schedule->deferred -= over;
        schedule->changed = true;
    }
    advance(schedule);
}

/* Adds an order to the set. Returns false if it was already there. */
static bool block(struct schedule *schedule, uint64_t order) {
    size_t index = order % BLOCKED_SIZE;
    while (schedule->blocked[index].round == schedule->round && schedule->blocked[index].order != order)
        index = (index + 1) % BLOCKED_SIZE;
    bool fresh = schedule->blocked[index].round != schedule->round;
    schedule->blocked[index].order = order;
    schedule->blocked[index].round = schedule->round;
    return fresh;
}

static struct item *next_in_window(struct schedule *schedule, int64_t now) {
    schedule->round++;
    for (size_t i = 0; i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->state == ITEM_DONE || !block(schedule, item->order))
            continue;
        if (item->state != ITEM_WAITING || queues_have(schedule->queues, item->order))
            continue;
        int64_t left = item_time_left(item, now);
        if (left <= 0) {
            item->state = ITEM_RUNNING;
            item->attempts++;
            item->started = now;
            return item;
        }
        item->due = now + left;
    }
    return NULL;
}

/* Alternates between the two sources so that neither starves. */
struct item *schedule_next(struct schedule *schedule, int64_t now) {
    schedule->queues_first = !schedule->queues_first;
    struct item *item = schedule->queues_first ? queues_next(schedule->queues, now) : NULL;
    if (item == NULL)
        item = next_in_window(schedule, now);
    return item != NULL ? item : queues_next(schedule->queues, now);
}

int64_t schedule_wait(const struct schedule *schedule, int64_t now) {
    int64_t soonest = queues_wait(schedule->queues, now);
    if (soonest == 0) /* it waits for a free job, not for its time */
        soonest = -1;
    for (size_t i = 0; i < schedule->count; i++) {
        const struct item *item = &schedule->item[(schedule->first + i) % SCHEDULE_MAX];
        int64_t left = item->state == ITEM_WAITING ? item_time_left(item, now) : 0;
        if (left > 0 && (soonest < 0 || left < soonest))
            soonest = left;
    }
    return soonest;
}

/* Sets when an unfinished item is run again. */
static void postpone(struct item *item, enum result result, int64_t now) {
    if (result == RESULT_FAILED) {
        item->wait = 0;
        item->due = now + ring_retry_after[item->attempts - 1] * SECOND;
        return;
    }
    item->attempts--; /* not the command's fault */
    if (result == RESULT_POSTPONED) {
        item->wait = item->wait == 0 ? SECOND : item->wait < LONGEST_WAIT / 2 ? 2 * item->wait : LONGEST_WAIT;
        item->due = now + item->wait;
    }
}

void schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now) {
    bool over = result == RESULT_DONE || result == RESULT_GIVEN_UP;
    if (!over)
        postpone(item, result, now);
    if (item->deferred)
        update_stand_in(schedule, item, over);
    if (item->deferred && over)
        queues_remove(schedule->queues, item);
    else if (item->deferred)
        queues_put_back(schedule->queues, item);
    if (item->deferred)
        return;
    schedule->changed = true;
    item->state = over ? ITEM_DONE : ITEM_WAITING;
    if (over) {
        schedule->left--;
        advance(schedule);
    }
}

/* Finds an item that awaits a retry. One in the queues is taken off the heap. */
static struct item *take_retry(struct schedule *schedule, uint64_t seq) {
    struct item *item = queues_take(schedule->queues, seq);
    for (size_t i = 0; item == NULL && i < schedule->count; i++)
        if (at(schedule, i)->seq == seq && at(schedule, i)->state == ITEM_WAITING &&
            at(schedule, i)->attempts > 0)
            item = at(schedule, i);
    return item;
}

bool schedule_drop(struct schedule *schedule, uint64_t seq, int64_t now) {
    struct item *item = take_retry(schedule, seq);
    if (item != NULL)
        schedule_finish(schedule, item, RESULT_DONE, now);
    return item != NULL;
}

void schedule_expedite(struct schedule *schedule, uint64_t seq) {
    struct item *item = take_retry(schedule, seq);
    if (item == NULL)
        return;
    item->due = item->wait = 0;
    if (item->deferred)
        queues_put_back(schedule->queues, item);
    schedule->changed = true;
}

size_t schedule_left(const struct schedule *schedule) {
    return schedule->left + queues_count(schedule->queues);
}

static void note_done(struct cursor *cursor, uint64_t seq) {
    if (seq == 0)
        return;
    if (cursor->done_count > 0 && cursor->done[cursor->done_count - 1].last + 1 == seq) {
        cursor->done[cursor->done_count - 1].last = seq;
        return;
    }
    if (cursor->done_count == CURSOR_RANGES)
        return;
    cursor->done[cursor->done_count].first = seq;
    cursor->done[cursor->done_count++].last = seq;
}

bool schedule_save(struct schedule *schedule, struct cursor *cursor) {
    if (!schedule->changed)
        return false;
    schedule->changed = false;
    cursor->mark = schedule->front;
    cursor->done_count = cursor->retry_count = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        const struct item *item = at(schedule, i);
        if (item->state == ITEM_DONE)
            note_done(cursor, item->seq);
        else if (item_tried(item) > 0 && cursor->retry_count < CURSOR_RETRIES) {
            cursor->retry[cursor->retry_count].seq = item->seq;
            cursor->retry[cursor->retry_count].attempts = item_tried(item);
            cursor->retry[cursor->retry_count++].due = item->due > 0 ? item->due / SECOND : 0;
        }
    }
    return true;
}
