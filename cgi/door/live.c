/* Live video by WHEP (draft-ietf-wish-whep): the page's offer goes to Ring, Ring's answer to the page. The
 * session's address and the bearer token stay here.
 *
 *   POST    lock, no other session: note it without an address, unlock
 *           ask Ring (seconds)
 *           lock, the viewer is still there: note the address, unlock, answer
 *   DELETE  lock, end it at Ring, forget it; without an address yet: note that the viewer has left
 *
 * So whichever comes first, a session whose viewer has left is ended at Ring as soon as there is something to
 * end. */
#include "api.h"
#include "devices.h"
#include "exchange.h"
#include "owned.h"
#include "page.h"
#include "percent.h"
#include "routes.h"
#include "session.h"
#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SDP_LIMIT (1 << 18)
#define GRACE 5 /* seconds that a session may last longer than Ring says */

/* ---- SDP (RFC 8866) ---- */

static bool has_line(const char *sdp, const char *line) {
    size_t length = strlen(line);
    for (const char *at = sdp; (at = strstr(at, line)) != NULL; at += length)
        if ((at == sdp || at[-1] == '\n') && (at[length] == '\r' || at[length] == '\n' || at[length] == '\0'))
            return true;
    return false;
}

/* Ring takes only offers that receive and do not send. */
static bool is_offer(const char *sdp) {
    return strncmp(sdp, "v=0", 3) == 0 && strstr(sdp, "\nm=video ") != NULL && has_line(sdp, "a=recvonly") &&
           !has_line(sdp, "a=sendrecv") && !has_line(sdp, "a=sendonly");
}

/* Browsers refuse an answer to a recvonly offer that says sendrecv or recvonly, as some of Ring's services
 * do: each becomes sendonly, in place, as all have the same length. */
static void correct_direction(char *sdp) {
    static const char *const wrong[] = {"a=sendrecv", "a=recvonly"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (char *at = sdp; (at = strstr(at, wrong[i])) != NULL; at++)
            if (at != sdp && at[-1] == '\n')
                memcpy(at, "a=sendonly", strlen(wrong[i]));
}

/* ---- Ring ---- */

struct attempt {
    struct exchange *exchange;
    struct door *door;
    struct account *account;
    struct session session;
    int seconds;
    char path[PERCENT_SIZE(EVENT_FIELD_SIZE) + 64]; /* of the device's sessions */
};

/* The bearer token goes to a session's address only if it is one of this device's at the API. */
static bool is_session_url(const struct attempt *attempt, const char *url) {
    const char *api = attempt->door->config->api;
    size_t length = strlen(api), path = strlen(attempt->path);
    return strncmp(url, api, length) == 0 && strncmp(url + length, attempt->path, path) == 0 &&
           url[length + path] == '/' && url[length + path + 1] != '\0' && !api_has_dots(url + length);
}

/* Returns 0 if Ring has ended it, or never knew it. */
static int end_at_ring(struct door *door, const struct session *session, struct reason *reason) {
    struct account *account = account_alloc();
    struct http_request request = {.method = "DELETE", .seconds = API_SECONDS, .limit = 1 << 16};
    struct http_response response = {0};
    int result = account == NULL ? FAIL(reason, ERROR_SYSTEM, "out of memory")
                                 : account_load(door, session->account, account, reason);
    if (result == 0)
        result = FAIL(reason, ERROR_INVALID, "the account was removed");
    if (result > 0)
        result = api_send(door, account, session->url, &request, &response, reason);
    if (result == 0 && response.status / 100 != 2 && response.status != 404 && response.status != 410)
        result = FAIL(reason, ERROR_SYSTEM, "Ring answered %d when asked to end the live session",
                      response.status);
    http_free(&response);
    account_free(account);
    return result;
}

/* ---- POST ?/live/DEVICE&id=ID ---- */

static void answer_failure(struct exchange *exchange, int result, const struct http_response *response,
                           const char *text) {
    char fields[48] = "";
    if (result == ERROR_TIMEOUT)
        exchange_error(exchange, 504, "timeout", "Ring did not answer in time: try again");
    else if (result == ERROR_INVALID || (result == 0 && (response->status == 401 || response->status == 403)))
        exchange_error(exchange, 502, "denied",
                       "Ring refuses access: connect the account again in the Ring app");
    else if (result != 0)
        exchange_error(exchange, 502, "failed", text);
    else if (response->status == 404)
        exchange_error(exchange, 404, "missing",
                       "Ring does not know this device, or it allows no live video");
    else if (response->status == 503)
        exchange_error(exchange, 503, "offline", "the device is offline");
    else if (response->status == 429) {
        snprintf(fields, sizeof fields, "Retry-After: %d\r\n",
                 response->retry_after >= 0 ? response->retry_after : 60);
        static const char body[] =
            "{\"error\":\"limit\",\"message\":\"Ring is asked too often: try again later\"}\n";
        exchange_answer(exchange, 429, "application/json", fields, body, sizeof body - 1);
    } else
        exchange_error(exchange, 502, "failed", "Ring cannot start live video now: try again");
}

/* Notes the session before Ring is asked. Returns 0, or has answered. */
static int reserve(struct attempt *attempt) {
    struct session other;
    struct reason reason;
    int lock = session_lock(attempt->door, attempt->session.device, &reason);
    int result = lock < 0 ? lock : session_read(attempt->door, attempt->session.device, &other, &reason);
    if (result > 0) {
        exchange_error(attempt->exchange, 409, "busy", "somebody else is watching this door");
    } else if (result == 0 && session_was_cancelled(attempt->door, attempt->session.id)) {
        exchange_error(attempt->exchange, 409, "cancelled", "the viewer has left");
        result = 1;
    } else if (result == 0) {
        result = session_write(attempt->door, &attempt->session, &reason);
    }
    if (result < 0)
        exchange_error(attempt->exchange, 503, "failed", reason.text);
    if (lock >= 0)
        close(lock);
    return result;
}

/* Notes the session's address, unless its viewer has left. Returns 0; 1 if it has to be ended; or an error.
 */
static int confirm(struct attempt *attempt, const char *url, struct reason *reason) {
    struct session found;
    size_t length = strlen(url);
    if (length >= sizeof attempt->session.url)
        return 1;
    memcpy(attempt->session.url, url, length + 1);
    int lock = session_lock(attempt->door, attempt->session.device, reason);
    int result = lock < 0 ? lock : session_read(attempt->door, attempt->session.device, &found, reason);
    if (result >= 0) {
        bool gone = result == 0 || strcmp(found.id, attempt->session.id) != 0 ||
                    session_was_cancelled(attempt->door, attempt->session.id);
        attempt->session.until = timestamp_now() + (attempt->seconds + GRACE) * SECOND;
        result = gone ? 1 : session_write(attempt->door, &attempt->session, reason);
    }
    if (lock >= 0)
        close(lock);
    return result;
}

/* Forgets a session that did not begin, or was ended; unless it is another one by now. */
static void forget(struct door *door, const struct session *session) {
    struct session found;
    struct reason ignored; /* it ends by itself */
    int lock = session_lock(door, session->device, &ignored);
    if (lock < 0)
        return;
    if (session_read(door, session->device, &found, &ignored) > 0 && strcmp(found.id, session->id) == 0)
        session_remove(door, session->device, &ignored);
    session_was_cancelled(door, session->id);
    close(lock);
}

static void begin(struct attempt *attempt) {
    struct exchange *exchange = attempt->exchange;
    struct http_request request = {
        .method = "POST",
        .headers = {NULL, "Content-Type: application/sdp", "Accept: application/sdp"},
        .body = exchange->body,
        .length = exchange->length,
        .seconds = API_SECONDS,
        .limit = SDP_LIMIT};
    struct http_response response = {0};
    struct reason reason = {""};
    char fields[48];
    int result = api_send(attempt->door, attempt->account, attempt->path, &request, &response, &reason);
    bool good = result == 0 && response.status == 201 && response.length > 0 &&
                strncmp(response.body, "v=0", 3) == 0 && is_session_url(attempt, response.location);
    int state = good ? confirm(attempt, response.location, &reason) : 1;
    if (state == 0) {
        correct_direction(response.body);
        snprintf(fields, sizeof fields, "X-Seconds: %d\r\n", attempt->seconds);
        exchange_answer(exchange, 201, "application/sdp", fields, response.body, response.length);
        http_free(&response);
        return;
    }
    if (good) {
        if (state > 0)
            exchange_error(exchange, 409, "cancelled", "the viewer has left");
        else
            exchange_error(exchange, 503, "failed", reason.text);
        exchange_finish(exchange);
        if (end_at_ring(attempt->door, &attempt->session, &reason) != 0)
            end_at_ring(attempt->door, &attempt->session, &reason);
    } else {
        answer_failure(exchange, result, &response, reason.text);
    }
    http_free(&response);
    forget(attempt->door, &attempt->session);
}

/* Fills in the attempt. Returns 0, or has answered. */
static int prepare(struct attempt *attempt, const char *device) {
    struct exchange *exchange = attempt->exchange;
    struct reason reason;
    char encoded[PERCENT_SIZE(EVENT_FIELD_SIZE)];
    size_t index = 0;
    struct owned *owned = owned_read(attempt->door, exchange->user, &reason);
    int found = ERROR_SYSTEM;
    if (owned != NULL)
        found = devices_find(attempt->door, owned, device, &index, &attempt->seconds, &reason);
    if (found > 0)
        found = account_load(attempt->door, owned->account[index].name, attempt->account, &reason);
    free(owned);
    if (found <= 0) {
        if (found == 0)
            exchange_error(exchange, 404, "missing", "none of your accounts has this device");
        else
            exchange_error(exchange, 502, "failed", reason.text);
        return -1;
    }
    snprintf(attempt->session.device, sizeof attempt->session.device, "%s", device);
    snprintf(attempt->session.user, sizeof attempt->session.user, "%s", exchange->user);
    memcpy(attempt->session.account, attempt->account->name, sizeof attempt->session.account);
    attempt->session.until =
        timestamp_now() + (API_SECONDS * 3 + GRACE) * SECOND; /* a token may be renewed too */
    snprintf(attempt->path, sizeof attempt->path, "/v1/devices/%s/media/streaming/whep/sessions",
             percent_encode(device, encoded, sizeof encoded));
    return 0;
}

static void start_live(struct exchange *exchange, const char *device, const char *id) {
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL || (attempt->account = account_alloc()) == NULL) {
        exchange_error(exchange, 503, "failed", "out of memory");
    } else {
        attempt->exchange = exchange;
        attempt->door = &exchange->page->door;
        memcpy(attempt->session.id, id, SESSION_ID_SIZE);
        if (prepare(attempt, device) == 0 && reserve(attempt) == 0)
            begin(attempt);
    }
    if (attempt != NULL)
        account_free(attempt->account);
    free(attempt);
}

void route_live(struct exchange *exchange) {
    char device[EVENT_FIELD_SIZE], id[SESSION_ID_SIZE];
    if (strncasecmp(exchange_variable(exchange, "CONTENT_TYPE"), "application/sdp", 15) != 0) {
        exchange_error(exchange, 415, "failed", "the offer must be application/sdp");
        return;
    }
    if (exchange_body(exchange) != 0)
        return;
    if (!exchange_operand(exchange, device, sizeof device) || device[0] == '\0' ||
        !exchange_query(exchange, "id", id, sizeof id) || !session_id_is_good(id))
        exchange_error(exchange, 400, "failed",
                       "the request needs a device, and an id of 32 hexadecimal digits");
    else if (!is_offer(exchange->body))
        exchange_error(exchange, 400, "failed", "the offer must be complete, have video, and be recvonly");
    else
        start_live(exchange, device, id);
}

/* ---- DELETE ?/live/ID ---- */

static void answer_ended(struct exchange *exchange, int status) {
    exchange_answer(exchange, status, NULL, "", NULL, 0);
}

/* With the lock: what is noted of the session cannot change. */
static void end_locked(struct exchange *exchange, const char *device, const char *id) {
    struct door *door = &exchange->page->door;
    struct session session;
    struct reason reason;
    int result = session_read(door, device, &session, &reason);
    if (result == 0 || (result > 0 && strcmp(session.id, id) != 0)) {
        answer_ended(exchange, 204);
        return;
    }
    if (result > 0 && session.url[0] == '\0') {
        result = session_cancel(door, id, &reason);
        if (result == 0)
            answer_ended(exchange, 202);
    } else if (result > 0) {
        result = end_at_ring(door, &session, &reason);
        if (result != 0) /* once more: an open session costs the device's battery */
            result = end_at_ring(door, &session, &reason);
        if (result == 0 && (result = session_remove(door, device, &reason)) == 0)
            answer_ended(exchange, 204);
    }
    if (result < 0)
        exchange_error(exchange, 502, "failed", reason.text);
}

void route_live_end(struct exchange *exchange) {
    struct door *door = &exchange->page->door;
    char id[SESSION_ID_SIZE];
    struct session session = {.until = 0};
    struct reason reason = {""};
    if (!exchange_operand(exchange, id, sizeof id) || !session_id_is_good(id)) {
        exchange_error(exchange, 400, "failed", "the request needs an id of 32 hexadecimal digits");
        return;
    }
    int found = session_find(door, id, &session, &reason);
    if (found > 0 && strcmp(session.user, exchange->user) != 0)
        found = 0;       /* somebody else's: as if there were none */
    else if (found == 0) /* it may be overtaking its own POST */
        found = session_cancel(door, id, &reason);
    int lock = found > 0 ? session_lock(door, session.device, &reason) : -1;
    if (found == 0)
        answer_ended(exchange, 204);
    else if (found < 0 || lock < 0)
        exchange_error(exchange, 503, "failed", reason.text);
    else
        end_locked(exchange, session.device, id);
    if (lock >= 0)
        close(lock);
}
