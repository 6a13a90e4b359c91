/* The file of an account has one JSON object with the members of struct account, under the same names. */
#include "account.h"

#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 64
#define LOCK ".lock"

static const char *const state_names[] = {[ACCOUNT_UNCLAIMED] = "unclaimed",
                                          [ACCOUNT_CLAIMED] = "claimed",
                                          [ACCOUNT_AWAITING] = "awaiting",
                                          [ACCOUNT_COMPLETED] = "completed"};
#define STATES (sizeof state_names / sizeof *state_names)

struct account *account_alloc(void) {
    struct account *account = sodium_malloc(sizeof *account);
    if (account != NULL)
        memset(account, 0, sizeof *account);
    return account;
}

void account_free(struct account *account) {
    sodium_free(account);
}

const char *account_state_name(enum account_state state) {
    return state_names[state];
}

/* ---- as JSON ---- */

/* Copies a text member, and wipes json-c's copy of it. A missing one is "". */
static bool take_text(struct json_object *object, const char *name, char *out, size_t size) {
    struct json_object *member;
    out[0] = '\0';
    if (!json_object_object_get_ex(object, name, &member))
        return true;
    size_t length = (size_t)json_object_get_string_len(member);
    const char *text = json_object_get_string(member);
    if (!json_object_is_type(member, json_type_string) || length >= size || strlen(text) != length)
        return false;
    memcpy(out, text, length + 1);
    sodium_memzero((char *)(uintptr_t)text, length);
    return true;
}

static int64_t take_number(struct json_object *object, const char *name) {
    struct json_object *member;
    return json_object_object_get_ex(object, name, &member) ? json_object_get_int64(member) : 0;
}

static bool take_state(struct json_object *object, enum account_state *state) {
    char name[16];
    if (!take_text(object, "state", name, sizeof name))
        return false;
    for (size_t i = 0; i < STATES; i++)
        if (strcmp(name, state_names[i]) == 0) {
            *state = (enum account_state)i;
            return true;
        }
    return false;
}

static bool parse(const char *text, struct account *account) {
    struct json_object *object = json_tokener_parse(text);
    bool good = json_object_is_type(object, json_type_object) &&
                take_text(object, "id", account->id, sizeof account->id) &&
                take_text(object, "user", account->user, sizeof account->user) &&
                take_text(object, "access", account->access, sizeof account->access) &&
                take_text(object, "refresh", account->refresh, sizeof account->refresh) &&
                take_text(object, "nonce", account->nonce, sizeof account->nonce) &&
                take_text(object, "error", account->error, sizeof account->error) &&
                take_state(object, &account->state);
    if (good) {
        account->expires_at = take_number(object, "expires_at");
        account->refreshed_at = take_number(object, "refreshed_at");
    }
    json_object_put(object);
    return good;
}

static bool put_text(struct json_object *object, const char *name, const char *text) {
    struct json_object *value = json_object_new_string(text);
    return value != NULL && json_object_object_add(object, name, value) == 0;
}

static bool put_number(struct json_object *object, const char *name, int64_t number) {
    struct json_object *value = json_object_new_int64(number);
    return value != NULL && json_object_object_add(object, name, value) == 0;
}

static struct json_object *make(const struct account *account) {
    struct json_object *object = json_object_new_object();
    if (object != NULL && put_text(object, "id", account->id) && put_text(object, "user", account->user) &&
        put_text(object, "state", state_names[account->state]) &&
        put_text(object, "access", account->access) && put_text(object, "refresh", account->refresh) &&
        put_number(object, "expires_at", account->expires_at) &&
        put_number(object, "refreshed_at", account->refreshed_at) &&
        put_text(object, "nonce", account->nonce) && put_text(object, "error", account->error))
        return object;
    json_object_put(object);
    return NULL;
}

/* ---- as files ---- */

static bool is_name(const char *name) {
    size_t prefix = strncmp(name, "code-", 5) == 0 ? 5 : 0;
    return strspn(name + prefix, "0123456789abcdef") == DOOR_HASH_SIZE - 1 &&
           name[prefix + DOOR_HASH_SIZE - 1] == '\0';
}

/* Writes accounts/NAME. Returns 0, or ERROR_SYSTEM with a reason if that is not the name of an account. */
static int path_of(const char *name, const char *suffix, char path[PATH_SIZE], struct reason *reason) {
    if (!is_name(name))
        return FAIL(reason, ERROR_SYSTEM, "accounts/%.64s is not the name of an account: move it away", name);
    snprintf(path, PATH_SIZE, "accounts/%s%s", name, suffix);
    return 0;
}

int account_load(const struct door *door, const char *name, struct account *account, struct reason *reason) {
    char path[PATH_SIZE], *text;
    size_t length;
    int result = path_of(name, "", path, reason);
    if (result == 0)
        result = door_read(door, path, &text, &length, reason);
    if (result != 1)
        return result;
    struct account *read = account_alloc();
    if (read == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "not enough memory for %s", path);
    else if (strlen(text) != length || !parse(text, read))
        result = FAIL(reason, ERROR_DAMAGED, "%s in %s is not an account", path, door->config->door);
    else {
        snprintf(read->name, sizeof read->name, "%s", name);
        *account = *read;
    }
    account_free(read);
    sodium_free(text);
    return result;
}

int account_find(const struct door *door, const char *id, struct account *account, struct reason *reason) {
    char name[DOOR_HASH_SIZE];
    door_hash(door, DOOR_ACCOUNT, id, strlen(id), name);
    return account_load(door, name, account, reason);
}

int account_save(const struct door *door, const struct account *account, struct reason *reason) {
    char path[PATH_SIZE];
    int result = path_of(account->name, "", path, reason);
    if (result != 0)
        return result;
    struct json_object *object = make(account);
    const char *text = object != NULL ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN) : NULL;
    if (text == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "not enough memory for %s", path);
    else {
        size_t length = strlen(text);
        result = door_write(door, path, text, length, reason);
        sodium_memzero((char *)(uintptr_t)text, length);
    }
    json_object_put(object);
    return result;
}

int account_remove(const struct door *door, const char *name, struct reason *reason) {
    char path[PATH_SIZE];
    int result = path_of(name, "", path, reason);
    return result == 0 ? door_remove(door, path, reason) : result;
}

int account_lock(const struct door *door, const char *name, int seconds, struct reason *reason) {
    char path[PATH_SIZE];
    int result = path_of(name, LOCK, path, reason);
    return result == 0 ? door_lock(door, path, seconds, reason) : result;
}

int account_forget(const struct door *door, const char *name, int seconds, struct reason *reason) {
    char path[PATH_SIZE];
    int lock = account_lock(door, name, seconds, reason);
    if (lock < 0)
        return lock;
    snprintf(path, sizeof path, "cache/%.40s.devices", name);
    int result = account_remove(door, name, reason);
    if (result == 0)
        result = door_remove(door, path, reason);
    close(lock);
    return result;
}

int account_removed(const struct door *door, const char *id, int64_t at, struct reason *reason) {
    char name[DOOR_HASH_SIZE];
    struct account *account = account_alloc();
    door_hash(door, DOOR_ACCOUNT, id, strlen(id), name);
    int result = account != NULL ? account_load(door, name, account, reason)
                                 : FAIL(reason, ERROR_SYSTEM, "out of memory");
    bool newer = result == 1 && account->refreshed_at >= at; /* the app was added again */
    account_free(account);
    if (result != 1 || newer)
        return result < 0 ? result : 0;
    return account_forget(door, name, 1, reason);
}

struct walk {
    const struct door *door;
    struct account *account;
    int (*visit)(void *context, const struct account *account);
    void *context;
    struct reason *unread;
};

static int visit_one(void *context, const char *name) {
    struct walk *walk = context;
    int result = account_load(walk->door, name, walk->account, walk->unread);
    return result == 1 ? walk->visit(walk->context, walk->account) : 0;
}

int account_each(const struct door *door, int (*visit)(void *context, const struct account *account),
                 void *context, struct reason *reason) {
    struct reason unread = {""};
    struct walk walk = {door, account_alloc(), visit, context, &unread};
    if (walk.account == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for accounts");
    explain(reason, "%s", "");
    int result = door_each(door, "accounts", visit_one, &walk, reason);
    if (unread.text[0] != '\0')
        explain(reason, "%s", unread.text);
    account_free(walk.account);
    return result;
}
