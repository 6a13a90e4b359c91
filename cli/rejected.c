/* doorpost rejected: deliveries that Ring signed but Doorpost could not use. Most have a form newer than this
 * Doorpost, and may be usable after an upgrade. */
#include "rejected.h"
#include "directory.h"
#include "intake.h"
#include "journal.h"
#include "lines.h"
#include "quote.h"
#include "settings.h"
#include "terminal.h"
#include "verbs.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_TIMEOUT (10 * SECOND)

struct options {
    struct settings settings;
    struct filter filter;
    bool json, replay, body;
    const char *which; /* DAY:LINE, or NULL: all */
};

struct replay {
    const struct options *options;
    const struct config *config;
    struct keys *keys;
    struct event_parser *parser;
    struct journal *journal;
    struct decision decision;
    uint64_t seen, stored, failed;
    char body[BODY_LIMIT];
};

/* DAY:LINE, as listed. */
static void name_of(const struct rejection *rejection, char *out, size_t size) {
    char day[DAY_SIZE];
    day_format(rejection->day, day);
    snprintf(out, size, "%s:%" PRIu64, day, rejection->line);
}

static bool is_wanted(const struct replay *replay, const struct rejection *rejection) {
    char name[DAY_SIZE + 24];
    name_of(rejection, name, sizeof name);
    return replay->options->which == NULL || strcmp(replay->options->which, name) == 0;
}

static int list_json(const struct rejection *rejection, const char *name) {
    char at[TIMESTAMP_SIZE];
    struct json_object *one = json_object_new_object();
    timestamp_format(rejection->received_at, at);
    json_object_object_add(one, "name", json_object_new_string(name));
    json_object_object_add(one, "received_at",
                           rejection->signature != NULL ? json_object_new_string(at) : NULL);
    json_object_object_add(one, "reason", json_object_new_string(rejection->reason));
    json_object_object_add(one, "key",
                           rejection->key != NULL ? json_object_new_string(rejection->key) : NULL);
    json_object_object_add(one, "length", json_object_new_int64((int64_t)rejection->length));
    int status = print_json(one);
    json_object_put(one);
    return status;
}

static int list(void *context, const struct rejection *rejection) {
    struct replay *replay = context;
    char when[WHEN_SIZE] = "?", name[DAY_SIZE + 24], quoted[QUOTE_SIZE(sizeof(struct reason))];
    if (!is_wanted(replay, rejection))
        return 0;
    replay->seen++;
    if (rejection->signature == NULL)
        replay->failed++;
    name_of(rejection, name, sizeof name);
    if (replay->options->body) {
        print_text(rejection->body, rejection->length);
        return 0;
    }
    if (replay->options->json)
        return list_json(rejection, name);
    if (rejection->signature != NULL)
        when_format(rejection->received_at, replay->options->filter.utc, when);
    quote(quoted, sizeof quoted, rejection->reason, strlen(rejection->reason));
    printf("%s%-14s%s  %s  %6zu bytes  %s\n", colour(COLOUR_NAME), name, colour(COLOUR_NONE), when,
           rejection->length, quoted);
    return 0;
}

/* Makes the same decision as for a delivery. The result goes to the same journal, with the original time of
 * receipt. */
static void decide(struct replay *replay, const struct rejection *rejection) {
    memcpy(replay->body, rejection->body, rejection->length);
    memset(&replay->decision, 0, sizeof replay->decision);
    intake_body(replay->keys, replay->parser, rejection->signature, replay->body, rejection->length,
                &replay->decision);
}

static void keep(struct replay *replay, const struct rejection *rejection, const char *name) {
    struct decision *decision = &replay->decision;
    struct entry entry = {.body = replay->body,
                          .length = rejection->length,
                          .key = decision->key,
                          .signature = decision->signature,
                          .received_at = rejection->received_at,
                          .event = &decision->event};
    struct entry *entries[] = {&entry};
    if (replay->config->max_age > 0)
        entry_set_age(&entry, replay->config->max_age, rejection->received_at);
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    journal_append(replay->journal, entries, 1, &deadline);
    if (entry.disposition == DISPOSITION_STORED || entry.disposition == DISPOSITION_DUPLICATE) {
        replay->stored += entry.disposition == DISPOSITION_STORED;
        printf("%s  %s as line %" PRIu64 "\n", name,
               entry.disposition == DISPOSITION_STORED ? "stored" : "already stored", entry.seq);
        return;
    }
    replay->failed++;
    if (entry.disposition == DISPOSITION_REJECTED)
        printf("%s  still not usable: %s (DOORPOST_MAX_AGE=off accepts it at any age)\n", name,
               entry.rejection);
    else
        problem("%s could not be stored: %s", name, entry.reason.text);
}

static int replay_one(void *context, const struct rejection *rejection) {
    struct replay *replay = context;
    char name[DAY_SIZE + 24];
    if (!is_wanted(replay, rejection))
        return 0;
    replay->seen++;
    name_of(rejection, name, sizeof name);
    if (rejection->signature == NULL) {
        replay->failed++;
        problem("%s: %s", name, rejection->reason);
        return 0;
    }
    decide(replay, rejection);
    if (replay->decision.disposition == DISPOSITION_ACCEPTED) {
        keep(replay, rejection, name);
        return 0;
    }
    replay->failed++;
    printf("%s  still not usable: %s\n", name, replay->decision.cause.text);
    return 0;
}

static int replay_all(struct replay *replay, struct directory *directory, struct reason *reason) {
    int result = ERROR_SYSTEM;
    replay->keys = settings_keys(replay->config);
    replay->parser = event_parser_new();
    replay->journal = journal_new(replay->config->journal, 0);
    if (replay->keys == NULL)
        explain(reason, "nothing was replayed");
    else if (replay->parser == NULL || replay->journal == NULL)
        explain(reason, "out of memory");
    else
        result = rejected_each(directory->fd, replay->options->filter.since, replay->options->filter.until,
                               replay_one, replay, reason);
    journal_free(replay->journal);
    event_parser_free(replay->parser);
    keys_free(replay->keys);
    return result;
}

static int run(struct replay *replay) {
    struct reason reason = {""};
    struct directory directory = {.fd = -1, .lock = -1};
    const struct options *options = replay->options;
    directory_start(&directory, replay->config->journal);
    int result = directory_open(&directory, &reason);
    if (result == 0)
        result = options->replay ? replay_all(replay, &directory, &reason)
                                 : rejected_each(directory.fd, options->filter.since, options->filter.until,
                                                 list, replay, &reason);
    directory_close(&directory);
    if (result != 0)
        return problem("%s", reason.text);
    if (options->which != NULL && replay->seen == 0)
        return problem("no rejected delivery %s: list them with `doorpost rejected`", options->which);
    if (replay->seen == 0)
        explain_empty(
            "No rejected deliveries%s.",
            options->filter.since_text != NULL || options->filter.until_text != NULL ? " in that time" : "");
    return replay->failed > 0 ? STATUS_PROBLEM : STATUS_DONE;
}

static int rejected_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    int first = options_parse(argc, argv, &verb_rejected, &options);
    options.which = first < argc ? argv[first] : NULL;
    filter_start(&options.filter);
    if (options.body && options.which == NULL)
        usage_error("--body requires DAY:LINE, as in the list");
    if (options.json + options.body + options.replay > 1)
        usage_error("--json, --body and --replay cannot be combined");
    if (settings_load(&options.settings, NEED_JOURNAL | (options.replay ? NEED_KEYS : NEED_NOTHING),
                      &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return problem("out of memory");
    replay->options = &options;
    replay->config = &config;
    int status = run(replay);
    free(replay);
    return status;
}

static const struct option_spec table[] = {
    {0, "replay", OPTION_FLAG, NULL, "process them again, for example after an upgrade", AT(replay)},
    {0, "body", OPTION_FLAG, NULL, "print the body of DAY:LINE, byte for byte", AT(body)},
    {0, "json", OPTION_FLAG, NULL, "one JSON object per line", AT(json)},
    {'S', "since", OPTION_TEXT, "TIME", "received at or after", AT(filter.since_text)},
    {'U', "until", OPTION_TEXT, "TIME", "received before", AT(filter.until_text)},
    {0, "utc", OPTION_FLAG, NULL, "times in UTC, not local time", AT(filter.utc)},
    OPTION_CONF,
    OPTION_JOURNAL,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_rejected = {
    .name = "rejected",
    .summary = "show deliveries that were signed but unusable, and retry them",
    .synopsis = "[DAY:LINE] [--json | --body | --replay]",
    .what = "Lists the deliveries that were signed but were not usable events, with the reason; or only "
            "DAY:LINE.\n"
            "With --replay they are processed again, and those that are usable now are stored in the journal "
            "with their\n"
            "original time of receipt. They stay listed; replaying twice is harmless.",
    .operands = {"DAY:LINE"},
    .options = table,
    .run = rejected_main,
};
