/* users/NAME has two lines: crypto_pwhash_str() of the password, and when that was set (RFC 3339).
 *
 * A session is its cookie: TIME.HASH.USER, where TIME is in seconds since 1970, and HASH is door_hash() of
 * TIME, USER and the stored password hash. So nothing is kept for a session, and a new password ends all. */
#include "login.h"

#include "replace.h"
#include "timestamp.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MIN 8
#define COST_PASSES 3
#define COST_MEMORY (16 << 20) /* bytes: shared hosts limit a process's memory */
#define WAITING_MAX 16         /* threads of a process that wait for their attempt */
#define WAITING_FROM 2         /* of them, for attempts from one network */
#define NETWORKS 256
#define WAIT_SECONDS 5
#define LOCK "login.lock"

struct user_file {
    char hash[crypto_pwhash_STRBYTES];
    int64_t changed_at;
};

bool login_is_name(const char *user) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@+";
    size_t length = strlen(user);
    return length > 0 && length < USER_SIZE && user[0] != '.' && user[0] != '-' &&
           strspn(user, allowed) == length && (length < 5 || strcmp(user + length - 5, ".lock") != 0) &&
           (length < 4 || strcmp(user + length - 4, ".new") != 0);
}

/* ---- users ---- */

static void path_of(const char *user, char out[USER_SIZE + 8]) {
    snprintf(out, USER_SIZE + 8, "users/%s", user);
}

/* Returns 1, 0 if there is no such user, or an error with a reason. */
static int read_user(struct door *door, const char *user, struct user_file *file, struct reason *reason) {
    char path[USER_SIZE + 8], *text;
    size_t length;
    if (!login_is_name(user))
        return 0;
    path_of(user, path);
    int result = replace_read(door->fd, path, &text, &length, reason);
    if (result != 1)
        return result;
    char *end = memchr(text, '\n', length), *last = end != NULL ? strchr(end + 1, '\n') : NULL;
    if (last == NULL || (size_t)(end - text) >= sizeof file->hash ||
        timestamp_parse(end + 1, (size_t)(last - end) - 1, &file->changed_at) != 0)
        result = FAIL(reason, ERROR_DAMAGED,
                      "users/%s is damaged: remove the user and add it again (doorpost door user)", user);
    else
        snprintf(file->hash, sizeof file->hash, "%.*s", (int)(end - text), text);
    sodium_memzero(text, length);
    free(text);
    return result;
}

int login_changed_at(struct door *door, const char *user, int64_t *at, struct reason *reason) {
    struct user_file file;
    int result = read_user(door, user, &file, reason);
    if (result == 1)
        *at = file.changed_at;
    return result;
}

int login_add(struct door *door, const char *user, const char *password, struct reason *reason) {
    char path[USER_SIZE + 8], now[TIMESTAMP_SIZE], hash[crypto_pwhash_STRBYTES], text[256];
    if (!login_is_name(user))
        return FAIL(reason, ERROR_INVALID,
                    "\"%.64s\" cannot be a user's name: it may have up to 64 letters, digits and . _ - @ +",
                    user);
    if (strlen(password) < PASSWORD_MIN)
        return FAIL(reason, ERROR_INVALID, "the password is shorter than %d characters", PASSWORD_MIN);
    if (crypto_pwhash_str(hash, password, strlen(password), COST_PASSES, COST_MEMORY) != 0)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory to hash the password: %d MiB are needed",
                    COST_MEMORY >> 20);
    timestamp_format(timestamp_now(), now);
    path_of(user, path);
    int length = snprintf(text, sizeof text, "%s\n%s\n", hash, now);
    return door_write_plain(door, path, text, (size_t)length, reason);
}

int login_remove(struct door *door, const char *user, struct reason *reason) {
    char path[USER_SIZE + 8];
    struct user_file file;
    int found = read_user(door, user, &file, reason);
    if (found == 0)
        return FAIL(reason, ERROR_INVALID, "there is no user \"%.64s\"", user);
    if (found < 0 && found != ERROR_DAMAGED)
        return found;
    path_of(user, path);
    return door_remove(door, path, reason);
}

/* ---- passwords ---- */

/* For a name that does not exist, another hash is made, which takes as long. */
static int compare(struct door *door, const char *user, const char *password, struct reason *reason) {
    struct user_file file;
    int found = read_user(door, user, &file, reason);
    if (found < 0)
        return ERROR_SYSTEM;
    int result = found == 1
                     ? crypto_pwhash_str_verify(file.hash, password, strlen(password))
                     : crypto_pwhash_str(file.hash, password, strlen(password), COST_PASSES, COST_MEMORY);
    sodium_memzero(&file, sizeof file);
    if (found == 1 && result == 0)
        return 0;
    return FAIL(reason, ERROR_INVALID, "the name or the password is wrong");
}

/* The network that an attempt comes from, as one of NETWORKS: the address, or the first half of an IPv6
 * address, as one customer gets all of the rest. Two may share a number, but nobody can choose which. */
static unsigned network_of(const struct door *door, const char *address) {
    struct in6_addr bytes = {0};
    char hash[DOOR_HASH_SIZE];
    size_t length = 0;
    if (inet_pton(AF_INET, address, &bytes) == 1)
        length = sizeof(struct in_addr);
    else if (inet_pton(AF_INET6, address, &bytes) == 1)
        length = IN6_IS_ADDR_V4MAPPED(&bytes) ? sizeof bytes : sizeof bytes / 2;
    door_hash(door, DOOR_NETWORK, &bytes, length, hash);
    return (unsigned)strtoul(hash + DOOR_HASH_SIZE - 3, NULL, 16);
}

/* Hashing takes memory, so one at a time does it. */
static int compare_in_turn(struct door *door, const char *user, const char *password, struct reason *reason) {
    int lock = door_lock(door, LOCK, WAIT_SECONDS, reason);
    if (lock < 0)
        return lock;
    int result = compare(door, user, password, reason);
    close(lock);
    return result;
}

static int check_from(struct door *door, unsigned network, const char *user, const char *password,
                      struct reason *reason) {
    char path[32];
    snprintf(path, sizeof path, "users/network-%02x.lock", network);
    int lock = door_lock(door, path, WAIT_SECONDS, reason);
    if (lock < 0)
        return lock;
    int result = compare_in_turn(door, user, password, reason);
    if (result == ERROR_INVALID)
        sleep(1);
    close(lock);
    return result;
}

int login_check(struct door *door, const char *address, const char *user, const char *password,
                struct reason *reason) {
    static atomic_int waiting, from[NETWORKS];
    unsigned network = network_of(door, address);
    bool all_full = ++waiting > WAITING_MAX, full = ++from[network] > WAITING_FROM;
    int result = all_full || full ? FAIL(reason, ERROR_TIMEOUT, "too many people are signing in%s",
                                         full ? " from this address" : "")
                                  : check_from(door, network, user, password, reason);
    from[network]--;
    waiting--;
    return result;
}

/* ---- sessions ---- */

static void hash_session(const struct door *door, int64_t time, const char *user, const char *password_hash,
                         char out[DOOR_HASH_SIZE]) {
    char text[USER_SIZE + crypto_pwhash_STRBYTES + 32];
    int length = snprintf(text, sizeof text, "%" PRId64 "\n%s\n%s", time, user, password_hash);
    door_hash(door, DOOR_COOKIE, text, (size_t)length, out);
}

int login_cookie(struct door *door, const char *user, char out[LOGIN_COOKIE_SIZE], struct reason *reason) {
    struct user_file file;
    char hash[DOOR_HASH_SIZE];
    int64_t now = timestamp_now() / SECOND;
    int found = read_user(door, user, &file, reason);
    if (found != 1)
        return found == 0 ? FAIL(reason, ERROR_SYSTEM, "the user was removed") : ERROR_SYSTEM;
    hash_session(door, now, user, file.hash, hash);
    snprintf(out, LOGIN_COOKIE_SIZE, "%" PRId64 ".%s.%s", now, hash, user);
    return 0;
}

/* Returns false if the cookie has another form than login_cookie() gives it. */
static bool parse_cookie(const char *cookie, int64_t *time, char hash[DOOR_HASH_SIZE], char user[USER_SIZE]) {
    size_t digits = strspn(cookie, "0123456789");
    const char *rest = cookie + digits;
    if (digits == 0 || digits > 15 || rest[0] != '.' || strlen(rest) <= DOOR_HASH_SIZE ||
        rest[DOOR_HASH_SIZE] != '.' || !login_is_name(rest + DOOR_HASH_SIZE + 1))
        return false;
    *time = strtoll(cookie, NULL, 10);
    memcpy(hash, rest + 1, DOOR_HASH_SIZE - 1);
    hash[DOOR_HASH_SIZE - 1] = '\0';
    snprintf(user, USER_SIZE, "%s", rest + DOOR_HASH_SIZE + 1);
    return true;
}

int login_session(struct door *door, const char *cookie, char user[USER_SIZE], struct reason *reason) {
    struct user_file file;
    char given[DOOR_HASH_SIZE], expected[DOOR_HASH_SIZE];
    int64_t time;
    if (!parse_cookie(cookie, &time, given, user))
        return 0;
    int64_t age = timestamp_now() / SECOND - time;
    if (age > INT64_C(86400) * LOGIN_DAYS || age < -86400) /* the clock was wrong: it would last too long */
        return 0;
    int found = read_user(door, user, &file, reason);
    if (found != 1)
        return found == 0 ? 0 : ERROR_SYSTEM;
    hash_session(door, time, user, file.hash, expected);
    return sodium_memcmp(given, expected, DOOR_HASH_SIZE) == 0;
}
