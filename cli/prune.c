/* doorpost prune: retention in whole days. */
#include "prune.h"
#include "counters.h"
#include "forward_note.h"
#include "rebuild.h"
#include "resume.h"
#include "ring.h"
#include "segment.h"
#include "settings.h"
#include "terminal.h"
#include "verbs.h"
#include "waiting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_TIMEOUT (10 * SECOND)
#define DAY_SECONDS 86400

struct options {
    struct settings settings;
    int64_t keep; /* seconds */
    bool dry_run, force;
};

static void warn_of_replays(const struct config *config, int64_t keep) {
    const char *state = config->max_age == 0     ? "is not set"
                        : config->max_age > keep ? "is longer than --keep"
                                                 : NULL;
    if (state == NULL)
        return;
    if (keep < RING_LATEST_DAYS * DAY_SECONDS)
        problem("warning: DOORPOST_MAX_AGE %s, so a delivery replayed after its day was deleted is stored as "
                "new. No value fits, because Ring delivers up to %d hours late: use --keep %dd or more",
                state, RING_LATEST_HOURS, RING_LATEST_DAYS);
    else
        problem("warning: DOORPOST_MAX_AGE %s, so a delivery replayed after its day was deleted is stored as "
                "new. Set it to %" PRId64
                "d or less, but not less than %dd, because Ring delivers up to %d hours late",
                state, keep / DAY_SECONDS, RING_LATEST_DAYS, RING_LATEST_HOURS);
}

/* Checks whether a consumer would lose events that it has not run or forwarded yet. */
struct consumers {
    int directory;
    int32_t keep;
    unsigned behind;
    struct cursor cursor;
};

/* Returns 1 if a day has bytes after that offset, 0 if not, or an error. */
static int has_lines(int directory, int32_t day, uint64_t offset, struct reason *reason) {
    struct stat status;
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    if (fstatat(directory, name, &status, 0) == 0)
        return (uint64_t)status.st_size > offset;
    return errno == ENOENT ? 0 : FAIL(reason, ERROR_SYSTEM, "cannot examine %s: %s", name, strerror(errno));
}

static void find_first(void *context, const struct item *item) {
    int32_t *first = context;
    *first = item->position.day < *first ? item->position.day : *first;
}

/* Finds the first deferred event of a day before `keep`. Returns 1, 0 or an error. */
static int find_waiting(const struct consumers *consumers, const char *name, int32_t *day,
                        struct reason *reason) {
    *day = DAY_MAX;
    int damaged = waiting_each(consumers->directory, name, find_first, day, reason);
    if (damaged > 0)
        return FAIL(reason, ERROR_DAMAGED,
                    "cursors/%s.waiting has damaged lines, whose events are not run, or is being written "
                    "now: if this persists, delete it, or use --force",
                    name);
    return damaged < 0 ? damaged : *day < consumers->keep;
}

/* Finds the first day before `keep` with lines that a consumer has not run. Returns 1, 0 or an error. */
static int find_unrun(struct consumers *consumers, const char *name, int32_t *day, struct reason *reason) {
    int32_t last;
    struct resume resume;
    int result = cursor_read(consumers->directory, name, &consumers->cursor, reason);
    if (result > 0 && resume_find(consumers->directory, &consumers->cursor, &resume, reason) != 0)
        return ERROR_SYSTEM;
    int waiting = find_waiting(consumers, name, day, reason);
    if (waiting != 0)
        return waiting;
    struct position position = result > 0 ? resume.mark.position : (struct position){0};
    if (result > 0)
        result = position.day >= consumers->keep ? 0
                                                 : segment_range(consumers->directory, position.day,
                                                                 consumers->keep - 1, day, &last, reason);
    if (result <= 0)
        return result;
    for (;; ++*day) {
        result = has_lines(consumers->directory, *day, *day == position.day ? position.offset : 0, reason);
        if (result != 0 || *day == last)
            return result;
    }
}

static int check_consumer(void *context, const char *name) {
    struct consumers *consumers = context;
    struct reason reason = {""};
    struct forward_note note;
    int32_t first;
    char day[DAY_SIZE];
    int result = find_unrun(consumers, name, &first, &reason);
    if (result < 0)
        return problem("%s", reason.text);
    if (result > 0) {
        bool forwards = forward_note_find(consumers->directory, name, &note);
        day_format(first, day);
        problem("the %s %s has not %s its events of %s yet: run it, delete cursors/%s, or use --force",
                forwards ? "forwarder" : "consumer", name, forwards ? "forwarded" : "run", day, name);
        consumers->behind++;
    }
    return 0;
}

static int check_consumers(const struct config *config, int32_t keep) {
    static struct consumers consumers;
    struct reason reason = {""};
    struct directory directory = {.fd = -1, .lock = -1};
    directory_start(&directory, config->journal);
    int result = directory_open(&directory, &reason);
    consumers.directory = directory.fd;
    consumers.keep = keep;
    if (result == 0)
        result = cursor_each(directory.fd, check_consumer, &consumers, &reason);
    directory_close(&directory);
    if (result < 0)
        return problem("%s", reason.text);
    return result != 0 || consumers.behind > 0 ? STATUS_PROBLEM : STATUS_DONE;
}

/* ---- the counters of stats ---- */

struct counting {
    struct counters counters;
    int32_t keep;   /* the first day kept */
    int32_t before; /* previous value of `through` */
};

static int count_rejection(void *context, const struct rejection *rejection) {
    struct counting *counting = context;
    return rejection->day >= counting->keep || counters_add_rejection(&counting->counters, rejection) ? 0 : 1;
}

/* Adds the days before `keep` to the saved counters. Skips damaged lines. */
static int count_days(struct lines *lines, int32_t keep, struct counting *counting, struct reason *reason) {
    const struct filter all = {.since = INT64_MIN, .until = INT64_MAX};
    struct counters *counters = &counting->counters;
    int result = counters_read(lines->directory.fd, counters, reason);
    if (result != 0)
        return result;
    counting->before = counters->through;
    lines->damaged = UINT32_MAX; /* do not report them */
    int32_t first = counters->through + 1 > lines->first ? counters->through + 1 : lines->first;
    lines_start(lines, (struct position){.day = first});
    while (!lines->empty && first < keep && (result = lines_next(lines, &all)) > 0 &&
           lines->position.day < keep)
        if (!counters_add(counters, lines))
            return FAIL(reason, ERROR_SYSTEM, "out of memory for the counters");
    if (result < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read the days to be deleted");
    counting->keep = keep;
    result = rejected_each(lines->directory.fd, INT64_MIN, INT64_MAX, count_rejection, counting, reason);
    if (result != 0)
        return result < 0 ? result : FAIL(reason, ERROR_SYSTEM, "out of memory for the counters");
    counters->through = keep - 1 > counters->through ? keep - 1 : counters->through;
    return 0;
}

/* The caller holds the lock. Another prune may have come first. */
static int remember(void *context, int directory, struct reason *reason) {
    struct counting *counting = context;
    struct counters now;
    int result = counters_start(&now) ? counters_read(directory, &now, reason)
                                      : FAIL(reason, ERROR_SYSTEM, "out of memory for the counters");
    if (result == 0 && now.through != counting->before)
        result = FAIL(reason, ERROR_SYSTEM, "another prune is running: nothing was deleted; try again");
    counters_end(&now);
    return result == 0 ? counters_write(directory, &counting->counters, reason) : result;
}

static int count(const struct config *config, int32_t *keep, struct counting *counting,
                 struct reason *reason) {
    struct lines *lines = lines_open(config->journal);
    if (lines == NULL)
        return FAIL(reason, ERROR_SYSTEM, "nothing was deleted");
    int result = prune_first(lines->directory.fd, keep, reason);
    if (result == 0)
        result = count_days(lines, *keep, counting, reason);
    lines_close(lines);
    return result;
}

static void print_result(const struct pruned *pruned, bool dry_run) {
    char first[DAY_SIZE], last[DAY_SIZE];
    if (pruned->days == 0) {
        printf("Nothing to delete.\n");
        return;
    }
    day_format(pruned->first, first);
    day_format(pruned->last, last);
    printf("%s %u %s, %s to %s, %.1f MB.\n", dry_run ? "Would delete" : "Deleted", pruned->days,
           pruned->days == 1 ? "day" : "days", first, last, (double)pruned->bytes / 1e6);
}

/* Rebuilds the index. Each of its tables is larger than the last, so otherwise it would grow with every event
 * ever received. */
static int shrink_index(struct directory *directory) {
    struct reason reason;
    if (rebuild_index(directory, NULL, NULL, &reason) != 0)
        return problem("cannot shrink the index: %s; when that is fixed, run doorpost check --rebuild-index",
                       reason.text);
    printf("Rebuilt the index.\n");
    return STATUS_DONE;
}

static int prune_main(int argc, char *argv[]) {
    struct options options = {.keep = -1};
    struct config config;
    struct reason reason = {""};
    struct directory directory = {.fd = -1, .lock = -1};
    struct pruned pruned = {0};
    options_parse(argc, argv, &verb_prune, &options);
    if (options.keep < DAY_SECONDS)
        usage_error("--keep is required, and must be at least 1d; for example, --keep 90d");
    if (settings_load(&options.settings, NEED_JOURNAL, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    directory_start(&directory, config.journal);
    warn_of_replays(&config, options.keep);
    int32_t day = timestamp_day(timestamp_now() - options.keep * SECOND);
    if (!options.force && check_consumers(&config, day) != STATUS_DONE)
        return STATUS_PROBLEM;
    struct counting counting;
    const struct before before = {.call = remember, .context = &counting};
    int result = counters_start(&counting.counters) ? 0 : FAIL(&reason, ERROR_SYSTEM, "out of memory");
    if (result == 0 && !options.dry_run)
        result = count(&config, &day, &counting, &reason);
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    if (result == 0)
        result = prune_days(&directory, day, options.dry_run, &before, &deadline, &pruned, &reason);
    counters_end(&counting.counters);
    if (result == 0 || pruned.days > 0)
        print_result(&pruned, options.dry_run);
    int status = result == 0 ? STATUS_DONE : problem("%s", reason.text);
    if (result == 0 && pruned.index_stale)
        status = shrink_index(&directory);
    directory_close(&directory);
    return status;
}

static const struct option_spec table[] = {
    {'k', "keep", OPTION_DURATION, "TIME", "keep the days that began within this time, as in 90d", AT(keep)},
    {'n', "dry-run", OPTION_FLAG, NULL, "only show what would be deleted", AT(dry_run)},
    {'f', "force", OPTION_FLAG, NULL, "also delete events that a consumer has not run or forwarded yet",
     AT(force)},
    OPTION_CONF,
    OPTION_JOURNAL,
    {0}};

const struct verb verb_prune = {
    .name = "prune",
    .summary = "delete the oldest days",
    .synopsis = "--keep 90d [--dry-run]",
    .what = "Deletes the days of events and rejected deliveries that are older than --keep, while deliveries "
            "continue.\n"
            "The rest can still be verified from its first line. The newest day with events is always kept.",
    .options = table,
    .run = prune_main,
};
