/* doorpost check: reads the whole journal once and verifies each line's form, the chain, the numbers, Ring's
 * signatures with the configured keys, and that the index holds exactly what the journal holds. The merged
 * stream is checked by check_stream.c. */
#include "audit.h"
#include "check_stream.h"
#include "event.h"
#include "findings.h"
#include "prune.h"
#include "quote.h"
#include "rebuild.h"
#include "segment.h"
#include "settings.h"
#include "tail.h"
#include "terminal.h"
#include "verbs.h"
#include "walk.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TIMEOUT (10 * SECOND)
#define PROGRESS_EVERY 4096 /* lines */

struct options {
    struct settings settings;
    bool rebuild, no_signatures, json;
};

struct check {
    const struct options *options;
    struct directory directory;
    struct findings findings;
    struct event_parser *parser;
    struct event event;
    struct audit audit;
    bool auditing;
    int32_t first, last;
    uint64_t lines, bytes;
    struct position position;  /* the current line */
    uint64_t line;             /* its number in its file, from 1 */
    struct chain_state before; /* the chain state before that line */
    bool proven;               /* the chain proves that it is unchanged */
    struct progress progress;
    struct walk walk;
};

/* ---- findings ---- */

/* Reports a finding on the current line. */
__attribute__((format(printf, 2, 3))) static void found(struct check *check, const char *format, ...) {
    char what[512], file[SEGMENT_NAME_SIZE], name[SEGMENT_NAME_SIZE + 24], detail[32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    segment_name(check->position.day, file);
    snprintf(name, sizeof name, "%s:%" PRIu64, file, check->line);
    snprintf(detail, sizeof detail, "byte %" PRIu64, check->position.offset);
    struct json_object *place = json_object_new_object();
    json_object_object_add(place, "file", json_object_new_string(file));
    json_object_object_add(place, "line", json_object_new_int64((int64_t)check->line));
    json_object_object_add(place, "byte", json_object_new_int64((int64_t)check->position.offset));
    findings_add(&check->findings, place, name, detail, what);
}

/* ---- one line ---- */

/* Finds a line's identifiers. Returns false if its event cannot be parsed. */
static bool identify(struct check *check, const struct record *record, struct span *request,
                     struct span *id) {
    if (check->proven && event_identifiers(record->event, record->event_length, request, id))
        return true;
    if (event_parse(check->parser, record->event, record->event_length, &check->event, NULL) != 0)
        return false;
    *request = (struct span){check->event.request_id, strlen(check->event.request_id)};
    *id = (struct span){check->event.id, strlen(check->event.id)};
    return true;
}

/* Reports numbers that are skipped although the chain is intact: those lines were damaged at the end of the
 * file. */
static void check_number(struct check *check, uint64_t seq) {
    uint64_t expected = check->before.seq + check->before.damaged + 1;
    static const char why[] = "damaged, or truncated at the end of the file, before this line was written";
    if (!check->before.known || check->before.seq == 0 || seq <= expected)
        return;
    if (seq == expected + 1)
        found(check, "line %" PRIu64 " is missing: it was %s", expected, why);
    else
        found(check, "lines %" PRIu64 " to %" PRIu64 " are missing: they were %s", expected, seq - 1, why);
}

static void check_line(struct check *check, enum scan scan, const struct record *record) {
    struct span request, id;
    check->lines++;
    if (scan == SCAN_DAMAGED) {
        found(check, "damaged: these bytes are not a line written by Doorpost");
        return;
    }
    if (scan == SCAN_RECORD)
        check_number(check, record->seq);
    if (scan == SCAN_UNCHAINED)
        found(check,
              "the chain is broken: line %" PRIu64
              " was edited, or lines before it were removed, added or moved",
              record->seq);
    if (!findings_verify(&check->findings, record))
        found(check,
              "the signature does not match: line %" PRIu64
              " names key %.8s, which gives a different signature for this event",
              record->seq, record->key);
    if (!check->auditing || check->audit.absent)
        return;
    if (identify(check, record, &request, &id))
        audit_line(&check->audit, check->position, request.text, request.length, id.text, id.length);
    else if (scan == SCAN_RECORD)
        found(check, "damaged: the event of line %" PRIu64 " cannot be read", record->seq);
}

/* ---- the whole journal ---- */

static uint64_t size_of(const struct check *check, int32_t day) {
    char name[SEGMENT_NAME_SIZE];
    struct stat status;
    segment_name(day, name);
    return fstatat(check->directory.fd, name, &status, 0) == 0 ? (uint64_t)status.st_size : 0;
}

static uint64_t total_size(const struct check *check) {
    uint64_t total = 0;
    for (int32_t day = check->first; day <= check->last; day++)
        total += size_of(check, day);
    return total;
}

/* Checks the bytes after the last line break. In the newest day, the beginning of a line is no finding: a
 * writer may be about to complete it. */
static void check_rest(struct check *check, int32_t day, uint64_t offset) {
    char text[4096];
    uint64_t size = size_of(check, day);
    check->position = (struct position){.day = day, .offset = offset};
    check->line++;
    if (offset >= size)
        return;
    int fd = segment_open(check->directory.fd, day, false, NULL);
    ssize_t got = fd >= 0 ? pread(fd, text, sizeof text, (off_t)offset) : -1;
    if (fd >= 0)
        close(fd);
    bool torn = got > 0 && memchr(text, '\n', (size_t)got) == NULL && tail_is_torn(text, (size_t)got);
    if (!torn)
        found(check, "damaged: %" PRIu64 " bytes without a line break are not a line written by Doorpost%s",
              size - offset, day == check->last ? "; the next delivery moves them to damaged/" : "");
    else if (day != check->last)
        found(check,
              "%" PRIu64
              " bytes without a line break: an incomplete line, whose delivery was never answered 200",
              size - offset);
}

static void tell_damaged(void *context, const char *name, uint64_t bytes, bool torn) {
    struct check *check = context;
    char quoted[QUOTE_SIZE(NAME_MAX)];
    check->line = 0;
    check->position = (struct position){.day = check->last};
    if (strlen(name) > DAY_SIZE && day_parse(name, DAY_SIZE - 1, &check->position.day) == 0)
        check->position.offset = strtoull(name + DAY_SIZE, NULL, 10);
    if (!torn)
        found(check,
              "%" PRIu64 " damaged bytes were removed here and saved in damaged/%s: recover what you can, "
              "and move that file away",
              bytes, name);
    else if (!check->options->json)
        printf("damaged/%s holds an incomplete line that was removed: its delivery was most likely never "
               "answered 200.\n",
               plain(name, quoted, sizeof quoted));
}

/* Finds the chain state before the first line, using that line's number. */
static int find_chain_start(struct check *check, struct chain_state *chain, struct reason *reason) {
    enum scan scan;
    struct record record;
    struct position position;
    int result;
    walk_start(&check->walk, check->directory.fd, (struct position){.day = check->first},
               (struct chain_state){.known = false});
    walk_until(&check->walk, check->last);
    do
        result = walk_next(&check->walk, &scan, &record, &position, reason);
    while (result > 0 && scan == SCAN_DAMAGED);
    walk_end(&check->walk);
    *chain = chain_start();
    if (result <= 0)
        return result;
    result = prune_chain(check->directory.fd, record.seq, chain, reason);
    if (result == 0 && !check->options->json)
        printf("The journal begins with line %" PRIu64
               ", whose chain cannot be verified: the days before it were deleted without\n"
               "`doorpost prune`.\n",
               record.seq);
    return result;
}

static int walk_all(struct check *check, void (*visit)(struct check *, enum scan, const struct record *),
                    struct chain_state chain, struct reason *reason) {
    struct progress *progress = &check->progress;
    enum scan scan;
    struct record record;
    struct chain_state before = chain;
    struct position next = {.day = check->first};
    uint64_t done = 0;
    int result;
    progress_start(progress, "checking", total_size(check));
    walk_start(&check->walk, check->directory.fd, next, chain);
    walk_until(&check->walk, check->last);
    check->line = 0;
    while ((result = walk_next(&check->walk, &scan, &record, &check->position, reason)) > 0) {
        struct position position = check->position;
        check->proven = scan == SCAN_RECORD && before.known && before.damaged == 0;
        check->before = before;
        before = walk_chain(&check->walk);
        if (position.day != next.day) {
            if (visit == check_line)
                check_rest(check, next.day, next.offset);
            check->position = position;
            check->line = 0;
        }
        check->line++;
        next = walk_position(&check->walk);
        done += next.offset - position.offset;
        visit(check, scan, &record);
        if (check->line % PROGRESS_EVERY == 0)
            progress_show(progress, done);
    }
    walk_end(&check->walk);
    progress_end(progress);
    check->bytes = done;
    if (result == 0 && visit == check_line) {
        check_rest(check, next.day, next.offset);
        if (tail_each_damaged(check->directory.fd, tell_damaged, check, reason) < 0)
            return ERROR_SYSTEM;
    }
    return result;
}

/* For a second pass if index and journal differ: reports the lines that the index lacks. */
static void check_indexed(struct check *check, enum scan scan, const struct record *record) {
    struct span request, id;
    struct reason reason = {""};
    if (scan == SCAN_DAMAGED || !identify(check, record, &request, &id))
        return;
    int held =
        audit_find(&check->audit, check->position, request.text, request.length, id.text, id.length, &reason);
    if (held == 0)
        found(check,
              "line %" PRIu64 " is not in the index, so a duplicate of it would be stored again: run "
              "doorpost check --rebuild-index",
              record->seq);
    else if (held < 0)
        found(check, "line %" PRIu64 ": %s: run doorpost check --rebuild-index", record->seq, reason.text);
}

static int check_all(struct check *check, struct reason *reason) {
    struct chain_state chain;
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    int result = find_chain_start(check, &chain, reason);
    if (result < 0)
        return result;
    result = audit_start(&check->audit, &check->directory, check->first, &deadline, reason);
    check->auditing = true;
    if (result == ERROR_DAMAGED) {
        check->position = (struct position){.day = check->last};
        problem("%s: it is rebuilt at the next delivery, or by doorpost check --rebuild-index", reason->text);
        check->findings.count++;
        check->audit.absent = true;
    } else if (result != 0)
        return result;
    result = walk_all(check, check_line, chain, reason);
    if (result == 0 && !check->audit.absent && !audit_agrees(&check->audit)) {
        uint64_t lines = check->lines;
        result = walk_all(check, check_indexed, chain, reason);
        check->lines = lines;
    }
    return result;
}

/* ---- reporting ---- */

static int print_result(const struct check *check) {
    bool skipped = check->audit.skipped, absent = check->audit.absent;
    if (check->options->json)
        return findings_report(&check->findings, "lines", check->lines,
                               skipped  ? "left out"
                               : absent ? "absent"
                                        : "compared");
    findings_summarize(&check->findings, "lines", check->lines,
                       skipped  ? ", index not compared (this user cannot lock the journal)"
                       : absent ? ", no index"
                                : ", index compared");
    return STATUS_DONE;
}

static void show_step(void *context, struct position position) {
    struct check *check = context;
    uint64_t done = position.offset;
    for (int32_t day = check->first; day < position.day; day++)
        done += size_of(check, day);
    progress_show(&check->progress, done);
}

static int rebuild(struct check *check, struct reason *reason) {
    progress_start(&check->progress, "indexing", total_size(check));
    int result = rebuild_index(&check->directory, show_step, check, reason);
    progress_end(&check->progress);
    return result;
}

static int run(struct check *check) {
    struct reason reason = {""};
    int found_days = segment_range(check->directory.fd, 0, DAY_MAX, &check->first, &check->last, &reason);
    if (found_days > 0 && check->options->rebuild && rebuild(check, &reason) < 0)
        found_days = ERROR_SYSTEM;
    check->audit.absent = true;
    if (found_days < 0 || (found_days > 0 && check_all(check, &reason) != 0))
        return problem("%s", reason.text);
    int status = print_result(check);
    return check->findings.count > 0 ? STATUS_PROBLEM : status;
}

static int check_journal(const struct options *options, const struct config *config, struct keys *keys) {
    struct reason reason = {""};
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL)
        return problem("out of memory");
    check->options = options;
    check->walk.fd = -1;
    check->parser = event_parser_new();
    directory_start(&check->directory, config->journal);
    int status = findings_start(&check->findings, options->json, keys);
    if (status == STATUS_DONE && check->parser == NULL)
        status = problem("out of memory");
    if (status == STATUS_DONE)
        status = directory_open(&check->directory, &reason) == 0 ? run(check) : problem("%s", reason.text);
    if (check->auditing)
        audit_end(&check->audit);
    findings_end(&check->findings);
    event_parser_free(check->parser);
    directory_close(&check->directory);
    free(check);
    return status;
}

static int check_database(const struct options *options, struct keys *keys) {
    struct findings findings;
    int status = findings_start(&findings, options->json, keys);
    if (status == STATUS_DONE)
        status = check_stream(options->settings.from, &findings);
    findings_end(&findings);
    return status;
}

static int check_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    struct keys *keys = NULL;
    options_parse(argc, argv, &verb_check, &options);
    bool journal = options.settings.from == NULL;
    if (!journal && (options.settings.journal != NULL || options.rebuild))
        usage_error("--from and --%s cannot be combined", options.rebuild ? "rebuild-index" : "journal");
    unsigned needs =
        (journal ? NEED_JOURNAL : NEED_NOTHING) | (options.no_signatures ? NEED_NOTHING : NEED_KEYS);
    if (needs != NEED_NOTHING && settings_load(&options.settings, needs, &config) != STATUS_DONE) {
        if (!options.no_signatures)
            fputs("To check without keys: doorpost check --no-signatures\n", stderr);
        return STATUS_PROBLEM;
    }
    if (!options.no_signatures && (keys = settings_keys(&config)) == NULL)
        return STATUS_PROBLEM;
    int status = journal ? check_journal(&options, &config, keys) : check_database(&options, keys);
    keys_free(keys);
    return status;
}

static const struct option_spec table[] = {
    {0, "rebuild-index", OPTION_FLAG, NULL, "rebuild the index first", AT(rebuild)},
    {0, "no-signatures", OPTION_FLAG, NULL, "do not verify signatures; no key is needed", AT(no_signatures)},
    {0, "json", OPTION_FLAG, NULL, "one JSON object", AT(json)},
    OPTION_CONF,
    OPTION_JOURNAL,
    OPTION_FROM,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_check = {
    .name = "check",
    .summary = "verify the whole journal; rebuild the index",
    .synopsis = "[--rebuild-index | --from URL] [--no-signatures] [--json]",
    .what =
        "Verifies the whole journal: format, numbers and chain of every line, its signature if the key is\n"
        "configured, and that the index matches the journal. Reports each damaged line by file, line and "
        "byte.\n"
        "Deliveries continue meanwhile.\n"
        "With --from: verifies the merged stream in a database: the signature of every event, and that its "
        "row's\n"
        "columns say what Ring's body says.",
    .options = table,
    .run = check_main,
};
