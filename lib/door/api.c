/* A lost answer is ambiguous: Ring may have acted on the request. So a code is marked as sent, durably,
 * before it is sent, and never sent again; while a refresh token may be sent again, because the pair that we
 * have is replaced only by a new one.
 *
 * codes/HASH is empty until its code is sent; then "sent"; then the name of the account that it led to, or
 * "refused". Its lock is held as long as Ring is asked. */
#define _GNU_SOURCE /* pipe2, closefrom */
#include "api.h"

#include "directory.h"
#include "regular.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_LIMIT (256 << 10) /* bytes of an OAuth answer, and of others unless the caller says */
#define CODE_MAX 2048
#define CODES_PER_MINUTE 60
#define CODE_LIFE 86400 /* seconds that codes/HASH is kept; a code itself is good for a minute */
#define EXCHANGES 4     /* at once */
#define FORM_SIZE (3 * (TOKEN_SIZE + 2 * DOOR_SECRET) + 256)
#define EXPIRES_DEFAULT 14400 /* seconds */
#define LOCK_SECONDS (2 * API_SECONDS)
#define REPORT_SECONDS 2   /* after which a pair that cannot be saved is reported */
#define SAVE_SECONDS 86400 /* for which it is tried */
#define PATH_SIZE 64
#define CODE_PREFIX "code-"
#define BEARER "Authorization: Bearer "

/* ---- what Ring sends ---- */

static bool is_visible(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return length > 0;
}

/* Copies a text member if it is of visible ASCII and fits: it may go into a header. */
static bool take(struct json_object *object, const char *name, char *out, size_t size) {
    struct json_object *member;
    if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_string))
        return false;
    const char *text = json_object_get_string(member);
    size_t length = (size_t)json_object_get_string_len(member);
    if (length >= size || !is_visible(text, length))
        return false;
    memcpy(out, text, length + 1);
    sodium_memzero((char *)(uintptr_t)text, length);
    return true;
}

/* Reads a token response (RFC 6749, section 5.1). Without a new refresh token, the old one stays (section 6).
 */
static bool take_tokens(struct json_object *object, struct account *account) {
    struct json_object *member;
    int64_t now = timestamp_now(), life = EXPIRES_DEFAULT;
    if (!take(object, "access_token", account->access, sizeof account->access))
        return false;
    if (json_object_object_get_ex(object, "refresh_token", &member)) {
        if (!take(object, "refresh_token", account->refresh, sizeof account->refresh))
            return false;
    } else if (account->refresh[0] == '\0')
        return false;
    if (json_object_object_get_ex(object, "expires_in", &member) && json_object_get_int64(member) > 0)
        life = json_object_get_int64(member);
    account->expires_at = now + (life < 365 * 86400 ? life : 365 * 86400) * SECOND;
    account->refreshed_at = now;
    account->error[0] = '\0';
    return true;
}

/* ---- the OAuth server ---- */

static void encode(char *form, const char *name, const char *value) {
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    char *out = form + strlen(form);
    out += sprintf(out, "%s%s=", out == form ? "" : "&", name);
    for (; *value != '\0'; value++)
        if (strchr(unreserved, *value) != NULL)
            *out++ = *value;
        else
            out += sprintf(out, "%%%02X", (unsigned)(unsigned char)*value);
    *out = '\0';
}

static bool is_error(struct json_object *object, const char *error) {
    struct json_object *member;
    return json_object_object_get_ex(object, "error", &member) &&
           json_object_is_type(member, json_type_string) &&
           strcmp(json_object_get_string(member), error) == 0;
}

/* Judges a token response. Returns as ask_oauth(). */
static int judge(const struct door *door, const struct http_response *response, struct json_object *object,
                 struct account *account, struct reason *reason) {
    if (response->status == 200 && take_tokens(object, account))
        return 0;
    if (response->status == 200)
        return FAIL(reason, ERROR_SYSTEM, "Ring's answer has no usable tokens");
    if (response->status < 500 && is_error(object, "invalid_grant"))
        return FAIL(reason, ERROR_INVALID, "Ring says invalid_grant: it is used up, too old or withdrawn");
    if (response->status == 401 || is_error(object, "invalid_client"))
        return FAIL(reason, ERROR_SYSTEM,
                    "Ring refuses the client id and secret (%d): check %.200s against the app's page at Ring",
                    response->status, door->config->client_file);
    return FAIL(reason, ERROR_SYSTEM, "Ring's token server answers %d%s", response->status,
                response->status == 429 ? ": too many requests" : "");
}

/* Asks for tokens (RFC 6749, sections 4.1.3 and 6). Fills in the account's tokens and returns 0;
 * ERROR_INVALID if the grant is refused; ERROR_TIMEOUT or ERROR_SYSTEM, when the grant may have been used. */
static int ask_oauth(struct door *door, const char *type, const char *name, const char *grant,
                     struct account *account, struct reason *reason) {
    struct http_response response;
    char *form = sodium_malloc(FORM_SIZE);
    if (form == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for a request");
    form[0] = '\0';
    encode(form, "grant_type", type);
    encode(form, name, grant);
    encode(form, "client_id", door->client_id);
    encode(form, "client_secret", door->client_secret);
    const struct http_request request = {
        .method = "POST",
        .url = door->config->oauth,
        .headers = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"},
        .body = form,
        .length = strlen(form),
        .ca = door->config->ca,
        .seconds = API_SECONDS,
        .limit = ANSWER_LIMIT,
    };
    int result = http_send(&request, &response, reason);
    sodium_free(form);
    if (result == 0) {
        struct json_object *object = json_tokener_parse(response.body);
        result = judge(door, &response, object, account, reason);
        json_object_put(object);
    }
    http_free(&response);
    return result;
}

/* ---- renewing tokens ---- */

static bool is_due(const struct account *account, int64_t age) {
    int64_t now = timestamp_now();
    return age < 0 || now >= account->expires_at - API_EARLY * SECOND ||
           now >= account->refreshed_at + age * SECOND;
}

/* What a process of its own reports. */
struct report {
    int result;
    struct reason reason;
};

static int compare_fds(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* Leaves the session of the web server or terminal, and closes what is not needed: otherwise locks of other
 * threads would last as long as this process. */
static void detach(int fds[3]) {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGHUP);
    sigprocmask(SIG_BLOCK, &held, NULL);
    setsid();
    int next = 0;
    qsort(fds, 3, sizeof *fds, compare_fds);
    for (int i = 0; i < 3; next = fds[i++] + 1)
        while (next < fds[i])
            close(next++);
    closefrom(next);
}

static bool send_report(int fd, const struct report *report) {
    return write(fd, report, sizeof *report) == (ssize_t)sizeof *report;
}

/* Saves a new pair, and reports. The old one is used up, so if the disk is full this goes on, with the lock,
 * until there is room. */
static void save_pair(const struct door *door, const struct account *account, int out) {
    struct report report;
    struct reason why;
    report.result = account_save(door, account, &why);
    for (int i = 1; report.result != 0 && i < SAVE_SECONDS; i++) {
        if (i == REPORT_SECONDS) {
            explain(
                &report.reason,
                "%.200s; the new tokens are kept in memory, and saved as soon as that is possible: do not "
                "restart the server before",
                why.text);
            send_report(out, &report);
            close(out);
            out = -1;
        }
        sleep(1);
        report.result = account_save(door, account, &why);
    }
    if (out >= 0)
        send_report(out, &report);
}

/* Never returns. */
static void ask_and_save(struct door *door, int lock, int out, const char *type, const char *name,
                         const char *grant, struct account *account) {
    struct report report = {.result = 0};
    detach((int[]){door->fd, lock, out});
    if (fork() > 0) /* nobody has to wait for what is not this process's child */
        _exit(0);
    report.result = ask_oauth(door, type, name, grant, account, &report.reason);
    if (report.result == 0)
        save_pair(door, account, out);
    else
        send_report(out, &report);
    _exit(0);
}

/* Asks for tokens and saves them in a process of its own. It goes on if this one is killed, as a web server
 * may do when its client has left: otherwise Ring's answer would be lost, and with it the account. `lock` is
 * held as long as that process lives. Returns as ask_oauth(). */
static int ask_apart(struct door *door, int lock, const char *type, const char *name, const char *grant,
                     struct account *account, struct reason *reason) {
    int ends[2];
    struct report report = {.result = ERROR_SYSTEM, .reason = {"the process that asks Ring has ended"}};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot ask Ring: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        ask_and_save(door, lock, ends[1], type, name, grant, account);
    int error = errno;
    close(ends[1]);
    while (child > 0 && read(ends[0], &report, sizeof report) < 0 && errno == EINTR)
        continue;
    close(ends[0]);
    if (child < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot ask Ring: %s", strerror(error));
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (report.result == 0 && account_load(door, account->name, account, reason) != 1)
        return ERROR_SYSTEM;
    return report.result == 0 ? 0 : FAIL(reason, report.result, "%s", report.reason.text);
}

static int renew(struct door *door, int lock, struct account *account, struct reason *reason) {
    struct reason why = {""};
    /* Learn that the disk is full, or read-only, as long as the old pair is good. */
    int result = account_save(door, account, reason);
    if (result == 0)
        result = ask_apart(door, lock, "refresh_token", "refresh_token", account->refresh, account, &why);
    else
        return result;
    if (result == ERROR_INVALID) {
        snprintf(account->error, sizeof account->error,
                 "Ring refuses its refresh token: remove the app in the Ring app, and connect it again");
        if (account_save(door, account, reason) != 0)
            return ERROR_SYSTEM;
    }
    return result == 0 ? 0
                       : FAIL(reason, result, "the tokens of account %.60s cannot be renewed: %.250s",
                              account->id[0] != '\0' ? account->id : "(unknown)", why.text);
}

/* Under the account's lock. `stored` is what the file says. */
static int refresh_locked(struct door *door, int lock, struct account *account, struct account *stored,
                          int64_t age, struct reason *reason) {
    int result = account_load(door, account->name, stored, reason);
    if (result == 0)
        return FAIL(reason, ERROR_INVALID, "the account was removed");
    if (result < 0)
        return ERROR_SYSTEM;
    bool other =
        strcmp(stored->refresh, account->refresh) != 0 || strcmp(stored->access, account->access) != 0;
    *account = *stored;
    if (account->error[0] != '\0' && age >= 0)
        return FAIL(reason, ERROR_INVALID, "%s", account->error);
    if (other && !is_due(account, age >= 0 ? age : API_REFRESH_LIFE * INT64_C(86400)))
        return 0;
    result = renew(door, lock, stored, reason);
    *account = *stored;
    return result;
}

int api_refresh(struct door *door, struct account *account, int64_t age, struct reason *reason) {
    if (account->error[0] == '\0' && !is_due(account, age))
        return 0;
    int result = door_client(door, reason);
    if (result != 0)
        return result;
    int lock = account_lock(door, account->name, LOCK_SECONDS, reason);
    if (lock < 0)
        return lock;
    struct account *stored = account_alloc();
    if (stored == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "not enough memory for an account");
    else
        result = refresh_locked(door, lock, account, stored, age, reason);
    account_free(stored);
    close(lock);
    return result;
}

/* ---- requests with the bearer token ---- */

bool api_has_dots(const char *path) {
    for (; *path != '\0' && *path != '?' && *path != '#'; path++)
        if (*path == '\\' || (*path == '/' && (path[1] == '.' || strncasecmp(path + 1, "%2e", 3) == 0)))
            return true;
    return false;
}

/* Writes the URL. The token goes to DOORPOST_API's /v1/ alone. */
static bool make_url(const struct door *door, const char *path, char url[HTTP_LOCATION_SIZE]) {
    const char *api = door->config->api;
    size_t length = strlen(api);
    if (strncmp(path, api, length) == 0)
        path += length;
    return strncmp(path, "/v1/", 4) == 0 && is_visible(path, strlen(path)) && !api_has_dots(path) &&
           snprintf(url, HTTP_LOCATION_SIZE, "%s%s", api, path) < HTTP_LOCATION_SIZE;
}

static int send_once(const struct door *door, const struct account *account, const char *url,
                     const struct http_request *request, struct http_response *response,
                     struct reason *reason) {
    size_t size = sizeof BEARER + TOKEN_SIZE;
    char *bearer = sodium_malloc(size);
    if (bearer == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for a request");
    snprintf(bearer, size, BEARER "%s", account->access);
    struct http_request filled = *request;
    filled.url = url;
    filled.headers[0] = bearer;
    filled.ca = door->config->ca;
    filled.plain = false;
    filled.seconds = filled.seconds > 0 ? filled.seconds : API_SECONDS;
    filled.limit = filled.limit > 0 ? filled.limit : ANSWER_LIMIT;
    int result = http_send(&filled, response, reason);
    sodium_free(bearer);
    return result;
}

/* Renews what is due. If Ring's token server does not answer, a token that is still good is used. */
static int prepare(struct door *door, struct account *account, struct reason *reason) {
    int result = api_refresh(door, account, API_DAILY, reason);
    bool good = account->access[0] != '\0' && timestamp_now() < account->expires_at;
    return result != 0 && result != ERROR_INVALID && good ? 0 : result;
}

int api_send(struct door *door, struct account *account, const char *path, struct http_request *request,
             struct http_response *response, struct reason *reason) {
    char url[HTTP_LOCATION_SIZE];
    *response = (struct http_response){.retry_after = -1};
    if (!make_url(door, path, url))
        return FAIL(reason, ERROR_SYSTEM, "a request is not sent: its URL is not one of DOORPOST_API");
    int result = prepare(door, account, reason);
    if (result == 0)
        result = send_once(door, account, url, request, response, reason);
    if (result == 0 && response->status == 401) {
        http_free(response);
        result = api_refresh(door, account, -1, reason);
        if (result == 0)
            result = send_once(door, account, url, request, response, reason);
        if (result == 0 && response->status == 401)
            result = FAIL(reason, ERROR_INVALID,
                          "Ring refuses the tokens of account %.100s (401): connect it again", account->id);
    }
    sodium_memzero(url, sizeof url);
    return result;
}

/* ---- whose tokens they are ---- */

static bool take_id(const struct http_response *response, char id[EVENT_FIELD_SIZE]) {
    struct json_object *object = json_tokener_parse(response->body), *data;
    bool good = json_object_object_get_ex(object, "data", &data) && take(data, "id", id, EVENT_FIELD_SIZE);
    json_object_put(object);
    return good;
}

static int ask_me(struct door *door, struct account *account, char id[EVENT_FIELD_SIZE],
                  struct reason *reason) {
    struct http_request request = {.method = "GET", .headers = {"", "Accept: application/json"}};
    struct http_response response;
    int result = api_send(door, account, "/v1/users/me", &request, &response, reason);
    if (result == 0 && response.status != 200)
        result =
            FAIL(reason, ERROR_SYSTEM, "Ring answers %d when asked whose tokens these are", response.status);
    else if (result == 0 && !take_id(&response, id))
        result = FAIL(reason, ERROR_SYSTEM, "Ring's answer about an account has no usable id");
    http_free(&response);
    return result;
}

/* Writes what became of a code, durably, in place: the lock is on this file. */
static int mark_code(const struct door *door, int fd, const char *word, struct reason *reason) {
    char text[DOOR_HASH_SIZE + 1];
    int length = snprintf(text, sizeof text, "%s\n", word);
    /* Never empty meanwhile: that would be a code that was not sent. */
    bool good = pwrite(fd, text, (size_t)length, 0) == length && ftruncate(fd, length) == 0 &&
                fsync(fd) == 0 && directory_sync(door->fd, "codes") == 0;
    return good ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot write to codes/: %s", strerror(errno));
}

/* Notes under the code to which account it led. A code that is a day old has no file any more. */
static int note_code(const struct door *door, const char *code_name, const char *name,
                     struct reason *reason) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "codes/%s", code_name + sizeof CODE_PREFIX - 1);
    int fd = regular_open(door->fd, path, O_WRONLY, reason);
    if (fd < 0)
        return fd == ERROR_INVALID ? 0 : ERROR_SYSTEM;
    int result = mark_code(door, fd, name, reason);
    close(fd);
    return result;
}

/* Moves the tokens from code-HASH to the account's own name. Whatever was there under that name has older
 * tokens: who has connected an account again has to say again whose it is. */
static int file_account(const struct door *door, struct account *account, const char *id,
                        struct reason *reason) {
    char old[sizeof account->name], name[DOOR_HASH_SIZE];
    door_hash(door, DOOR_ACCOUNT, id, strlen(id), name);
    int lock = account_lock(door, name, LOCK_SECONDS, reason);
    if (lock < 0)
        return lock;
    snprintf(old, sizeof old, "%s", account->name);
    snprintf(account->name, sizeof account->name, "%s", name);
    snprintf(account->id, sizeof account->id, "%s", id);
    account->user[0] = account->nonce[0] = '\0';
    account->state = ACCOUNT_UNCLAIMED;
    int result = account_save(door, account, reason);
    if (result == 0)
        result = note_code(door, old, name, reason);
    if (result == 0)
        result = account_remove(door, old, reason);
    close(lock);
    return result;
}

int api_identify(struct door *door, struct account *account, struct reason *reason) {
    char id[EVENT_FIELD_SIZE], path[PATH_SIZE];
    if (account->id[0] != '\0')
        return 0;
    /* The code's own lock: that of accounts/ is needed to renew tokens meanwhile. */
    snprintf(path, sizeof path, "accounts/%s.id.lock", account->name);
    int lock = door_lock(door, path, LOCK_SECONDS, reason);
    if (lock < 0)
        return lock;
    struct account *now = account_alloc();
    int result = now != NULL ? account_load(door, account->name, now, reason)
                             : FAIL(reason, ERROR_SYSTEM, "not enough memory for an account");
    if (result == 1) {
        *account = *now;
        result = ask_me(door, account, id, reason);
        if (result == 0)
            result = file_account(door, account, id, reason);
    }
    if (result == 0) /* and code-HASH is gone: who still waits for this lock finds nothing to do */
        unlinkat(door->fd, path, 0);
    account_free(now);
    close(lock);
    return result;
}

/* ---- authorization codes ---- */

struct sweep {
    int fd; /* of codes/ */
    int64_t before;
};

static int sweep_one(void *context, const char *name) {
    const struct sweep *sweep = context;
    struct stat status;
    if (fstatat(sweep->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mtime < sweep->before)
        unlinkat(sweep->fd, name, 0);
    return 0;
}

static void sweep_codes(const struct door *door, int64_t now) {
    struct sweep sweep = {openat(door->fd, "codes", O_RDONLY | O_DIRECTORY | O_CLOEXEC), now - CODE_LIFE};
    if (sweep.fd < 0)
        return;
    door_each(door, "codes", sweep_one, &sweep, NULL);
    close(sweep.fd);
}

/* Counts a new code. codes/rate.lock has the minute, the number of new codes in it, and when old codes were
 * last removed. A crash may lose the count. */
static int admit_code(const struct door *door, struct reason *reason) {
    char text[64] = "";
    long long minute = 0, count = 0, swept = 0, now = (long long)(timestamp_now() / SECOND);
    int lock = door_lock(door, "codes/rate.lock", 5, reason);
    if (lock < 0)
        return lock;
    if (pread(lock, text, sizeof text - 1, 0) > 0 &&
        sscanf(text, "%lld %lld %lld", &minute, &count, &swept) != 3)
        minute = count = swept = 0;
    if (minute != now / 60) {
        minute = now / 60;
        count = 0;
    }
    int result = count < CODES_PER_MINUTE
                     ? 0
                     : FAIL(reason, ERROR_TIMEOUT, "more than %d codes in this minute", CODES_PER_MINUTE);
    if (result == 0 && (now - swept > CODE_LIFE / 24 || now < swept)) {
        sweep_codes(door, now);
        swept = now;
    }
    int length = snprintf(text, sizeof text, "%lld %lld %lld\n", minute, count + 1, swept);
    if (result == 0 && (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)length, 0) != length))
        result = FAIL(reason, ERROR_SYSTEM, "cannot write codes/rate.lock: %s", strerror(errno));
    close(lock);
    return result;
}

/* Returns the lock of one of the EXCHANGES, or ERROR_TIMEOUT if all are taken. */
static int take_turn(const struct door *door, struct reason *reason) {
    int lock = ERROR_TIMEOUT;
    for (int i = 0; i < EXCHANGES && lock == ERROR_TIMEOUT; i++) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "codes/turn-%d.lock", i);
        lock = door_lock(door, path, 0, NULL);
    }
    if (lock < 0)
        explain(reason,
                lock == ERROR_TIMEOUT ? "%d codes are being exchanged already"
                                      : "cannot lock one of %d files codes/turn-N.lock",
                EXCHANGES);
    return lock;
}

static int exchange_new(struct door *door, int fd, const char *code, struct account *account,
                        struct reason *reason) {
    struct reason why = {""};
    account->state = ACCOUNT_UNCLAIMED;
    /* Learn that the disk is full as long as the code is good. */
    int result = account_save(door, account, reason);
    if (result == 0)
        result = account_remove(door, account->name, reason);
    if (result == 0)
        result = mark_code(door, fd, "sent", reason);
    if (result != 0)
        return result;
    result = ask_apart(door, fd, "authorization_code", "code", code, account, &why);
    if (result == ERROR_INVALID)
        mark_code(door, fd, "refused", NULL);
    return result == 0 ? 0 : FAIL(reason, result, "a code cannot be exchanged: %.300s", why.text);
}

/* What became of a code that was sent before, and has left no tokens that are nobody's yet. */
static int recall(const struct door *door, const char *word, struct account *account, struct reason *reason) {
    if (strcmp(word, "refused") == 0)
        return FAIL(reason, ERROR_INVALID, "Ring has refused this code before");
    if (strcmp(word, "sent") == 0)
        return FAIL(
            reason, ERROR_INVALID,
            "this code was sent to Ring before, and the answer was lost: start again in the Ring app");
    int result = account_load(door, word, account, reason);
    if (result == 0)
        return FAIL(reason, ERROR_INVALID, "this code was used before, and its account was removed");
    return result == 1 ? 0 : ERROR_SYSTEM;
}

/* Under the lock of codes/HASH, which is `fd`. */
static int exchange_locked(struct door *door, int fd, const char *code, struct account *account,
                           struct reason *reason) {
    char word[DOOR_HASH_SIZE + 1] = "";
    if (pread(fd, word, sizeof word - 1, 0) < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read a file in codes/: %s", strerror(errno));
    word[strcspn(word, "\n")] = '\0';
    int result = 0;
    if (word[0] == '\0')
        result = exchange_new(door, fd, code, account, reason);
    else {
        int found = account_load(door, account->name, account, reason);
        if (found != 1)
            return found == 0 ? recall(door, word, account, reason) : ERROR_SYSTEM;
    }
    if (result == 0)
        result = api_identify(door, account, reason);
    return result;
}

static int exchange(struct door *door, const char *code, const char *hash, struct account *account,
                    struct reason *reason) {
    char path[PATH_SIZE];
    struct stat status;
    snprintf(path, sizeof path, "codes/%s", hash);
    snprintf(account->name, sizeof account->name, CODE_PREFIX "%s", hash);
    int result = 0;
    if (fstatat(door->fd, path, &status, AT_SYMLINK_NOFOLLOW) != 0)
        result = admit_code(door, reason);
    int fd = result == 0 ? door_lock(door, path, LOCK_SECONDS, reason) : result;
    if (fd < 0)
        return fd;
    result = exchange_locked(door, fd, code, account, reason);
    close(fd);
    return result;
}

int api_exchange(struct door *door, const char *code, struct reason *reason) {
    char hash[DOOR_HASH_SIZE];
    size_t length = strnlen(code, CODE_MAX + 1);
    if (length > CODE_MAX || !is_visible(code, length))
        return FAIL(reason, ERROR_INVALID, "a code has 1 to %d visible ASCII characters", CODE_MAX);
    int result = door_client(door, reason);
    int turn = result == 0 ? take_turn(door, reason) : result;
    if (turn < 0)
        return turn;
    struct account *account = account_alloc();
    door_hash(door, DOOR_CODE, code, length, hash);
    result = account != NULL ? exchange(door, code, hash, account, reason)
                             : FAIL(reason, ERROR_SYSTEM, "not enough memory for an account");
    account_free(account);
    close(turn);
    return result;
}
