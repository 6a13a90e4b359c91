/* live/HASH (of the device) is an encrypted JSON object. live/ID.cancel is empty: its viewer left before Ring
 * had answered, or before we were asked at all; it is removed when the session is, or after CANCEL_SECONDS.
 */
#include "session.h"

#include "timestamp.h"

#include <fcntl.h>
#include <json.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_SECONDS 5
#define CANCEL_SECONDS 120
#define CANCELS_MAX 256
#define LONGEST (600 * SECOND) /* more than any session lasts */

bool session_id_is_good(const char *id) {
    return strlen(id) == SESSION_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == SESSION_ID_SIZE - 1;
}

static void path_of(const struct door *door, const char *device, const char *suffix, char out[64]) {
    char hash[DOOR_HASH_SIZE];
    door_hash(door, DOOR_DEVICE, device, strlen(device), hash);
    snprintf(out, 64, "live/%s%s", hash, suffix);
}

int session_lock(const struct door *door, const char *device, struct reason *reason) {
    char path[64];
    path_of(door, device, ".lock", path);
    return door_lock(door, path, LOCK_SECONDS, reason);
}

/* ---- the file ---- */

static bool copy_member(struct json_object *object, const char *name, char *out, size_t size) {
    struct json_object *value;
    if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, json_type_string) ||
        (size_t)json_object_get_string_len(value) >= size)
        return false;
    memcpy(out, json_object_get_string(value), (size_t)json_object_get_string_len(value) + 1);
    return true;
}

static int parse(const char *text, struct session *session) {
    struct json_object *object = json_tokener_parse(text), *until;
    bool good = object != NULL && copy_member(object, "id", session->id, sizeof session->id) &&
                copy_member(object, "user", session->user, sizeof session->user) &&
                copy_member(object, "account", session->account, sizeof session->account) &&
                copy_member(object, "device", session->device, sizeof session->device) &&
                copy_member(object, "url", session->url, sizeof session->url) &&
                json_object_object_get_ex(object, "until", &until);
    if (good)
        session->until = json_object_get_int64(until);
    json_object_put(object);
    return good ? 1 : 0;
}

static int read_path(const struct door *door, const char *path, struct session *session,
                     struct reason *reason) {
    char *text;
    size_t length;
    int result = door_read(door, path, &text, &length, reason);
    if (result <= 0)
        return result == ERROR_DAMAGED ? 0 : result; /* it ends by itself */
    result = parse(text, session);
    sodium_free(text);
    int64_t now = timestamp_now();
    /* If it lasts longer, the clock was set back. */
    return result > 0 && session->until > now && session->until < now + LONGEST;
}

int session_read(const struct door *door, const char *device, struct session *session,
                 struct reason *reason) {
    char path[64];
    path_of(door, device, "", path);
    return read_path(door, path, session, reason);
}

int session_write(const struct door *door, const struct session *session, struct reason *reason) {
    char path[64];
    struct json_object *object = json_object_new_object();
    path_of(door, session->device, "", path);
    json_object_object_add(object, "id", json_object_new_string(session->id));
    json_object_object_add(object, "user", json_object_new_string(session->user));
    json_object_object_add(object, "account", json_object_new_string(session->account));
    json_object_object_add(object, "device", json_object_new_string(session->device));
    json_object_object_add(object, "url", json_object_new_string(session->url));
    json_object_object_add(object, "until", json_object_new_int64(session->until));
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    int result = text == NULL ? FAIL(reason, ERROR_SYSTEM, "out of memory")
                              : door_write(door, path, text, strlen(text), reason);
    json_object_put(object);
    return result;
}

int session_remove(const struct door *door, const char *device, struct reason *reason) {
    char path[64];
    path_of(door, device, "", path);
    return door_remove(door, path, reason);
}

struct search {
    const struct door *door;
    const char *id;
    struct session *session;
    struct reason *reason;
};

static int compare(void *context, const char *name) {
    const struct search *search = context;
    char path[64];
    if (strlen(name) != DOOR_HASH_SIZE - 1)
        return 0;
    snprintf(path, sizeof path, "live/%.32s", name);
    return read_path(search->door, path, search->session, search->reason) > 0 &&
           strcmp(search->session->id, search->id) == 0;
}

int session_find(const struct door *door, const char *id, struct session *session, struct reason *reason) {
    struct search search = {door, id, session, reason};
    return door_each(door, "live", compare, &search, reason);
}

/* ---- a viewer that left early ---- */

struct cancels {
    const struct door *door;
    int count;
};

static int remove_old_cancel(void *context, const char *name) {
    struct cancels *cancels = context;
    char path[300];
    struct stat status;
    const char *suffix = strrchr(name, '.');
    if (suffix == NULL || strcmp(suffix, ".cancel") != 0)
        return 0;
    snprintf(path, sizeof path, "live/%.255s", name);
    if (fstatat(cancels->door->fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_mtim.tv_sec < timestamp_now() / SECOND - CANCEL_SECONDS)
        unlinkat(cancels->door->fd, path, 0);
    else
        cancels->count++;
    return 0;
}

int session_cancel(const struct door *door, const char *id, struct reason *reason) {
    char path[64];
    struct cancels cancels = {.door = door};
    int result = door_each(door, "live", remove_old_cancel, &cancels, reason);
    if (result != 0 || cancels.count >= CANCELS_MAX)
        return result;
    snprintf(path, sizeof path, "live/%.32s.cancel", id);
    return door_write_plain(door, path, "", 0, reason);
}

bool session_was_cancelled(const struct door *door, const char *id) {
    char path[64];
    snprintf(path, sizeof path, "live/%.32s.cancel", id);
    return unlinkat(door->fd, path, 0) == 0;
}
