/* cache/HASH.devices is {"at":SECONDS,"devices":[...]}. It can be deleted at any time. */
#include "devices.h"

#include "api.h"
#include "page.h"
#include "routes.h"
#include "timestamp.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_SECONDS 60
#define CACHE_LIMIT (1 << 20)
#define RESPONSE_LIMIT (4 << 20)
#define PATH "/v1/devices?include=status,capabilities"

typedef struct json_object json;

/* ---- JSON:API (jsonapi.org): data[] with relationships to included[] ---- */

static json *member(json *object, const char *name) {
    json *value = NULL;
    return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value)
               ? value
               : NULL;
}

static const char *text_of(json *object, const char *name) {
    json *value = member(object, name);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* The included resource that data's relationship `name` refers to, or NULL. */
static json *related(json *answer, json *data, const char *name) {
    json *to = member(member(member(data, "relationships"), name), "data");
    json *included = member(answer, "included");
    const char *id = text_of(to, "id");
    size_t count = json_object_is_type(included, json_type_array) ? json_object_array_length(included) : 0;
    for (size_t i = 0; i < count; i++) {
        json *one = json_object_array_get_idx(included, i);
        if (id[0] != '\0' && strcmp(text_of(one, "id"), id) == 0 &&
            strcmp(text_of(one, "type"), text_of(to, "type")) == 0)
            return member(one, "attributes");
    }
    return NULL;
}

static json *device_of(json *answer, json *data) {
    json *device = json_object_new_object();
    json *online = member(related(answer, data, "status"), "online");
    json *capabilities = related(answer, data, "capabilities");
    bool battery = member(capabilities, "battery_status") != NULL;
    const char *name = text_of(member(data, "attributes"), "name");
    const char *id = text_of(data, "id");
    json_object_object_add(device, "id", json_object_new_string(id));
    json_object_object_add(device, "name", json_object_new_string(name[0] != '\0' ? name : id));
    /* Only what Ring says is offline is offline. */
    json_object_object_add(device, "online",
                           json_object_new_boolean(online == NULL || json_object_get_boolean(online)));
    json_object_object_add(device, "seconds", json_object_new_int(battery ? LIVE_BATTERY : LIVE_LINE));
    return device;
}

static json *devices_of(json *answer) {
    json *list = json_object_new_array(), *data = member(answer, "data");
    size_t count = json_object_is_type(data, json_type_array) ? json_object_array_length(data) : 0;
    for (size_t i = 0; i < count; i++)
        json_object_array_add(list, device_of(answer, json_object_array_get_idx(data, i)));
    return list;
}

/* ---- the cache ---- */

static void cache_path(const char *account_name, char out[64]) {
    snprintf(out, 64, "cache/%.40s.devices", account_name);
}

/* Returns the cached list and its age in seconds, or NULL. */
static json *read_cache(const struct door *door, const char *account_name, int64_t *age) {
    char path[64];
    cache_path(account_name, path);
    int fd = openat(door->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char *text = fd >= 0 ? malloc(CACHE_LIMIT) : NULL;
    ssize_t got = text != NULL ? read(fd, text, CACHE_LIMIT - 1) : -1;
    json *list = NULL;
    if (got > 0) {
        text[got] = '\0';
        json *cached = json_tokener_parse(text);
        list = json_object_get(member(cached, "devices"));
        *age = timestamp_now() / SECOND - json_object_get_int64(member(cached, "at"));
        json_object_put(cached);
    }
    free(text);
    if (fd >= 0)
        close(fd);
    return list;
}

static void write_cache(const struct door *door, const char *account_name, json *list) {
    char path[64];
    json *cached = json_object_new_object();
    cache_path(account_name, path);
    json_object_object_add(cached, "at", json_object_new_int64(timestamp_now() / SECOND));
    json_object_object_add(cached, "devices", json_object_get(list));
    const char *text = json_object_to_json_string_ext(cached, JSON_C_TO_STRING_PLAIN);
    struct reason ignored; /* then Ring is asked again */
    if (text != NULL && strlen(text) < CACHE_LIMIT)
        door_write_plain(door, path, text, strlen(text), &ignored);
    json_object_put(cached);
}

/* ---- Ring ---- */

/* Returns the list, or NULL with a reason. */
static json *ask(struct door *door, const char *account_name, struct reason *reason) {
    struct account *account = account_alloc();
    struct http_request request = {.method = "GET", .seconds = API_SECONDS, .limit = RESPONSE_LIMIT};
    struct http_response response = {0};
    json *list = NULL, *answer = NULL;
    if (account == NULL) {
        explain(reason, "out of memory");
        return NULL;
    }
    int found = account_load(door, account_name, account, reason);
    if (found > 0 && api_send(door, account, PATH, &request, &response, reason) == 0) {
        answer = response.status == 200 ? json_tokener_parse(response.body) : NULL;
        if (answer != NULL && json_object_is_type(member(answer, "data"), json_type_array))
            list = devices_of(answer);
        else
            explain(reason, "Ring answered %d when asked for the devices", response.status);
        json_object_put(answer);
    } else if (found == 0) {
        explain(reason, "the account was removed");
    }
    http_free(&response);
    account_free(account);
    return list;
}

json *devices_read(struct door *door, const char *account_name, int age, struct reason *reason) {
    int64_t cached_age = INT64_MAX;
    char lock_path[64];
    reason->text[0] = '\0';
    json *list = read_cache(door, account_name, &cached_age);
    if (list != NULL && cached_age >= 0 && cached_age <= age)
        return list;
    /* One process asks Ring, which may have finished when we get the lock. Meanwhile an old list is good
     * enough for the others. */
    snprintf(lock_path, sizeof lock_path, "cache/%.40s.lock", account_name);
    int lock = door_lock(door, lock_path, list != NULL ? 0 : API_SECONDS, reason);
    if (lock == ERROR_TIMEOUT && list != NULL) {
        reason->text[0] = '\0';
        return list;
    }
    json *fresh = lock < 0 ? NULL : read_cache(door, account_name, &cached_age);
    if (fresh != NULL && (cached_age < 0 || cached_age > age)) {
        json_object_put(fresh);
        fresh = NULL;
    }
    if (fresh == NULL && lock >= 0 && (fresh = ask(door, account_name, reason)) != NULL)
        write_cache(door, account_name, fresh);
    if (fresh != NULL) {
        json_object_put(list);
        list = fresh;
        reason->text[0] = '\0';
    }
    if (lock >= 0)
        close(lock);
    return list != NULL ? list : json_object_new_array();
}

static json *find_in(json *list, const char *device) {
    for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++) {
        json *one = json_object_array_get_idx(list, i);
        if (strcmp(text_of(one, "id"), device) == 0)
            return one;
    }
    return NULL;
}

int devices_find(struct door *door, const struct owned *owned, const char *device, size_t *index,
                 int *seconds, struct reason *reason) {
    static const int ages[] = {INT32_MAX, 5}; /* a list of 5 s ago need not be asked for again */
    struct reason why;
    bool asked_in_vain = false;
    for (size_t round = 0; round < sizeof ages / sizeof *ages; round++)
        for (size_t i = 0; i < owned->count; i++) {
            json *list = devices_read(door, owned->account[i].name, ages[round], &why);
            json *found = find_in(list, device);
            if (found != NULL) {
                *index = i;
                *seconds = json_object_get_int(member(found, "seconds"));
            } else if (why.text[0] != '\0') {
                asked_in_vain = true;
                *reason = why;
            }
            json_object_put(list);
            if (found != NULL)
                return 1;
        }
    return asked_in_vain ? ERROR_SYSTEM : 0;
}

/* ---- GET ?/devices ---- */

void route_devices(struct exchange *exchange) {
    struct door *door = &exchange->page->door;
    struct reason reason, problem = {""};
    struct owned *owned = owned_read(door, exchange->user, &reason);
    if (owned == NULL) {
        exchange_error(exchange, 503, "failed", reason.text);
        return;
    }
    json *answer = json_object_new_object(), *all = json_object_new_array();
    if (reason.text[0] != '\0') { /* whose it is cannot be known */
        exchange->cause = reason;
        explain(&problem, "An account cannot be read; the server's log says why.");
    }
    for (size_t i = 0; i < owned->count; i++) {
        json *list = devices_read(door, owned->account[i].name, CACHE_SECONDS, &reason);
        for (size_t k = 0; k < json_object_array_length(list); k++)
            json_object_array_add(all, json_object_get(json_object_array_get_idx(list, k)));
        json_object_put(list);
        if (reason.text[0] != '\0')
            problem = reason;
        if (owned->account[i].error[0] != '\0')
            explain(&problem, "%s", owned->account[i].error);
    }
    json_object_object_add(answer, "devices", all);
    json_object_object_add(answer, "accounts", json_object_new_int((int)owned->count));
    json_object_object_add(answer, "error", json_object_new_string(problem.text));
    const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
    exchange_answer(exchange, 200, "application/json", "", text, strlen(text));
    json_object_put(answer);
    free(owned);
}
