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
#include "percent.h"
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
#define KEEP_DAYS 180 /* Ring itself keeps recordings no longer */
#define ATTEMPTS (int)(sizeof retry_after / sizeof *retry_after)

/* Seconds after a failed attempt until the next. */
static const int retry_after[] = {2, 2, 3, 5, 10, 20, 40, 80, 180, 600, 1800};

/* ---- files ---- */

void picture_of(const struct door *door, const struct event *event, struct picture *picture) {
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

enum picture_state picture_state(const struct door *door, const struct picture *picture) {
    return exists(door, picture, "jpg")    ? PICTURE_HERE
           : exists(door, picture, "none") ? PICTURE_NONE
                                           : PICTURE_PENDING;
}

int picture_read(const struct door *door, const struct picture *picture, char **bytes, size_t *length,
                 struct reason *reason) {
    char path[PATH_SIZE];
    struct stat status;
    *bytes = NULL;
    int fd = openat(door->fd, path_of(picture, "jpg", path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : FAIL(reason, ERROR_SYSTEM, "cannot open picture %s: %s", path, strerror(errno));
    int result = FAIL(reason, ERROR_DAMAGED, "picture %s is damaged: remove it", path);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        status.st_size <= PICTURE_LIMIT && (*bytes = malloc((size_t)status.st_size)) != NULL &&
        pread(fd, *bytes, (size_t)status.st_size, 0) == status.st_size) {
        *length = (size_t)status.st_size;
        result = 1;
    }
    close(fd);
    if (result <= 0)
        free(*bytes);
    return result;
}

/* The number of attempts so far, and when the next is due, in microseconds since 1970. */
static int attempts_of(const struct door *door, const struct picture *picture, int64_t *due) {
    char path[PATH_SIZE], text[16];
    struct stat status;
    int64_t now = timestamp_now() / SECOND; /* the file is newer than that if the clock was set back */
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
        *due = ((status.st_mtim.tv_sec < now ? status.st_mtim.tv_sec : now) + retry_after[attempts - 1]) *
               SECOND;
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
    bool final = status == 400 || status == 403 || status == 404 || status == 422; /* a retry cannot help */
    if (status == 303 && download(door, picture, location, &reason) == 0)
        door_remove(door, path_of(picture, "try", path), &reason);
    else
        note_failure(door, picture, attempts + 1, final);
}

static int64_t fetch_locked(struct door *door, const struct picture *picture) {
    int64_t due;
    if (picture_state(door, picture) != PICTURE_PENDING)
        return INT64_MAX;
    int attempts = attempts_of(door, picture, &due);
    if (due > timestamp_now())
        return due;
    attempt(door, picture, attempts);
    if (picture_state(door, picture) != PICTURE_PENDING)
        return INT64_MAX;
    attempts_of(door, picture, &due);
    return due > 0 ? due : timestamp_now() + 60 * SECOND;
}

int64_t picture_fetch(struct door *door, const struct picture *picture) {
    struct reason ignored;
    int lock = door_lock(door, "pictures/fetch.lock", 0, &ignored);
    if (lock < 0)
        return timestamp_now() + SECOND;
    int64_t due = fetch_locked(door, picture);
    close(lock);
    return due;
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

void picture_expire(struct door *door) {
    struct reason ignored; /* it is done again a day later */
    door_each(door, "pictures", remove_if_old, door, &ignored);
}
