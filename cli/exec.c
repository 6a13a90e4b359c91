/* doorpost exec: a press starts something. */
#include "cursor.h"
#include "failed.h"
#include "lines.h"
#include "resume.h"
#include "runner.h"
#include "segment.h"
#include "settings.h"
#include "terminal.h"
#include "user.h"
#include "verbs.h"
#include "waiting.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 64 /* of DOORPOST_ON_EVENT */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+," /* to a shell */

struct options {
    struct settings settings;
    struct run run;
    bool status, json;
};

/* ---- --status ---- */

/* How far a consumer is behind. */
struct lag {
    struct resume resume;
    struct place first; /* of what waits; day 0: nothing does */
    size_t waiting, retrying;
    uint64_t events;
    int64_t since; /* when the oldest of them was received; 0: there is none */
};

static void count_waiting(void *context, const struct item *item) {
    struct lag *lag = context;
    lag->waiting++;
    lag->retrying += item->attempts > 0;
    if (lag->first.day == 0 || item->place.day < lag->first.day ||
        (item->place.day == lag->first.day && item->place.offset < lag->first.offset))
        lag->first = item->place;
}

static int measure(struct lines *lines, const char *name, const struct cursor *cursor, struct lag *lag) {
    const struct filter all = {.since = INT64_MIN, .until = INT64_MAX};
    struct reason reason = {""};
    int result;
    *lag = (struct lag){0};
    if (resume_find(lines->directory.file, cursor, &lag->resume, &reason) != 0 ||
        waiting_each(lines->directory.file, name, count_waiting, lag, &reason) < 0)
        return problem("%s", reason.text);
    lag->events = lag->waiting;
    lag->retrying += cursor->retry_count;
    if (lag->waiting > 0 && (lines_start(lines, lag->first), lines_next(lines, &all)) > 0)
        lag->since = lines->received_at;
    lines_start(lines, lag->resume.mark.place);
    while (!lines->empty && (result = lines_next(lines, &all)) != 0) {
        if (result < 0)
            return STATUS_PROBLEM;
        if (!resume_is_new(&lag->resume, &lines->record, lines->place.day) ||
            (!lag->resume.reused && cursor_has_done(cursor, lines->record.seq)))
            continue;
        if (lag->events++ == 0 || lag->since == 0)
            lag->since = lines->received_at;
    }
    return STATUS_DONE;
}

/* What --status tells of a consumer. */
struct standing {
    const char *name;
    const struct cursor *cursor;
    struct lag lag;
    int holder, failed;
    long running;
};

static void print_standing(const struct standing *standing, struct json_object *report) {
    const struct lag *lag = &standing->lag;
    struct place place = standing->cursor->mark.place;
    struct reason said;
    char segment[SEGMENT_NAME_SIZE];
    int64_t seconds = lag->since > 0 ? (timestamp_now() - lag->since) / SECOND : 0;
    if (place.offset == 0 && place.day < lag->resume.first) /* before all */
        place.day = lag->resume.first;
    segment_name(place.day, segment);
    if (report == NULL) {
        printf("%s%s%s: %s, at %s byte %" PRIu64 ", %" PRIu64 " events and %" PRId64
               " s behind, %ld in flight, %zu to be "
               "tried again, %s%d failed%s\n",
               colour(COLOUR_NAME), standing->name, colour(COLOUR_NONE),
               standing->holder != 0 ? "running" : "not running", segment, place.offset, lag->events, seconds,
               standing->running, lag->retrying, colour(standing->failed > 0 ? COLOUR_BAD : COLOUR_NONE),
               standing->failed, colour(COLOUR_NONE));
        resume_explain(&lag->resume, standing->name, &said);
        if (!lag->resume.holds)
            printf("  %s%s%s\n", colour(COLOUR_WARNING), said.text, colour(COLOUR_NONE));
        return;
    }
    struct json_object *one = json_object_new_object();
    json_object_object_add(one, "name", json_object_new_string(standing->name));
    json_object_object_add(one, "process",
                           standing->holder != 0 ? json_object_new_int(standing->holder) : NULL);
    json_object_object_add(one, "segment", json_object_new_string(segment));
    json_object_object_add(one, "byte", json_object_new_int64((int64_t)place.offset));
    json_object_object_add(one, "place_holds", json_object_new_boolean(lag->resume.holds));
    json_object_object_add(one, "behind", json_object_new_int64((int64_t)lag->events));
    json_object_object_add(one, "behind_seconds", json_object_new_int64(seconds));
    json_object_object_add(one, "in_flight", json_object_new_int64(standing->running));
    json_object_object_add(one, "retrying", json_object_new_int64((int64_t)lag->retrying));
    json_object_object_add(one, "waiting", json_object_new_int64((int64_t)lag->waiting));
    json_object_object_add(one, "failed", json_object_new_int(standing->failed));
    json_object_array_add(report, one);
}

static int show_consumer(struct lines *lines, const char *name, struct json_object *report) {
    static struct cursor cursor;
    struct standing standing = {.name = name, .cursor = &cursor};
    struct reason reason = {""};
    char running[24] = "0";
    int found = cursor_read(lines->directory.file, name, &cursor, &reason);
    if (found <= 0)
        return found < 0 ? problem("%s", reason.text) : STATUS_DONE;
    int lock = cursor_open_lock(lines->directory.file, name, &reason);
    if (lock < 0)
        return problem("%s", reason.text);
    standing.holder = cursor_holder(lock, CURSOR_LOCK_RUNNER);
    ssize_t got = standing.holder != 0 ? pread(lock, running, sizeof running - 1, 0) : 0;
    running[got > 0 ? got : 1] = '\0';
    standing.running = strtol(running, NULL, 10);
    standing.failed = failed_each(lines->directory.file, lock, name, NULL, NULL, &reason);
    close(lock);
    if (standing.failed < 0)
        return problem("%s", reason.text);
    if (measure(lines, name, &cursor, &standing.lag) != STATUS_DONE)
        return STATUS_PROBLEM;
    print_standing(&standing, report);
    return STATUS_DONE;
}

struct show {
    struct lines *lines;
    struct json_object *report;
    int status;
    unsigned seen;
};

static int show_one(void *context, const char *name) {
    struct show *show = context;
    show->seen++;
    if (show_consumer(show->lines, name, show->report) != STATUS_DONE)
        show->status = STATUS_PROBLEM;
    return 0;
}

static int show_status(const struct options *options, const struct config *config) {
    struct lines *lines = lines_open(config->journal);
    if (lines == NULL)
        return STATUS_PROBLEM;
    struct json_object *report = options->json ? json_object_new_array() : NULL;
    struct show show = {.lines = lines, .report = report};
    struct reason reason = {""};
    if (cursor_each(lines->directory.file, show_one, &show, &reason) != 0)
        show.status = problem("%s", reason.text);
    if (report != NULL)
        puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PLAIN));
    else if (show.seen == 0)
        tell_empty("No consumers in %s yet: `doorpost exec --name NAME -- COMMAND` starts one.",
                   config->journal);
    json_object_put(report);
    lines_close(lines);
    return show.status;
}

/* ---- the command ---- */

/* DOORPOST_ON_EVENT is a program and its arguments with blanks between them; no shell reads it. */
static char *const *split(char *text) {
    static char *words[WORDS_MAX + 1];
    size_t count = 0;
    char *place = NULL;
    for (char *word = strtok_r(text, " \t", &place); word != NULL; word = strtok_r(NULL, " \t", &place)) {
        if (count == WORDS_MAX)
            usage_error("DOORPOST_ON_EVENT has more than %d words: write a script", WORDS_MAX);
        words[count++] = word;
    }
    return count > 0 ? words : NULL;
}

/* Can it be run? Sets errno; what merely is not there, or not for us, is ENOENT. */
static bool can_run(const char *path) {
    if (access(path, X_OK) == 0)
        return true;
    if (errno == ENOTDIR || errno == EACCES)
        errno = ENOENT;
    return false;
}

/* Is the program there? Better asked now than of each event. Sets errno. */
static bool is_there(const char *program) {
    char path[4096];
    const char *from = getenv("PATH");
    int error = ENOENT;
    if (strchr(program, '/') != NULL)
        return can_run(program);
    while (from != NULL && *from != '\0') {
        size_t length = strcspn(from, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)length, from, program);
        if (can_run(path))
            return true;
        error = errno != ENOENT ? errno : error;
        from += length + (from[length] == ':');
    }
    errno = error;
    return false;
}

/* What a web server or an init gives is not always what a command expects: it may set neither of these. After
 * root has become another user, what there is was root's. */
static void complete_environment(uid_t before) {
    const struct passwd *user = user_with_id(getuid());
    const char *path = getenv("PATH"), *home = getenv("HOME");
    if (path == NULL || path[0] == '\0')
        setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    if (home == NULL || home[0] == '\0' || getuid() != before)
        setenv("HOME", user != NULL ? user->pw_dir : "/", 1);
    if (user != NULL && getuid() != before) {
        setenv("USER", user->pw_name, 1);
        setenv("LOGNAME", user->pw_name, 1);
    }
}

/* Appends a word as a shell reads it. */
static void add_word(FILE *line, const char *word) {
    fputc(' ', line);
    if (word[0] != '\0' && word[strspn(word, PLAIN)] == '\0') {
        fputs(word, line);
        return;
    }
    fputc('\'', line);
    for (; *word != '\0'; word++)
        *word == '\'' ? fputs("'\\''", line) : fputc(*word, line);
    fputc('\'', line);
}

/* The command line that runs what was given up once more; for a shell, where this one was started. */
static char *compose_again(const struct options *options, const struct config *config, bool given) {
    char *text = NULL, program[CONFIG_PATH_SIZE + 16] = "doorpost";
    size_t length;
    FILE *line = open_memstream(&text, &length);
    if (line == NULL)
        return NULL;
    if (!is_there(program) && config_program_directory(program) == 0)
        strcat(program, "/doorpost");
    add_word(line, program);
    fputs(" exec --retry-failed", line);
    const char *const settings[][2] = {
        {"--conf", config->file}, {"--journal", getenv("DOORPOST_JOURNAL")}, {"--name", options->run.name}};
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

static void check_options(const struct run *run) {
    if (!cursor_name_is_good(run->name))
        usage_error("a consumer's name has letters, digits, - and _, %d at most", CURSOR_NAME_SIZE - 1);
    if (run->jobs < 1 || run->jobs > JOBS_MAX)
        usage_error("--jobs wants 1 to %d", JOBS_MAX);
    if (run->timeout < 1)
        usage_error("--timeout wants a second at least");
    if (strcmp(run->from, "start") != 0 && strcmp(run->from, "end") != 0 &&
        (run->from[0] == '\0' || strspn(run->from, "0123456789") != strlen(run->from)))
        usage_error("--from wants start, end, or the number of an event, not \"%s\"", run->from);
}

int verb_exec(int argc, char *argv[]) {
    struct options options = {
        .run = {.name = "default", .jobs = 4, .timeout = 30, .grace = 10, .from = "end"}};
    struct run *run = &options.run;
    static struct config config;
    const struct usage usage = {
        .verb = "exec",
        .synopsis = "[--name NAME] [--type TYPE]... [--device ID]... [--jobs N] -- COMMAND [ARG...]",
        .what =
            "Runs COMMAND for each event, with Ring's JSON on its standard input and DOORPOST_EVENT_ID and "
            "so on in its\n"
            "environment. Exit status 0 is done; 78 is hopeless; all else is tried again after 1 s, 5 s, 30 "
            "s, 2 min,\n"
            "10 min and 1 h. Events of one device run in order. Without COMMAND, DOORPOST_ON_EVENT is taken.",
        .stops = true};
    const struct option_spec table[] = {
        {0, "name", OPTION_TEXT, "NAME", "of the consumer, whose place is kept in cursors/NAME", &run->name},
        {0, "type", OPTION_LIST, "TYPE", "for events of this type alone; may be repeated", &run->types},
        {0, "device", OPTION_LIST, "ID", "for events of this device alone; may be repeated", &run->devices},
        {0, "account", OPTION_LIST, "ID", "for events of this account alone; may be repeated",
         &run->accounts},
        {'j', "jobs", OPTION_NUMBER, "N", "so many commands at a time: 4", &run->jobs},
        {'t', "timeout", OPTION_DURATION, "TIME", "end a command after this time: 30s", &run->timeout},
        {0, "grace", OPTION_DURATION, "TIME", "that running commands get on SIGTERM: 10s", &run->grace},
        {0, "once", OPTION_FLAG, NULL, "run what is there, and exit", &run->once},
        {0, "from", OPTION_TEXT, "PLACE", "where a new consumer begins: start, end (usual), or a number",
         &run->from},
        {0, "retry-failed", OPTION_FLAG, NULL, "run those that were given up once more, and exit",
         &run->retry_failed},
        {0, "status", OPTION_FLAG, NULL, "show each consumer's place, lag and failures", &options.status},
        {0, "json", OPTION_FLAG, NULL, "the status as one JSON array", &options.json},
        OPTION_CONF(options.settings),
        OPTION_JOURNAL(options.settings),
        {0}};
    int first = options_parse(argc, argv, &usage, table);
    check_options(run);
    if (settings_load(&options.settings, NEED_JOURNAL, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    run->command = first < argc ? &argv[first] : split(config.on_event);
    if (!options.status && run->command == NULL)
        usage_error("which command? Say it after --");
    uid_t before = getuid();
    if (settings_become_owner(&config) != STATUS_DONE)
        return STATUS_PROBLEM;
    complete_environment(before);
    if (options.status)
        return show_status(&options, &config);
    if (!is_there(run->command[0]))
        return errno == ENOENT ? problem("there is no program %s that can be run", run->command[0])
                               : problem("cannot look for %s: %s", run->command[0], strerror(errno));
    char *again = compose_again(&options, &config, first < argc);
    run->again = again != NULL ? again + 1 : "doorpost exec --retry-failed"; /* without the first blank */
    int status = runner_run(&config, run);
    free(again);
    return status;
}
