/* doorpost account: the Ring accounts that are connected to the door page, and their tokens. */
#include "api.h"
#include "lines.h"
#include "linking.h"
#include "permission.h"
#include "privilege.h"
#include "quote.h"
#include "ring.h"
#include "settings.h"
#include "terminal.h"
#include "verbs.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_LENGTH (86400 * SECOND)
#define LOCK_SECONDS 60

struct options {
    struct settings settings;
    bool json, force;
};

/* Ring's id, or the name of the file as long as that is not known. */
static const char *id_of(const struct account *account) {
    return account->id[0] != '\0' ? account->id : account->name;
}

static double days_left(const struct account *account) {
    int64_t end = account->refreshed_at + API_REFRESH_LIFE * DAY_LENGTH;
    double days = (double)(end - timestamp_now()) / (double)DAY_LENGTH;
    return days > 0 ? days : 0;
}

/* ---- list ---- */

static int add_json(void *list, const struct account *account) {
    struct json_object *one = json_object_new_object();
    char at[TIMESTAMP_SIZE];
    json_object_object_add(one, "account", json_object_new_string(id_of(account)));
    json_object_object_add(one, "user", json_object_new_string(account->user));
    json_object_object_add(one, "state", json_object_new_string(account_state_name(account->state)));
    timestamp_format(account->refreshed_at, at);
    json_object_object_add(one, "refreshed_at", json_object_new_string(at));
    timestamp_format(account->expires_at, at);
    json_object_object_add(one, "expires_at", json_object_new_string(at));
    json_object_object_add(one, "days_left", json_object_new_double(days_left(account)));
    json_object_object_add(one, "error", json_object_new_string(account->error));
    json_object_array_add(list, one);
    return 0;
}

static int show(void *context, const struct account *account) {
    char id[QUOTE_SIZE(EVENT_FIELD_SIZE)], user[QUOTE_SIZE(USER_SIZE)];
    double age = (double)(timestamp_now() - account->refreshed_at) / (double)(3600 * SECOND),
           left = days_left(account);
    bool bad = account->error[0] != '\0' || left <= 0;
    *(unsigned *)context += 1;
    printf("%s%s%s  %s  %s  tokens %.0f h old, %s%.0f days left%s%s%s\n", colour(COLOUR_NAME),
           plain(id_of(account), id, sizeof id), colour(COLOUR_NONE),
           account->user[0] != '\0' ? plain(account->user, user, sizeof user) : "-",
           account_state_name(account->state), age,
           colour(bad        ? COLOUR_BAD
                  : left < 7 ? COLOUR_WARNING
                             : COLOUR_GOOD),
           left, colour(COLOUR_NONE), account->error[0] != '\0' ? "; " : "", account->error);
    return 0;
}

static int list(struct door *door, const struct options *options) {
    struct reason reason;
    struct json_object *array = json_object_new_array();
    unsigned count = 0;
    int result = options->json ? account_each(door, add_json, array, &reason)
                               : account_each(door, show, &count, &reason);
    int status = result == 0 && reason.text[0] == '\0' ? STATUS_DONE : problem("%s", reason.text);
    if (options->json && print_json(array) != STATUS_DONE)
        status = STATUS_PROBLEM;
    if (!options->json && count == 0 && status == STATUS_DONE)
        explain_empty("no Ring account is connected: add the app in the Ring app");
    json_object_put(array);
    return status;
}

/* ---- refresh and forget ---- */

/* The accounts are collected first: renewing them replaces their files. */
struct names {
    size_t count, room;
    char (*name)[sizeof((struct account *)NULL)->name];
};

static int collect(void *context, const struct account *account) {
    struct names *names = context;
    if (names->count == names->room) {
        size_t room = 2 * names->room + 8;
        void *more = realloc(names->name, room * sizeof *names->name);
        if (more == NULL)
            return problem("not enough memory for the accounts");
        names->name = more;
        names->room = room;
    }
    memcpy(names->name[names->count++], account->name, sizeof *names->name);
    return 0;
}

static int refresh_one(struct door *door, const char *name, bool force) {
    struct reason reason = {""};
    char id[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    struct account *account = account_alloc();
    int result = account != NULL ? account_load(door, name, account, &reason)
                                 : FAIL(&reason, ERROR_SYSTEM, "out of memory");
    if (result == 1) {
        int64_t before = account->refreshed_at;
        result = api_refresh(door, account, force ? -1 : API_DAILY, &reason);
        if (result == 0 && account->id[0] == '\0')
            result = api_identify(door, account, &reason);
        if (result == 0 && account->state == ACCOUNT_AWAITING)
            result = linking_resume(door, account, &reason);
        if (result == 0 && account->refreshed_at != before)
            printf("%s  renewed\n", plain(id_of(account), id, sizeof id));
    }
    if (result < 0)
        problem("%s", reason.text);
    account_free(account);
    return result < 0 ? STATUS_PROBLEM : STATUS_DONE;
}

static int refresh_all(struct door *door, bool force) {
    struct names names = {0};
    struct reason reason;
    int status = STATUS_DONE;
    int result = account_each(door, collect, &names, &reason);
    if (result != 0 || reason.text[0] != '\0')
        status = result > 0 ? STATUS_PROBLEM : problem("%s", reason.text);
    for (size_t i = 0; i < names.count; i++)
        if (refresh_one(door, names.name[i], force) != STATUS_DONE)
            status = STATUS_PROBLEM;
    free(names.name);
    return status;
}

/* Finds the name of the account with that id, or of that name. */
static bool find(const struct door *door, const char *id, char name[sizeof((struct account *)NULL)->name]) {
    struct reason reason = {""};
    struct account *account = account_alloc();
    int result = account != NULL ? account_find(door, id, account, &reason)
                                 : FAIL(&reason, ERROR_SYSTEM, "out of memory");
    if (result == 0 && strncmp(id, "code-", 5) == 0)
        result = account_load(door, id, account, &reason);
    if (result == 1)
        memcpy(name, account->name, sizeof account->name);
    account_free(account);
    if (result == 0)
        problem("there is no account %.200s: doorpost account list", id);
    else if (result < 0)
        problem("%s", reason.text);
    return result == 1;
}

static int forget(struct door *door, const char *name) {
    struct reason reason;
    return account_forget(door, name, LOCK_SECONDS, &reason) == 0 ? STATUS_DONE : problem("%s", reason.text);
}

/* ---- what the journal says of accounts that removed the app ---- */

static int find_oldest(void *oldest, const struct account *account) {
    int64_t *at = oldest;
    if (account->refreshed_at < *at)
        *at = account->refreshed_at;
    return 0;
}

/* Forgets accounts whose removal was received after their tokens. */
static int forget_removed(struct door *door, const struct config *config) {
    struct filter filter = {0};
    struct reason reason;
    int64_t oldest = INT64_MAX;
    int result = account_each(door, find_oldest, &oldest, &reason);
    if (result != 0 || oldest == INT64_MAX || config->journal[0] == '\0')
        return STATUS_DONE;
    struct lines *lines = lines_open(config->journal);
    if (lines == NULL)
        return STATUS_PROBLEM;
    filter.since = oldest;
    filter.until = INT64_MAX;
    struct position from = {0};
    (void)lines_since(lines, &filter, &from);
    lines_start(lines, from);
    while (!lines->empty && (result = lines_next(lines, &filter)) > 0)
        if (strcmp(lines->event.type, RING_REMOVED) == 0 &&
            account_removed(door, lines->event.account, lines->received_at, &reason) != 0)
            result = problem("%s", reason.text);
    lines_close(lines);
    return result < 0 ? STATUS_PROBLEM : STATUS_DONE;
}

/* ---- the verb ---- */

static int run(struct door *door, const struct options *options, const char *what, const char *id) {
    char name[sizeof((struct account *)NULL)->name];
    if (strcmp(what, "list") == 0)
        return list(door, options);
    if (id == NULL) {
        int status = forget_removed(door, door->config);
        return refresh_all(door, options->force) == STATUS_DONE ? status : STATUS_PROBLEM;
    }
    if (!find(door, id, name))
        return STATUS_PROBLEM;
    return what[0] == 'f' ? forget(door, name) : refresh_one(door, name, options->force);
}

static int account_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    struct reason reason = {""};
    struct door door;
    char hint[HINT_SIZE];
    int first = options_parse(argc, argv, &verb_account, &options);
    const char *what = first < argc ? argv[first] : "list", *id = first + 1 < argc ? argv[first + 1] : NULL;
    if (strcmp(what, "list") != 0 && strcmp(what, "refresh") != 0 && strcmp(what, "forget") != 0)
        usage_error("\"%.60s\" is neither list, refresh nor forget", what);
    if (what[0] == 'f' && id == NULL)
        usage_error("which account? doorpost account list shows them");
    if (what[0] == 'l' && id != NULL)
        usage_error("list takes no account");
    if (settings_load(&options.settings, NEED_NOTHING, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (config.door[0] != '\0' && privilege_drop_for_door(&config, &reason) != 0)
        return problem("%s", reason.text);
    if (config.door[0] != '\0' && permission_hint(config.door, hint)[0] != '\0')
        return problem("cannot open %s%s", config.door, hint);
    if (door_open(&door, &config, &reason) != 0)
        return problem("%s", reason.text);
    int status = run(&door, &options, what, id);
    door_close(&door);
    return status;
}

static const struct option_spec table[] = {
    {0, "force", OPTION_FLAG, NULL, "renew tokens whatever their age", AT(force)},
    {0, "json", OPTION_FLAG, NULL, "the list as one JSON array", AT(json)},
    OPTION_CONF,
    {0}};

const struct verb verb_account = {
    .name = "account",
    .summary = "list Ring accounts, renew or forget their tokens",
    .synopsis = "list|refresh|forget [ACCOUNT] [--force] [--json]",
    .what =
        "list shows the Ring accounts that are connected to the door page: whose they are, how far linking "
        "has come,\n"
        "and how long their tokens can still be renewed. refresh renews those that are older than 20 hours; "
        "run it\n"
        "daily. It also forgets accounts whose owner has removed the app, as the journal tells. forget "
        "removes an account.",
    .operands = {"list refresh forget", "ACCOUNT"},
    .options = table,
    .run = account_main,
};
