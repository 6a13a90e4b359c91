/* Pictures for the page. A worker fetches those of new presses in the background; under CGI, and for older
 * presses, a request for a picture fetches it, after the answer. */
#include "pictures.h"

#include "assets.h"
#include "feed.h"
#include "owned.h"
#include "page.h"
#include "picture.h"
#include "ring.h"
#include "routes.h"
#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLLOW_BACK 3600 /* seconds: presses whose pictures a new worker still fetches */
#define QUEUE_MAX 256    /* pictures that are not here yet */

/* ---- in the background ---- */

struct queue {
    struct page *page;
    uint64_t seen; /* number of the last line that was looked at */
    char oldest[TIMESTAMP_SIZE];
    size_t count;
    struct queued {
        struct picture picture;
        int64_t due; /* microseconds since 1970 */
    } item[QUEUE_MAX];
};

static bool is_recent(void *context, const struct record *record) {
    const struct queue *queue = context;
    (void)record;
    return queue->count < QUEUE_MAX;
}

/* Adds a press of an account that is connected here. Forgets an account that has removed the app. */
static bool take_event(void *context, const struct record *record, const struct event *event) {
    struct queue *queue = context;
    struct door *door = &queue->page->door;
    char hash[DOOR_HASH_SIZE], path[64];
    if (memcmp(record->received_at, queue->oldest, TIMESTAMP_SIZE - 1) < 0)
        return false;
    if (strcmp(event->type, RING_REMOVED) == 0)
        owned_note_removed(door, record, event);
    door_hash(door, DOOR_ACCOUNT, event->account, strlen(event->account), hash);
    snprintf(path, sizeof path, "accounts/%s", hash);
    if (strcmp(event->type, RING_PRESS) == 0 && event->account[0] != '\0' && event->device[0] != '\0' &&
        faccessat(door->fd, path, F_OK, 0) == 0) {
        struct queued *one = &queue->item[queue->count++];
        picture_of(door, event, &one->picture);
        one->due = 0;
    }
    return queue->count < QUEUE_MAX;
}

static int64_t fetch_due(struct queue *queue) {
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < queue->count && !atomic_load(&queue->page->ending);) {
        struct queued *one = &queue->item[i];
        if (one->due <= timestamp_now())
            one->due = picture_fetch(&queue->page->door, &one->picture);
        if (one->due == INT64_MAX) {
            *one = queue->item[--queue->count];
            continue;
        }
        next = one->due < next ? one->due : next;
        i++;
    }
    return next;
}

void pictures_follow(struct page *page) {
    struct queue *queue = calloc(1, sizeof *queue);
    const struct feed_reader reader = {is_recent, take_event, queue};
    int64_t next = INT64_MAX, cleaned = INT64_MIN;
    struct reason ignored; /* it is tried again, and a request that needs the journal reports it */
    int lock = -1;
    if (queue == NULL)
        return;
    queue->page = page;
    timestamp_format(timestamp_now() - FOLLOW_BACK * SECOND, queue->oldest);
    while (!atomic_load(&page->ending)) {
        if (lock < 0)
            lock = door_lock(&page->door, "pictures/follow.lock", 0, &ignored);
        if (lock >= 0) {
            feed_read(page->feed, queue->seen, &reader, &queue->seen, &ignored);
            next = fetch_due(queue);
            if (cleaned == INT64_MIN || monotonic_now() - cleaned > 86400 * SECOND) {
                picture_expire(&page->door);
                cleaned = monotonic_now();
            }
        }
        int64_t wait = next == INT64_MAX ? SECOND : next - timestamp_now();
        wait = wait < 0 ? 0 : wait > SECOND ? SECOND : wait;
        feed_wait(page->feed, lock >= 0 ? queue->seen : UINT64_MAX, monotonic_now() + wait, &page->ending);
    }
    if (lock >= 0)
        close(lock);
    free(queue);
}

/* ---- GET ?/picture&seq=N ---- */

/* Returns false if the picture is not here. */
static bool send_picture(struct exchange *exchange, const struct picture *picture) {
    char *bytes;
    size_t length;
    struct reason ignored; /* the placeholder is shown */
    if (picture_read(&exchange->page->door, picture, &bytes, &length, &ignored) <= 0)
        return false;
    exchange_answer(exchange, 200, "image/jpeg", "Cache-Control: private, max-age=31536000, immutable\r\n",
                    bytes, length);
    free(bytes);
    return true;
}

/* Returns 1 if the event is one of this user's. */
static int find_event(struct exchange *exchange, uint64_t seq, struct event *event, struct reason *reason) {
    struct page *page = exchange->page;
    struct owned *owned = owned_read(&page->door, exchange->user, reason);
    int result = owned == NULL ? ERROR_SYSTEM : feed_refresh(page->feed, reason);
    if (result == 0)
        result = feed_find(page->feed, seq, event, reason);
    if (result > 0 && (!owned_has(owned, event->account) || strcmp(event->type, RING_PRESS) != 0))
        result = 0;
    free(owned);
    return result;
}

void route_picture(struct exchange *exchange) {
    struct door *door = &exchange->page->door;
    struct event event = {.timestamp = 0};
    struct picture picture;
    struct reason reason;
    char seq[24];
    int found = exchange_query(exchange, "seq", seq, sizeof seq)
                    ? find_event(exchange, strtoull(seq, NULL, 10), &event, &reason)
                    : 0;
    if (found < 0) {
        exchange_error(exchange, 503, "failed", reason.text);
        return;
    }
    if (found > 0)
        picture_of(door, &event, &picture);
    if (found > 0 && send_picture(exchange, &picture))
        return;
    asset_answer(exchange, 404, "placeholder.svg");
    if (found == 0 || event.device[0] == '\0')
        return;
    /* Under CGI, and for older presses, nothing else fetches it. */
    exchange_finish(exchange);
    picture_fetch(door, &picture);
}
