/* doorpost log: shows the journal, or the merged stream, to people. */
#include "lines.h"
#include "quote.h"
#include "settings.h"
#include "terminal.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLLOWED_FIRST 10 /* lines shown before following starts, as in tail -f */

struct options {
    struct settings settings;
    struct filter filter;
    int64_t count;
    bool follow, json;
};

static void print_event(const struct lines *lines, bool utc) {
    const struct event *event = &lines->event;
    char when[WHEN_SIZE], type[2 * EVENT_FIELD_SIZE + 1];
    char readable[3][QUOTE_SIZE(2 * EVENT_FIELD_SIZE)];
    when_format(lines->received_at, utc, when);
    snprintf(type, sizeof type, "%s%s%s", event->type, event->sub_type[0] != '\0' ? "/" : "",
             event->sub_type);
    printf("%s%s%s  %s%-22s%s  %-28s  %s\n", colour(COLOUR_FAINT), when, colour(COLOUR_NONE),
           colour(strcmp(event->type, RING_PRESS) == 0 ? COLOUR_GOOD : COLOUR_NAME),
           plain(type, readable[0], sizeof readable[0]), colour(COLOUR_NONE),
           event->device[0] != '\0' ? plain(event->device, readable[1], sizeof readable[1]) : "-",
           event->account[0] != '\0' ? plain(event->account, readable[2], sizeof readable[2]) : "-");
}

static int print_all(struct lines *lines, const struct options *options) {
    int result;
    while ((result = lines_next(lines, &options->filter)) > 0) {
        if (options->json) {
            print_text(lines->record.event, lines->record.event_length);
            putchar('\n');
        } else
            print_event(lines, options->filter.utc);
    }
    return result == 0 && fflush(stdout) == 0 ? STATUS_DONE : STATUS_PROBLEM;
}

static int print_and_follow(struct lines *lines, const struct options *options) {
    bool was_empty = lines->empty;
    int status = print_all(lines, options);
    lines_explain_empty(lines);
    while (status == STATUS_DONE) {
        lines_wait(lines);
        status = lines_refresh(lines);
        if (status == STATUS_DONE && was_empty && !lines->empty) {
            lines_start(lines, (struct position){.day = lines->first});
            was_empty = false;
        }
        if (status == STATUS_DONE && !lines->empty)
            status = print_all(lines, options);
    }
    return status;
}

static int show(struct lines *lines, const struct options *options) {
    int status = STATUS_DONE;
    struct position position = {0};
    if (!lines->empty)
        status = options->count < 0 ? lines_since(lines, &options->filter, &position)
                                    : lines_from_end(lines, &options->filter, options->count, &position);
    lines_start(lines, position);
    if (status != STATUS_DONE)
        return status;
    status = options->follow ? print_and_follow(lines, options) : print_all(lines, options);
    if (!options->follow && options->count != 0)
        lines_explain_empty(lines);
    return status == STATUS_DONE && lines->damaged > 0 ? STATUS_PROBLEM : status;
}

static int log_main(int argc, char *argv[]) {
    struct options options = {.count = -1};
    struct config config;
    options_parse(argc, argv, &verb_log, &options);
    filter_start(&options.filter);
    if (options.follow && options.count < 0 && options.filter.since_text == NULL)
        options.count = FOLLOWED_FIRST;
    struct lines *lines = lines_open_from(&options.settings, &options.filter, options.follow, &config);
    if (lines == NULL)
        return STATUS_PROBLEM;
    int status = show(lines, &options);
    lines_close(lines);
    return status;
}

static const struct option_spec table[] = {
    {'f', "follow", OPTION_FLAG, NULL, "wait for new events, until Ctrl-C", AT(follow)},
    {'n', "lines", OPTION_NUMBER, "N", "only the last N (with -f: 10)", AT(count)},
    OPTIONS_FILTER,
    {0, "json", OPTION_FLAG, NULL, "Ring's events, one per line", AT(json)},
    OPTION_CONF,
    OPTION_JOURNAL,
    OPTION_FROM,
    {0}};

const struct verb verb_log = {
    .name = "log",
    .summary = "show the received events; -f follows",
    .synopsis = "[-f] [-n N] [--since TIME] [--until TIME] [--device ID]... [--json] [--from URL]",
    .what = "Shows the events in the journal, oldest first: time of receipt, type, device, account.\n"
            "With --json: Ring's own events, one per line, for jq. With --from: the events of all nodes, in "
            "the order in\n"
            "which the database got them.",
    .options = table,
    .run = log_main,
};
