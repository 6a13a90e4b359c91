/* doorpost exec: runs a command for each event. */
#include "command.h"
#include "cursor.h"
#include "database.h"
#include "database_source.h"
#include "journal_source.h"
#include "ring.h"
#include "runlog.h"
#include "runner.h"
#include "settings.h"
#include "status.h"
#include "turns.h"
#include "user.h"
#include "verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 64 /* of DOORPOST_ON_EVENT */
/* Characters that need no quoting in a shell. */
#define UNQUOTED "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,"

struct options {
    struct settings settings;
    struct run run;
    struct list from;     /* a position, a database, or both */
    const char *database; /* the second; NULL: the journal */
    bool status, failed, json;
    const char *drop;
};

/* Splits DOORPOST_ON_EVENT, a program and its arguments, at blanks; no shell is involved. */
static char *const *split(char *text) {
    static char *words[WORDS_MAX + 1];
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
        if (count == WORDS_MAX)
            usage_error("DOORPOST_ON_EVENT has more than %d words: put the command in a script", WORDS_MAX);
        words[count++] = word;
    }
    return count > 0 ? words : NULL;
}

/* Web servers and init systems may set neither of these, and commands expect both. */
static void complete_environment(void) {
    struct user user;
    const char *path = getenv("PATH"), *home = getenv("HOME");
    if (path == NULL || path[0] == '\0')
        setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    user_with_id(getuid(), &user);
    if (home == NULL || home[0] == '\0')
        setenv("HOME", user.home[0] != '\0' ? user.home : "/", 1);
}

/* Appends a word, quoted for a shell. */
static void add_word(FILE *line, const char *word) {
    fputc(' ', line);
    if (word[0] != '\0' && word[strspn(word, UNQUOTED)] == '\0') {
        fputs(word, line);
        return;
    }
    fputc('\'', line);
    for (; *word != '\0'; word++)
        *word == '\'' ? fputs("'\\''", line) : fputc(*word, line);
    fputc('\'', line);
}

/* Composes the shell command line that retries the failed events, to be run in the current directory.
 * `given`: the command was given on the command line. The caller frees it. Returns NULL if out of memory. */
static char *compose_again(const struct options *options, const struct config *config, bool given) {
    char *text = NULL, program[CONFIG_PATH_SIZE + 16] = "doorpost", directory[CONFIG_PATH_SIZE],
         found[COMMAND_PATH_SIZE];
    size_t length;
    FILE *line = open_memstream(&text, &length);
    if (line == NULL)
        return NULL;
    if (!command_find(program, found) && config_program_directory(directory) == 0)
        snprintf(program, sizeof program, "%s/doorpost", directory);
    add_word(line, program);
    fputs(" exec --retry-failed", line);
    bool journal = options->database == NULL;
    const char *const settings[][2] = {{"--from", options->database},
                                       {"--conf", journal || !given ? config->file : NULL},
                                       {"--journal", journal ? getenv("DOORPOST_JOURNAL") : NULL},
                                       {"--name", options->run.name}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (settings[i][1] != NULL && settings[i][1][0] != '\0') {
            add_word(line, settings[i][0]);
            add_word(line, settings[i][1]);
        }
    fprintf(line, " --timeout %" PRId64 "s", options->run.timeout);
    if (given)
        add_word(line, "--");
    for (char *const *word = options->run.command; given && *word != NULL; word++)
        add_word(line, *word);
    return fclose(line) == 0 ? text : NULL;
}

/* Sorts the values of --from. */
static void sort_from(struct options *options) {
    struct reason reason;
    const char *position = NULL;
    for (size_t i = 0; i < options->from.count; i++) {
        const char *from = options->from.item[i];
        const char **kept = database_is_location(from) ? &options->database : &position;
        if (*kept != NULL)
            usage_error("--from may be repeated only to give both a database and a position in it");
        *kept = from;
    }
    if (position != NULL)
        options->run.from = position;
    if (options->database != NULL && database_check(options->database, &reason) != 0)
        usage_error("%s", reason.text);
    if (options->database != NULL && options->settings.journal != NULL)
        usage_error("--journal and a database cannot be combined");
}

static void check_options(const struct run *run) {
    if (!cursor_name_is_good(run->name))
        usage_error("a consumer's name may contain only letters, digits, - and _, at most %d characters",
                    CURSOR_NAME_SIZE - 1);
    if (run->jobs < 1 || run->jobs > JOBS_MAX)
        usage_error("--jobs must be 1 to %d", JOBS_MAX);
    if (run->timeout < 1)
        usage_error("--timeout must be at least 1 second");
    if (strcmp(run->from, "start") != 0 && strcmp(run->from, "end") != 0 &&
        (run->from[0] == '\0' || strspn(run->from, "0123456789") != strlen(run->from)))
        usage_error("--from must be start, end, the number of an event, or a database, not \"%s\"",
                    run->from);
}

static int run_command(struct options *options, const struct config *config, bool given) {
    struct run *run = &options->run;
    if (options->database == NULL)
        runlog_start(config->journal, run->name);
    char *again = compose_again(options, config, given);
    run->again = again != NULL ? again + 1 : "doorpost exec --retry-failed"; /* skip the first blank */
    struct source *source = options->database != NULL ? database_source_new(options->database, run)
                                                      : journal_source_new(config->journal, run);
    int status = source != NULL ? runner_run(source, run) : STATUS_PROBLEM;
    if (source != NULL)
        source->functions->close(source);
    free(again);
    return status;
}

static int retry(const struct options *options, const struct config *config, bool *run_here) {
    const struct run *run = &options->run;
    return options->database != NULL ? turns_retry(options->database, run->name, run->retry, run_here)
                                     : status_retry(config, run->name, run->retry, run_here);
}

/* `only`: the consumer, or NULL for all. */
static int answer_query(const struct options *options, const struct config *config, const char *only) {
    const char *database = options->database, *name = options->run.name;
    if (options->drop != NULL)
        return database != NULL ? turns_drop(database, name, options->drop)
                                : status_drop(config, name, options->drop);
    if (options->failed)
        return database != NULL ? turns_show_failed(database, only, options->json)
                                : status_show_failed(config, only, options->json);
    return database != NULL ? turns_show(database, only, options->json)
                            : status_show(config, only, options->json);
}

/* With a database, settings are read only for DOORPOST_ON_EVENT. */
static int load_settings(const struct options *options, bool given, struct config *config) {
    if (options->database == NULL)
        return settings_load(&options->settings, NEED_JOURNAL, config);
    return given ? STATUS_DONE : settings_load(&options->settings, NEED_NOTHING, config);
}

static int exec_main(int argc, char *argv[]) {
    struct options options = {.run = {.jobs = 4, .timeout = 30, .grace = 10, .from = "end"}};
    struct run *run = &options.run;
    static struct config config;
    int first = options_parse(argc, argv, &verb_exec, &options);
    const char *only = run->name;
    run->name = only != NULL ? only : "default";
    run->retry_failed |= run->retry != NULL;
    bool is_query = options.status || options.failed || options.drop != NULL;
    sort_from(&options);
    check_options(run);
    if (load_settings(&options, is_query || first < argc, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    bool run_here = true;
    int status = run->retry != NULL ? retry(&options, &config, &run_here) : STATUS_DONE;
    if (!run_here || status != STATUS_DONE)
        return status;
    run->command = first < argc ? &argv[first] : split(config.on_event);
    if (!is_query && run->command == NULL)
        usage_error("no command given: put it after --");
    if (is_query)
        return answer_query(&options, &config, only);
    complete_environment();
    return run_command(&options, &config, first < argc);
}

static const struct option_spec table[] = {
    {0, "name", OPTION_TEXT, "NAME", "the consumer's name; its position is kept in cursors/NAME",
     AT(run.name)},
    {0, "type", OPTION_LIST, "TYPE", "only events of this type; may be repeated", AT(run.types)},
    {0, "device", OPTION_LIST, "ID", "only events of this device; may be repeated", AT(run.devices)},
    {0, "account", OPTION_LIST, "ID", "only events of this account; may be repeated", AT(run.accounts)},
    {'j', "jobs", OPTION_NUMBER, "N", "run at most N commands at a time (default 4)", AT(run.jobs)},
    {'t', "timeout", OPTION_DURATION, "TIME", "stop a command after this time (default 30s)",
     AT(run.timeout)},
    {0, "grace", OPTION_DURATION, "TIME", "time for running commands to finish on SIGTERM (default 10s)",
     AT(run.grace)},
    {0, "once", OPTION_FLAG, NULL, "run the events already received, and exit", AT(run.once)},
    {0, "from", OPTION_LIST, "POSITION",
     "where a new consumer starts: start, end (default) or a number; or a database to read instead of the "
     "journal",
     AT(from)},
    {0, "retry-failed", OPTION_FLAG, NULL, "retry the events that were given up, and exit",
     AT(run.retry_failed)},
    {0, "retry", OPTION_TEXT, "ID", "retry only the event with this number or id", AT(run.retry)},
    {0, "drop", OPTION_TEXT, "ID", "do not run the event with this number or id again", AT(drop)},
    {0, "failed", OPTION_FLAG, NULL, "show the failed events and their commands' output", AT(failed)},
    {0, "status", OPTION_FLAG, NULL, "show each consumer's position, lag and failures", AT(status)},
    {0, "json", OPTION_FLAG, NULL, "--status or --failed as one JSON array", AT(json)},
    OPTION_CONF,
    OPTION_JOURNAL,
    {0}};

const struct verb verb_exec = {
    .name = "exec",
    .summary = "run a command for each event",
    .synopsis = "[--name NAME] [--type TYPE]... [--device ID]... [--jobs N] -- COMMAND [ARG...]",
    .what = "Runs COMMAND for each event, with Ring's JSON on its standard input and DOORPOST_EVENT_ID etc. "
            "in its\n"
            "environment. Exit status 0 means success, 78 a permanent failure; after any other, COMMAND is "
            "retried "
            "after\n" RING_RETRY_TEXT ". Events of one device run in order. Without COMMAND,\n"
            "DOORPOST_ON_EVENT is run.",
    .stops = true,
    .options = table,
    .run = exec_main,
};
