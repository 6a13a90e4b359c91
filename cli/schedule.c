/* A queue in the order of the journal. What is done at its front leaves it; what is done further back stays
 * until all before it is done, because a cursor is one place and a few ranges. */
#include "schedule.h"

#include "retry.h"

#include <stdlib.h>
#include <string.h>

#define LAST_DUE INT64_C(253402300799) /* the end of the year 9999, in seconds */
#define LONGEST_WAIT (60 * SECOND)
#define BLOCKED_SIZE (2 * SCHEDULE_MAX) /* a power of two */

struct schedule {
    int retries;
    bool changed;
    size_t first, count, left; /* in `item`, a ring */
    struct mark front;         /* everything before it is done */
    struct item item[SCHEDULE_MAX];
    /* The orders that an unfinished item further ahead has, as a hash set that is emptied by counting `round`
     * on. */
    struct {
        uint64_t order;
        uint32_t round;
    } blocked[BLOCKED_SIZE];
    uint32_t round;
};

struct schedule *schedule_new(int retries) {
    struct schedule *schedule = calloc(1, sizeof *schedule);
    if (schedule != NULL)
        schedule->retries = retries;
    return schedule;
}

void schedule_free(struct schedule *schedule) {
    free(schedule);
}

void schedule_clear(struct schedule *schedule, const struct mark *front) {
    schedule->first = schedule->count = schedule->left = 0;
    schedule->front = *front;
    schedule->changed = false;
}

bool schedule_is_full(const struct schedule *schedule) {
    return schedule->count == SCHEDULE_MAX;
}

static struct item *at(struct schedule *schedule, size_t index) {
    return &schedule->item[(schedule->first + index) % SCHEDULE_MAX];
}

/* Lets what is done at the front go. The front stays before a line that cannot be read until one that can be,
 * and so can prove the place, is done. */
static void advance(struct schedule *schedule) {
    while (schedule->count > 0 && at(schedule, 0)->state == ITEM_DONE) {
        if (at(schedule, 0)->seq > 0) {
            schedule->front = at(schedule, 0)->end;
            schedule->changed = true;
        }
        schedule->first = (schedule->first + 1) % SCHEDULE_MAX;
        schedule->count--;
    }
}

struct item *schedule_add(struct schedule *schedule, const struct cursor *cursor, const struct item *line) {
    if (cursor_has_done(cursor, line->seq)) {
        schedule_skip(schedule, line);
        return NULL;
    }
    struct item *item = at(schedule, schedule->count++);
    *item = (struct item){.seq = line->seq,
                          .identity = line->identity,
                          .place = line->place,
                          .end = line->end,
                          .order = line->order};
    for (size_t i = 0; i < cursor->retry_count; i++)
        if (cursor->retry[i].seq == item->seq) {
            item->attempts = (int)cursor->retry[i].attempts;
            item->due = (cursor->retry[i].due < LAST_DUE ? cursor->retry[i].due : LAST_DUE) * SECOND;
        }
    schedule->left++;
    return item;
}

void schedule_skip(struct schedule *schedule, const struct item *line) {
    *at(schedule, schedule->count++) = (struct item){.seq = line->seq, .end = line->end, .state = ITEM_DONE};
    advance(schedule);
}

struct item *schedule_find(struct schedule *schedule, uint64_t seq, uint64_t identity) {
    for (size_t i = 0; i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->seq == seq && item->identity == identity && item->state != ITEM_DONE)
            return item;
    }
    return NULL;
}

/* Microseconds until it is due. The clock may have been wrong when that was noted, or be so now: it is never
 * longer than the delay that the event was given. */
static int64_t time_left(const struct item *item, int64_t now) {
    int64_t longest = item->wait;
    if (longest == 0 && item->attempts > 0)
        longest = retry_after[(item->attempts < RETRIES ? item->attempts : RETRIES) - 1] * SECOND;
    int64_t left = item->due - now;
    return left < longest ? left : longest;
}

/* Puts an order into the set. Returns false where it was in it already. */
static bool block(struct schedule *schedule, uint64_t order) {
    size_t place = order % BLOCKED_SIZE;
    while (schedule->blocked[place].round == schedule->round && schedule->blocked[place].order != order)
        place = (place + 1) % BLOCKED_SIZE;
    bool fresh = schedule->blocked[place].round != schedule->round;
    schedule->blocked[place].order = order;
    schedule->blocked[place].round = schedule->round;
    return fresh;
}

struct item *schedule_next(struct schedule *schedule, int64_t now) {
    schedule->round++;
    for (size_t i = 0; i < schedule->count; i++) {
        struct item *item = at(schedule, i);
        if (item->state == ITEM_DONE || !block(schedule, item->order))
            continue;
        if (item->state != ITEM_WAITING)
            continue;
        int64_t left = time_left(item, now);
        if (left <= 0) {
            item->state = ITEM_RUNNING;
            item->attempts++;
            return item;
        }
        item->due = now + left;
    }
    return NULL;
}

int64_t schedule_wait(const struct schedule *schedule, int64_t now) {
    int64_t soonest = -1;
    for (size_t i = 0; i < schedule->count; i++) {
        const struct item *item = &schedule->item[(schedule->first + i) % SCHEDULE_MAX];
        int64_t left = item->state == ITEM_WAITING ? time_left(item, now) : 0;
        if (left > 0 && (soonest < 0 || left < soonest))
            soonest = left;
    }
    return soonest;
}

bool schedule_gives_up(const struct schedule *schedule, const struct item *item, enum result result) {
    return result == RESULT_HOPELESS || (result == RESULT_FAILED && item->attempts > schedule->retries);
}

void schedule_finish(struct schedule *schedule, struct item *item, enum result result, int64_t now) {
    schedule->changed = true;
    if (result == RESULT_DONE || schedule_gives_up(schedule, item, result)) {
        item->state = ITEM_DONE;
        schedule->left--;
        advance(schedule);
        return;
    }
    item->state = ITEM_WAITING;
    if (result == RESULT_FAILED) {
        item->wait = 0;
        item->due = now + retry_after[item->attempts - 1] * SECOND;
        return;
    }
    item->attempts--; /* it was not its fault */
    if (result == RESULT_POSTPONED) {
        item->wait = item->wait == 0 ? SECOND : item->wait < LONGEST_WAIT / 2 ? 2 * item->wait : LONGEST_WAIT;
        item->due = now + item->wait;
    }
}

size_t schedule_left(const struct schedule *schedule) {
    return schedule->left;
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
        else if (item->attempts > (item->state == ITEM_RUNNING) && cursor->retry_count < CURSOR_RETRIES) {
            cursor->retry[cursor->retry_count].seq = item->seq;
            cursor->retry[cursor->retry_count].attempts = item->attempts - (item->state == ITEM_RUNNING);
            cursor->retry[cursor->retry_count++].due = item->due > 0 ? item->due / SECOND : 0;
        }
    }
    return true;
}
