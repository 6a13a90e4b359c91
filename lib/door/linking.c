/* The steps, each durable before the next: claimed (with the nonce), POST, awaiting, PATCH, completed. An
 * account's lock is not held while Ring is asked, because that may renew its tokens: so every step checks
 * that the account is still what the last one left. */
#include "linking.h"

#include "api.h"
#include "timestamp.h"

#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NONCE_LIFE 600     /* seconds */
#define CLOCK_DIFFERENCE 5 /* seconds that Ring's clock may be ahead of ours */
#define LOCK_SECONDS 30
#define TIME_DIGITS 15
#define INTEGRATIONS "/v1/accounts/me/app-integrations"
#define TAP "tap \"Sign in\" in the Ring app again"

/* ---- the nonce ---- */

static int check_time(const char *time, struct reason *reason) {
    size_t length = strlen(time);
    if (length == 0 || length > TIME_DIGITS || strspn(time, "0123456789") != length)
        return FAIL(reason, ERROR_INVALID, "the link's time is not a number: " TAP);
    int64_t age = timestamp_now() - strtoll(time, NULL, 10) * 1000;
    if (age > NONCE_LIFE * SECOND)
        return FAIL(reason, ERROR_INVALID, "the link is older than %d minutes: " TAP, NONCE_LIFE / 60);
    if (age < -CLOCK_DIFFERENCE * SECOND)
        return FAIL(reason, ERROR_INVALID,
                    "the link's time is in the future: check this host's clock, then " TAP);
    return 0;
}

/* Returns true if the nonce is HMAC-SHA256(key, "TIME:ID") for one of the keys. The time that it takes
 * depends on the number of keys alone. */
static bool matches(struct keys *keys, const char *id, const char *nonce, const char *time) {
    unsigned char digest[crypto_auth_hmacsha256_BYTES];
    char text[NONCE_SIZE];
    bool found = false;
    for (size_t i = 0; i < keys_count(keys); i++) {
        crypto_auth_hmacsha256_state *state = keys_start(keys, i);
        crypto_auth_hmacsha256_update(state, (const unsigned char *)time, strlen(time));
        crypto_auth_hmacsha256_update(state, (const unsigned char *)":", 1);
        crypto_auth_hmacsha256_update(state, (const unsigned char *)id, strlen(id));
        crypto_auth_hmacsha256_final(state, digest);
        sodium_bin2base64(text, sizeof text, digest, sizeof digest, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        found |= sodium_memcmp(text, nonce, NONCE_SIZE - 1) == 0;
    }
    sodium_memzero(digest, sizeof digest);
    sodium_memzero(text, sizeof text);
    return found;
}

/* Nobody's, or not yet complete and this user's. */
static bool may_claim(const struct account *account, const char *user) {
    return account->id[0] != '\0' &&
           (account->state == ACCOUNT_UNCLAIMED ||
            (account->state != ACCOUNT_COMPLETED && strcmp(account->user, user) == 0));
}

struct match {
    struct keys *keys;
    const char *user, *nonce, *time;
    char name[sizeof((struct account *)NULL)->name]; /* of the account that matches, or "" */
};

static int match_one(void *context, const struct account *account) {
    struct match *match = context;
    bool same = matches(match->keys, account->id, match->nonce, match->time);
    if (same && may_claim(account, match->user))
        snprintf(match->name, sizeof match->name, "%s", account->name);
    return 0; /* all are compared */
}

/* ---- tokens whose account is not known yet ---- */

#define UNKNOWN_MAX 8 /* at once */

struct unknown {
    size_t count;
    char names[UNKNOWN_MAX][sizeof((struct account *)NULL)->name];
};

static int note_unknown(void *context, const struct account *account) {
    struct unknown *unknown = context;
    if (account->id[0] == '\0' && account->error[0] == '\0')
        memcpy(unknown->names[unknown->count++], account->name, sizeof account->name);
    return unknown->count == UNKNOWN_MAX;
}

/* The nonce may be of an account that Ring could not be asked about. */
static void identify_all(struct door *door, struct account *account) {
    struct unknown unknown = {0};
    struct reason ignored;
    account_each(door, note_unknown, &unknown, &ignored);
    for (size_t i = 0; i < unknown.count; i++)
        if (account_load(door, unknown.names[i], account, NULL) == 1)
            api_identify(door, account, NULL);
}

/* ---- the steps ---- */

/* Takes the account's lock and reads it again. Returns the lock, or an error. */
static int reload(const struct door *door, const char *name, struct account *account, struct reason *reason) {
    int lock = account_lock(door, name, LOCK_SECONDS, reason);
    if (lock < 0)
        return lock;
    int result = account_load(door, name, account, reason);
    if (result == 1)
        return lock;
    close(lock);
    return result == 0 ? FAIL(reason, ERROR_INVALID, "the account was removed") : ERROR_SYSTEM;
}

static int claim(const struct door *door, const struct match *match, struct account *account,
                 struct reason *reason) {
    int lock = reload(door, match->name, account, reason);
    if (lock < 0)
        return lock;
    int result = 0;
    if (!may_claim(account, match->user))
        result = FAIL(reason, ERROR_INVALID, "somebody else has claimed this account meanwhile");
    else {
        snprintf(account->user, sizeof account->user, "%s", match->user);
        snprintf(account->nonce, sizeof account->nonce, "%s", match->nonce);
        account->state = ACCOUNT_CLAIMED;
        result = account_save(door, account, reason);
    }
    close(lock);
    return result;
}

/* Moves the account on to `state`, unless another request has changed it meanwhile. */
static int advance(const struct door *door, struct account *account, enum account_state state,
                   struct reason *reason) {
    struct account *stored = account_alloc();
    if (stored == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for an account");
    int lock = reload(door, account->name, stored, reason), result = 0;
    if (lock < 0) {
        account_free(stored);
        return lock;
    }
    bool same = strcmp(stored->user, account->user) == 0 && strcmp(stored->nonce, account->nonce) == 0;
    if (!same && !(stored->state == ACCOUNT_COMPLETED && strcmp(stored->user, account->user) == 0))
        result = FAIL(reason, ERROR_SYSTEM, "the account was changed meanwhile: " TAP);
    else if (stored->state < state) {
        stored->state = state;
        if (state == ACCOUNT_COMPLETED)
            stored->nonce[0] = '\0';
        result = account_save(door, stored, reason);
    }
    *account = *stored;
    account_free(stored);
    close(lock);
    return result;
}

/* u***r@example.com: enough for the user to recognize it on Ring's page. */
static void mask(const char *user, char *out, size_t size) {
    size_t length = strcspn(user, "@");
    if (length < 2)
        snprintf(out, size, "%.*s***%s", (int)length, user, user + length);
    else
        snprintf(out, size, "%c***%c%s", user[0], user[length - 1], user + length);
}

/* Returns the text of {"account_identifier":…,"nonce":…} in an object that the caller releases, or NULL. */
static struct json_object *make_claim(const struct account *account) {
    char masked[USER_SIZE + 8];
    struct json_object *object = json_object_new_object();
    mask(account->user, masked, sizeof masked);
    if (object != NULL &&
        json_object_object_add(object, "account_identifier", json_object_new_string(masked)) == 0 &&
        json_object_object_add(object, "nonce", json_object_new_string(account->nonce)) == 0)
        return object;
    json_object_put(object);
    return NULL;
}

/* Returns the HTTP status, or an error with a reason. */
static int tell(struct door *door, struct account *account, const char *method, const char *body,
                struct reason *reason) {
    struct http_response response;
    struct http_request request = {
        .method = method,
        .headers = {"", "Content-Type: application/json", "Accept: application/json"},
        .body = body,
        .length = strlen(body),
    };
    int result = api_send(door, account, INTEGRATIONS, &request, &response, reason);
    int status = response.status;
    http_free(&response);
    return result != 0 ? result : status;
}

static bool is_success(int status) {
    return status >= 200 && status < 300;
}

static int fail(const char *step, int status, struct reason *reason) {
    if (status == 404)
        return FAIL(
            reason, ERROR_INVALID,
            "Ring knows of no such connection (404): remove the app in the Ring app, and add it again");
    if (status >= 400 && status < 500 && status != 408 && status != 429)
        return FAIL(reason, ERROR_INVALID, "Ring does not accept this attempt (%d to %s): " TAP, status,
                    step);
    return FAIL(reason, status == 429 ? ERROR_TIMEOUT : ERROR_SYSTEM,
                "Ring answers %d to %s: try it again in a minute", status, step);
}

/* A lost answer may have left the account as awaiting at Ring, which then refuses the same nonce with 400. So
 * that is decided by the next step. */
static int post(struct door *door, struct account *account, int *status, struct reason *reason) {
    struct json_object *object = make_claim(account);
    if (object == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for a request");
    *status =
        tell(door, account, "POST", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), reason);
    json_object_put(object);
    if (*status < 0)
        return *status;
    if (is_success(*status))
        return advance(door, account, ACCOUNT_AWAITING, reason);
    return *status == 400 ? 0 : fail("the nonce", *status, reason);
}

static int patch(struct door *door, struct account *account, int posted, struct reason *reason) {
    int status = tell(door, account, "PATCH", "{\"status\":\"completed\"}", reason);
    if (status < 0)
        return status;
    if (is_success(status))
        return advance(door, account, ACCOUNT_COMPLETED, reason);
    return posted == 400 ? fail("the nonce", posted, reason) : fail("the completion", status, reason);
}

int linking_resume(struct door *door, struct account *account, struct reason *reason) {
    int result = 0, posted = 0;
    if (account->state == ACCOUNT_UNCLAIMED)
        return FAIL(reason, ERROR_INVALID, "nobody has claimed this account: " TAP);
    if (account->state == ACCOUNT_CLAIMED)
        result = post(door, account, &posted, reason);
    if (result == 0 && account->state != ACCOUNT_COMPLETED)
        result = patch(door, account, posted, reason);
    return result;
}

int linking_claim(struct door *door, struct keys *keys, const char *user, const char *nonce, const char *time,
                  struct reason *reason) {
    struct match match = {.keys = keys, .user = user, .nonce = nonce, .time = time};
    struct reason unread = {""};
    if (user[0] == '\0' || strlen(user) >= USER_SIZE)
        return FAIL(reason, ERROR_INVALID, "the user's name is not valid");
    if (strlen(nonce) != NONCE_SIZE - 1)
        return FAIL(reason, ERROR_INVALID, "the link's nonce is not valid: " TAP);
    int result = check_time(time, reason);
    if (result != 0)
        return result;
    struct account *account = account_alloc();
    if (account == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for an account");
    result = account_each(door, match_one, &match, &unread);
    if (result == 0 && match.name[0] == '\0') {
        identify_all(door, account);
        result = account_each(door, match_one, &match, &unread);
    }
    if (result != 0)
        explain(reason, "%s", unread.text);
    else if (match.name[0] == '\0')
        result = unread.text[0] != '\0' ? FAIL(reason, ERROR_SYSTEM, "%s", unread.text)
                                        : FAIL(reason, ERROR_INVALID,
                                               "the link matches no account that waits for its user: " TAP);
    else
        result = claim(door, &match, account, reason);
    if (result == 0)
        result = linking_resume(door, account, reason);
    account_free(account);
    return result;
}
