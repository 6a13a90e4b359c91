/* Ring has a picture once it has a recording, some seconds after the press. Until then it answers 425
 * (RECORDING_NOT_READY) or 416 (MEDIA_NOT_FOUND), so it is asked again on a schedule.
 *
 *   pictures/HASH.jpg   the picture; never changes
 *   pictures/HASH.try   the number of attempts so far; its modification time is that of the last one
 *   pictures/HASH.none  given up
 *
 * HASH is that of the account and the event id, so a journal that is replaced cannot show another one's
 * pictures. */
#include "picture.h"

#include "api.h"
#include "assets.h"
#include "feed.h"
#include "owned.h"
#include "page.h"
#include "percent.h"
#include "ring.h"
#include "routes.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PICTURE_LIMIT (2 << 20)
#define KEEP_DAYS 180    /* Ring itself keeps recordings no longer */
#define FOLLOW_BACK 3600 /* seconds: presses whose pictures a new worker still fetches */
#define QUEUE_MAX 256    /* pictures that are not here yet */
#define ATTEMPTS (int)(sizeof retry_after / sizeof *retry_after)

/* Seconds after a failed attempt until the next. */
static const int retry_after[] = {2, 2, 3, 5, 10, 20, 40, 80, 180, 600, 1800};

struct picture {
    char hash[DOOR_HASH_SIZE];
    char account[EVENT_FIELD_SIZE], device[EVENT_FIELD_SIZE];
    int64_t timestamp; /* milliseconds since 1970 */
};

/* ---- files ---- */

static void picture_of(const struct door *door, const struct event *event, struct picture *picture) {
    char identity[2 * EVENT_FIELD_SIZE];
    size_t length = strlen(event->account) + 1;
    memcpy(identity, event->account, length);
    memcpy(identity + length, event->id, strlen(event->id));
    door_hash(door, DOOR_ENTITY, identity, length + strlen(event->id), picture->hash);
    memcpy(picture->account, event->account, sizeof picture->account);
    memcpy(picture->device, event->device, sizeof picture->device);
    picture->timestamp = event->timestamp;
}

#define PATH_SIZE 64

static const char *path_of(const struct picture *picture, const char *suffix, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "pictures/%s.%s", picture->hash, suffix);
    return out;
}

static bool exists(const struct door *door, const struct picture *picture, const char *suffix) {
    char path[PATH_SIZE];
    return faccessat(door->fd, path_of(picture, suffix, path), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

const char *picture_state(const struct door *door, const struct event *event) {
    struct picture picture;
    picture_of(door, event, &picture);
    return exists(door, &picture, "jpg") ? "yes" : exists(door, &picture, "none") ? "none" : "pending";
}

/* The number of attempts so far, and when the next is due, in microseconds since 1970. */
static int attempts_of(const struct door *door, const struct picture *picture, int64_t *due) {
    char path[PATH_SIZE], text[16];
    struct stat status;
    *due = 0;
    int fd = openat(door->fd, path_of(picture, "try", path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = fd >= 0 && fstat(fd, &status) == 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    int attempts = atoi(text);
    if (attempts > 0 && attempts <= ATTEMPTS)
        *due = ((int64_t)status.st_mtim.tv_sec + retry_after[attempts - 1]) * SECOND;
    return attempts;
}

static int note_failure(const struct door *door, const struct picture *picture, int attempts, bool final) {
    char path[PATH_SIZE], text[16];
    struct reason ignored; /* then it is simply tried again */
    int length = snprintf(text, sizeof text, "%d\n", attempts);
    if (!final && attempts < ATTEMPTS)
        return door_write_plain(door, path_of(picture, "try", path), text, (size_t)length, &ignored);
    door_write_plain(door, path_of(picture, "none", path), text, (size_t)length, &ignored);
    return door_remove(door, path_of(picture, "try", path), &ignored);
}

/* ---- Ring ---- */

static bool is_jpeg(const struct http_response *response) {
    return response->status == 200 && response->length > 3 && memcmp(response->body, "\xff\xd8\xff", 3) == 0;
}

/* Asks where the picture is. Returns the status, or an error; on 303, *location has the address. */
static int ask_where(struct door *door, struct account *account, const struct picture *picture,
                     char location[HTTP_LOCATION_SIZE], struct reason *reason) {
    char path[EVENT_FIELD_SIZE * 3 + 64], device[EVENT_FIELD_SIZE * 3], body[192];
    percent_encode(picture->device, device, sizeof device);
    snprintf(path, sizeof path, "/v1/devices/%s/media/image/download", device);
    int length =
        snprintf(body, sizeof body,
                 "{\"type\":\"at_timestamp\",\"timestamp\":%" PRId64 ",\"image_options\":{\"format\":"
                 "\"jpeg\",\"resolution\":{\"width\":640,\"height\":360}}}",
                 picture->timestamp);
    struct http_request request = {.method = "POST",
                                   .headers = {NULL, "Content-Type: application/json"},
                                   .body = body,
                                   .length = (size_t)length,
                                   .seconds = API_SECONDS,
                                   .limit = 1 << 16};
    struct http_response response = {0};
    int result = api_send(door, account, path, &request, &response, reason);
    if (result == 0)
        result = response.status;
    memcpy(location, response.location, HTTP_LOCATION_SIZE);
    http_free(&response);
    return result;
}

/* The address is pre-signed and on another host, which must not see the bearer token. */
static int download(struct door *door, const struct picture *picture, const char *location,
                    struct reason *reason) {
    char path[PATH_SIZE];
    struct http_request request = {.method = "GET",
                                   .url = location,
                                   .ca = door->config->ca,
                                   .seconds = API_SECONDS,
                                   .limit = PICTURE_LIMIT};
    struct http_response response = {0};
    int result = http_send(&request, &response, reason);
    if (result == 0 && !is_jpeg(&response))
        result = FAIL(reason, ERROR_SYSTEM, "no JPEG came: status %d", response.status);
    if (result == 0)
        result =
            door_write_plain(door, path_of(picture, "jpg", path), response.body, response.length, reason);
    http_free(&response);
    return result;
}

/* One attempt. */
static void attempt(struct door *door, const struct picture *picture, int attempts) {
    struct reason reason;
    char location[HTTP_LOCATION_SIZE], path[PATH_SIZE];
    struct account *account = account_alloc();
    int status = account == NULL ? ERROR_SYSTEM : account_find(door, picture->account, account, &reason);
    if (status > 0)
        status = ask_where(door, account, picture, location, &reason);
    account_free(account);
    bool final =
        status == 400 || status == 403 || status == 404 || status == 422; /* asking again is of no use */
    if (status == 303 && download(door, picture, location, &reason) == 0)
        door_remove(door, path_of(picture, "try", path), &reason);
    else
        note_failure(door, picture, attempts + 1, final);
}

static int64_t fetch_locked(struct door *door, const struct picture *picture) {
    int64_t due;
    if (exists(door, picture, "jpg") || exists(door, picture, "none"))
        return INT64_MAX;
    int attempts = attempts_of(door, picture, &due);
    if (due > timestamp_now())
        return due;
    attempt(door, picture, attempts);
    if (exists(door, picture, "jpg") || exists(door, picture, "none"))
        return INT64_MAX;
    attempts_of(door, picture, &due);
    return due > 0 ? due : timestamp_now() + 60 * SECOND;
}

/* Makes an attempt if one is due; one at a time in all processes. Returns when the next is due, or INT64_MAX
 * if nothing is left to do. */
static int64_t fetch(struct door *door, const struct picture *picture) {
    struct reason ignored;
    int lock = door_lock(door, "pictures/fetch.lock", 0, &ignored);
    if (lock < 0)
        return timestamp_now() + SECOND;
    int64_t due = fetch_locked(door, picture);
    close(lock);
    return due;
}

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

/* Adds a press of an account that is connected here. */
static bool add_press(void *context, const struct record *record, const struct event *event) {
    struct queue *queue = context;
    struct door *door = &queue->page->door;
    char hash[DOOR_HASH_SIZE], path[64];
    if (memcmp(record->received_at, queue->oldest, TIMESTAMP_SIZE - 1) < 0)
        return false;
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
            one->due = fetch(&queue->page->door, &one->picture);
        if (one->due == INT64_MAX) {
            *one = queue->item[--queue->count];
            continue;
        }
        next = one->due < next ? one->due : next;
        i++;
    }
    return next;
}

static int remove_if_old(void *context, const char *name) {
    const struct door *door = context;
    char path[300];
    struct stat status;
    struct reason ignored;
    snprintf(path, sizeof path, "pictures/%.255s", name);
    if (fstatat(door->fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_mtim.tv_sec < timestamp_now() / SECOND - KEEP_DAYS * INT64_C(86400))
        door_remove(door, path, &ignored);
    return 0;
}

void picture_follow(struct page *page) {
    struct queue *queue = calloc(1, sizeof *queue);
    const struct feed_reader reader = {is_recent, add_press, queue};
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
            if (monotonic_now() - cleaned > 86400 * SECOND || cleaned == INT64_MIN) {
                door_each(&page->door, "pictures", remove_if_old, &page->door, &ignored);
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
    char path[PATH_SIZE];
    struct stat status;
    int fd = openat(exchange->page->door.fd, path_of(picture, "jpg", path),
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool good =
        fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= PICTURE_LIMIT;
    char *bytes = good ? malloc((size_t)status.st_size + 1) : NULL;
    ssize_t got = bytes != NULL ? pread(fd, bytes, (size_t)status.st_size, 0) : -1;
    good = got > 0 && got == status.st_size;
    if (good)
        exchange_answer(exchange, 200, "image/jpeg",
                        "Cache-Control: private, max-age=31536000, immutable\r\n", bytes, (size_t)got);
    free(bytes);
    if (fd >= 0)
        close(fd);
    return good;
}

/* Returns 1 if the event is one of this user's. */
static int find_event(struct exchange *exchange, uint64_t seq, struct event *event, struct reason *reason) {
    struct page *page = exchange->page;
    struct owned *owned = malloc(sizeof *owned);
    int result = owned == NULL ? FAIL(reason, ERROR_SYSTEM, "no memory")
                               : owned_read(&page->door, exchange->user, owned, reason);
    if (result == 0)
        result = feed_refresh(page->feed, reason);
    if (result == 0)
        result = feed_find(page->feed, seq, event, reason);
    if (result > 0 && (!owned_has(owned, event->account) || strcmp(event->type, RING_PRESS) != 0))
        result = 0;
    free(owned);
    return result;
}

void route_picture(struct exchange *exchange) {
    struct door *door = &exchange->page->door;
    struct event event;
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
    /* A worker fetches new pictures on its own; under CGI, and for older presses, whoever looks has it done.
     */
    exchange_finish(exchange);
    fetch(door, &picture);
}
