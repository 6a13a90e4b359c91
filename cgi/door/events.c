/* GET ?/events: the signed-in user's events.
 *
 * A worker holds the request of a page that waits for the next press, up to a number of viewers that the web
 * server can take: beyond it, and under CGI, the answer goes out at once, and the page polls. */
#define _GNU_SOURCE /* memmem */
#include "feed.h"
#include "owned.h"
#include "page.h"
#include "picture.h"
#include "ring.h"
#include "routes.h"
#include "timestamp.h"

#include <inttypes.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 50 /* in an answer */
#define WAIT_MAX 25   /* seconds */

/* What web servers take of held requests without the others suffering, as measured; see doorpost-door.cgi(8).
 * Apache is 0: with mod_fcgid each held request occupies a process, and under mod_proxy_fcgi a thread. */
static int hold_limit(const struct exchange *exchange) {
    const struct config *config = &exchange->page->config;
    const char *server = exchange_variable(exchange, "SERVER_SOFTWARE");
    if (!exchange->page->lasting)
        return 0;
    if (config->door_hold >= 0)
        return config->door_hold;
    return strncmp(server, "lighttpd", 8) == 0 || strncmp(server, "nginx", 5) == 0 ? 200 : 0;
}

struct selection {
    const struct door *door;
    const struct owned *owned;
    bool all_types;
    size_t count;
    struct json_object *event[EVENTS_MAX]; /* newest first */
};

/* Rules out other people's events without parsing them. An identifier that JSON may write in several ways is
 * left to the parser. */
static bool mentions_account(void *context, const struct record *record) {
    const struct selection *selection = context;
    const char *body = record->event;
    size_t length = record->event_length;
    for (size_t i = 0; i < selection->owned->count; i++) {
        const char *id = selection->owned->account[i].id;
        if (strpbrk(id, "/\"\\") != NULL || memmem(body, length, id, strlen(id)) != NULL)
            return true;
        for (const char *at = id; *at != '\0'; at++)
            if ((unsigned char)*at > 126)
                return true;
    }
    return memchr(body, '\\', length) != NULL && selection->owned->count > 0;
}

static struct json_object *event_json(const struct door *door, const struct record *record,
                                      const struct event *event) {
    struct json_object *object = json_object_new_object();
    static const char *const states[] = {
        [PICTURE_HERE] = "yes", [PICTURE_PENDING] = "pending", [PICTURE_NONE] = "none"};
    struct picture picture;
    picture_of(door, event, &picture);
    enum picture_state state =
        strcmp(event->type, RING_PRESS) == 0 ? picture_state(door, &picture) : PICTURE_NONE;
    json_object_object_add(object, "seq", json_object_new_int64((int64_t)record->seq));
    json_object_object_add(object, "type", json_object_new_string(event->type));
    json_object_object_add(object, "sub_type", json_object_new_string(event->sub_type));
    json_object_object_add(object, "device", json_object_new_string(event->device));
    json_object_object_add(object, "pressed_at", json_object_new_int64(event->timestamp));
    json_object_object_add(object, "received_at",
                           json_object_new_string_len(record->received_at, TIMESTAMP_SIZE - 1));
    json_object_object_add(object, "picture", json_object_new_string(states[state]));
    return object;
}

static bool select_event(void *context, const struct record *record, const struct event *event) {
    struct selection *selection = context;
    if (!owned_has(selection->owned, event->account))
        return true;
    if (strcmp(event->type, RING_REMOVED) == 0)
        owned_note_removed(selection->door, record, event);
    if (!selection->all_types && strcmp(event->type, RING_PRESS) != 0)
        return true;
    selection->event[selection->count++] = event_json(selection->door, record, event);
    return selection->count < EVENTS_MAX;
}

static void send_events(struct exchange *exchange, struct selection *selection, uint64_t next, bool hold) {
    struct json_object *answer = json_object_new_object(), *events = json_object_new_array();
    char fields[96];
    while (selection->count > 0)
        json_object_array_add(events, selection->event[--selection->count]);
    json_object_object_add(answer, "events", events);
    json_object_object_add(answer, "next", json_object_new_int64((int64_t)next));
    json_object_object_add(answer, "hold", json_object_new_boolean(hold));
    const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
    snprintf(fields, sizeof fields, "X-Next: %" PRIu64 "\r\nETag: \"%" PRIu64 "\"\r\n", next, next);
    exchange_answer(exchange, 200, "application/json", fields, text, strlen(text));
    json_object_put(answer);
}

/* Reads until there is an event for this user, or the time is over. Returns 0 or an error with a reason. */
static int gather(struct exchange *exchange, struct selection *selection, uint64_t after, int64_t deadline,
                  uint64_t *next, struct reason *reason) {
    struct page *page = exchange->page;
    const struct feed_reader reader = {mentions_account, select_event, selection};
    for (*next = after;;) {
        int result = feed_read(page->feed, *next, &reader, next, reason);
        if (result != 0)
            return result;
        if (selection->count > 0 || monotonic_now() >= deadline || atomic_load(&page->ending))
            return 0;
        feed_wait(page->feed, *next, deadline, &page->ending);
    }
}

static uint64_t query_number(const struct exchange *exchange, const char *name) {
    char text[24];
    return exchange_query(exchange, name, text, sizeof text) && strspn(text, "0123456789") == strlen(text)
               ? strtoull(text, NULL, 10)
               : 0;
}

static void answer_events(struct exchange *exchange, struct selection *selection, bool hold) {
    struct page *page = exchange->page;
    uint64_t after = query_number(exchange, "after"), wait = query_number(exchange, "wait"), next = 0;
    char types[8], etag[32];
    struct reason reason;
    selection->all_types =
        exchange_query(exchange, "types", types, sizeof types) && strcmp(types, "all") == 0;
    if (after > feed_end(page->feed))
        after = 0; /* the journal was replaced */
    int64_t deadline = monotonic_now() + (hold ? (int64_t)(wait < WAIT_MAX ? wait : WAIT_MAX) * SECOND : 0);
    if (gather(exchange, selection, after, deadline, &next, &reason) != 0) {
        exchange_error(exchange, 503, "failed", reason.text);
        return;
    }
    snprintf(etag, sizeof etag, "\"%" PRIu64 "\"", next);
    if (selection->count == 0 && strcmp(exchange_variable(exchange, "HTTP_IF_NONE_MATCH"), etag) == 0) {
        exchange_answer(exchange, 304, NULL, "", NULL, 0);
        return;
    }
    send_events(exchange, selection, next, hold);
}

void route_events(struct exchange *exchange) {
    struct page *page = exchange->page;
    struct reason reason;
    struct owned *owned = owned_read(&page->door, exchange->user, &reason);
    struct selection selection = {.door = &page->door, .owned = owned};
    if (owned == NULL || feed_refresh(page->feed, &reason) != 0) {
        exchange_error(exchange, 503, "failed", reason.text);
    } else {
        /* Only a request that waits counts as held. */
        int waits = query_number(exchange, "wait") > 0;
        bool hold = atomic_fetch_add(&page->held, waits) < hold_limit(exchange);
        answer_events(exchange, &selection, hold);
        atomic_fetch_sub(&page->held, waits);
    }
    while (selection.count > 0)
        json_object_put(selection.event[--selection.count]);
    free(owned);
}
