/* doorpost door: the users of the door page, and the pictures of presses. */
#include "door.h"

#include "body.h"
#include "event.h"
#include "login.h"
#include "picture.h"
#include "privilege.h"
#include "secret.h"
#include "settings.h"
#include "terminal.h"
#include "timestamp.h"
#include "verbs.h"

#include <errno.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    struct settings settings;
    bool json, utc;
    int64_t wait; /* seconds */
};

/* Opens the door page's directory, as its owner if run by root. */
static int open_door(const struct options *options, struct config *config, struct door *door) {
    struct reason reason = {""};
    if (settings_load(&options->settings, NEED_NOTHING, config) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (config->door[0] == '\0')
        return problem("DOORPOST_DOOR is not set: let it name the private directory of the door page");
    if (privilege_drop_for_door(config, &reason) != 0 || door_open(door, config, &reason) != 0)
        return problem("%s", reason.text);
    return STATUS_DONE;
}

/* Asks twice on a terminal, where nothing shows. Returns NULL after printing the reason. */
static char *ask_password(void) {
    size_t length, again_length;
    char *password = secret_ask("The new password (it is not shown): ", &length);
    if (password == NULL || !isatty(STDIN_FILENO))
        return password;
    char *again = secret_ask("Once more: ", &again_length);
    bool same = again != NULL && length == again_length && sodium_memcmp(password, again, length) == 0;
    sodium_free(again);
    if (same)
        return password;
    problem("nothing was changed: the two passwords differ");
    sodium_free(password);
    return NULL;
}

static int add(struct door *door, const char *user) {
    struct reason reason = {""};
    char *password = ask_password();
    if (password == NULL)
        return STATUS_PROBLEM;
    int result = login_add(door, user, password, &reason);
    sodium_free(password);
    if (result != 0)
        return problem("nothing was changed: %s", reason.text);
    printf("%s can sign in with this password. Earlier sessions of that name have ended.\n", user);
    return STATUS_DONE;
}

static int remove_user(struct door *door, const char *user) {
    struct reason reason = {""};
    if (login_remove(door, user, &reason) != 0)
        return problem("%s", reason.text);
    printf("%s can no longer sign in. Accounts that %s connected: doorpost account list\n", user, user);
    return STATUS_DONE;
}

struct listing {
    struct door *door;
    struct json_object *all; /* NULL: as text */
    bool utc;
    int status;
};

static int list_one(void *context, const char *user) {
    struct listing *listing = context;
    struct reason reason = {""};
    int64_t at;
    char when[WHEN_SIZE], stamp[TIMESTAMP_SIZE];
    int found = login_changed_at(listing->door, user, &at, &reason);
    if (found < 0)
        listing->status = problem("%s", reason.text);
    if (found != 1)
        return 0;
    timestamp_format(at, stamp);
    when_format(at, listing->utc, when);
    if (listing->all != NULL) {
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "user", json_object_new_string(user));
        json_object_object_add(one, "changed_at", json_object_new_string(stamp));
        json_object_array_add(listing->all, one);
    } else
        printf("%s%s%s  password set %s\n", colour(COLOUR_NAME), user, colour(COLOUR_NONE), when);
    return 0;
}

static int list(struct door *door, const struct options *options) {
    struct reason reason = {""};
    struct listing listing = {.door = door, .utc = options->utc, .status = STATUS_DONE};
    if (options->json)
        listing.all = json_object_new_array();
    if (door_each(door, "users", list_one, &listing, &reason) != 0)
        listing.status = problem("%s", reason.text);
    if (listing.all != NULL && print_json(listing.all) != STATUS_DONE)
        listing.status = STATUS_PROBLEM;
    json_object_put(listing.all);
    return listing.status;
}

/* ---- picture ---- */

/* Reads an event, as doorpost exec gives it to its command. */
static int read_event(struct event *event) {
    size_t length;
    struct reason reason;
    char *body = body_read(NULL, &length);
    struct event_parser *parser = event_parser_new();
    int result =
        body == NULL || parser == NULL ? ERROR_SYSTEM : event_parse(parser, body, length, event, &reason);
    if (result == ERROR_INVALID)
        problem("standard input is not an event: %s", reason.text);
    event_parser_free(parser);
    free(body);
    return result == 0 ? STATUS_DONE : STATUS_PROBLEM;
}

/* Writes the picture to standard output, waiting for it if necessary. */
static int picture(struct door *door, const struct options *options) {
    struct event event;
    struct picture picture;
    struct reason reason;
    char *bytes;
    size_t length;
    int64_t end = monotonic_now() + options->wait * SECOND, due = 0;
    if (read_event(&event) != STATUS_DONE)
        return STATUS_PROBLEM;
    picture_of(door, &event, &picture);
    while (picture_state(door, &picture) == PICTURE_PENDING && monotonic_now() <= end) {
        int64_t left = end - monotonic_now(), until = due - timestamp_now();
        if (until > 0) {
            int64_t pause = until < left ? until : left;
            usleep((useconds_t)(pause < SECOND / 2 ? pause : SECOND / 2));
            continue;
        }
        due = picture_fetch(door, &picture);
    }
    int found = picture_read(door, &picture, &bytes, &length, &reason);
    if (found <= 0)
        return problem("%s", found < 0 ? reason.text : "Ring has no picture of this event (yet)");
    bool written = fwrite(bytes, 1, length, stdout) == length && fflush(stdout) == 0;
    free(bytes);
    return written ? STATUS_DONE : problem("cannot write the picture: %s", strerror(errno));
}

/* ---- the verb ---- */

static int door_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    struct door door;
    int first = options_parse(argc, argv, &verb_door, &options);
    if (first < argc && strcmp(argv[first], "picture") == 0) {
        if (first + 1 < argc)
            usage_error("door picture takes no operand: it reads the event from standard input");
        if (open_door(&options, &config, &door) != STATUS_DONE)
            return STATUS_PROBLEM;
        int result = picture(&door, &options);
        door_close(&door);
        return result;
    }
    const char *what = first < argc ? argv[first] : "user";
    const char *act = first + 1 < argc ? argv[first + 1] : "list";
    const char *user = first + 2 < argc ? argv[first + 2] : NULL;
    bool lists = strcmp(act, "list") == 0, adds = strcmp(act, "add") == 0;
    if (strcmp(what, "user") != 0)
        usage_error("door user or door picture, not door \"%s\"", what);
    if (!lists && !adds && strcmp(act, "remove") != 0)
        usage_error("door user list, door user add or door user remove, not \"%s\"", act);
    if (lists != (user == NULL))
        usage_error(lists ? "list takes no name" : "which user? For example: doorpost door user %s me", act);
    if (open_door(&options, &config, &door) != STATUS_DONE)
        return STATUS_PROBLEM;
    int status = lists ? list(&door, &options) : adds ? add(&door, user) : remove_user(&door, user);
    door_close(&door);
    return status;
}

static const struct option_spec table[] = {
    {0, "json", OPTION_FLAG, NULL, "list as one JSON array", AT(json)},
    {0, "utc", OPTION_FLAG, NULL, "list times in UTC", AT(utc)},
    {0, "wait", OPTION_DURATION, "DURATION", "how long picture waits for Ring to have it", AT(wait)},
    OPTION_CONF,
    {0}};

const struct verb verb_door = {
    .name = "door",
    .summary = "manage the users of the door page, and fetch pictures of presses",
    .synopsis = "user list [--json] | user add NAME | user remove NAME | picture [--wait DURATION]",
    .what =
        "add asks for a password, or reads it as one line from standard input; for a user who exists, it "
        "sets a new one.\n"
        "Either ends the user's sessions, as remove does. picture reads an event from standard input, as a "
        "command of\n"
        "doorpost exec gets it, and writes its picture to standard output as a JPEG.",
    .operands = {"user picture", "list add remove", "NAME"},
    .options = table,
    .run = door_main,
};
