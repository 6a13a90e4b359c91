/* doorpost exec --status, --failed, --drop and --retry: a consumer's progress and failures. */
#include "status.h"

#include "consumer.h"
#include "failed.h"
#include "failures.h"
#include "forward_note.h"
#include "instructions.h"
#include "lag.h"
#include "quote.h"
#include "runner_note.h"
#include "segment.h"
#include "terminal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What --status reports about a consumer of the journal. */
struct status_of {
    struct consumer consumer;
    struct lag lag;
    int process; /* 0: not running */
    char segment[SEGMENT_NAME_SIZE], place[SEGMENT_NAME_SIZE + 32];
    struct reason warning;
};

static void add_lag(struct status_of *shown) {
    struct consumer *consumer = &shown->consumer;
    const struct lag *lag = &shown->lag;
    segment_name(lag->position.day, shown->segment);
    snprintf(shown->place, sizeof shown->place, "%s byte %" PRIu64, shown->segment, lag->position.offset);
    consumer->state = shown->process != 0 ? "running" : "not running";
    consumer->place = shown->place;
    consumer->behind = (int64_t)lag->events;
    consumer->behind_seconds = lag->seconds;
    consumer->retrying = (int64_t)lag->retrying;
    consumer->waiting = (int64_t)lag->waiting;
    resume_explain(&lag->resume, consumer->name, &shown->warning);
    consumer->warning = !lag->resume.holds ? shown->warning.text : NULL;
}

static void report_consumer(const struct status_of *shown, struct json_object *report) {
    const struct lag *lag = &shown->lag;
    struct json_object *one = json_object_new_object();
    json_object_object_add(one, "name", json_object_new_string(shown->consumer.name));
    json_object_object_add(one, "process", shown->process != 0 ? json_object_new_int(shown->process) : NULL);
    json_object_object_add(one, "segment", json_object_new_string(shown->segment));
    json_object_object_add(one, "byte", json_object_new_int64((int64_t)lag->position.offset));
    json_object_object_add(one, "place_holds", json_object_new_boolean(lag->resume.holds));
    consumer_describe(&shown->consumer, one);
    json_object_array_add(report, one);
}

static int show_consumer(struct lines *lines, const char *name, struct json_object *report) {
    static struct cursor cursor;
    struct status_of shown = {.consumer = {.name = name}};
    struct consumer *consumer = &shown.consumer;
    struct reason reason = {""};
    struct runner_note note;
    int found = cursor_read(lines->directory.fd, name, &cursor, &reason);
    if (found <= 0)
        return found < 0 ? problem("%s", reason.text) : STATUS_DONE;
    int lock = cursor_open_lock(lines->directory.fd, name, &reason);
    if (lock < 0)
        return problem("%s", reason.text);
    shown.process = cursor_holder(lock, CURSOR_LOCK_RUNNER);
    runner_note_read(lock, &note);
    consumer->in_flight = shown.process != 0 ? (int64_t)note.running : 0;
    consumer->failed = failed_each(lines->directory.fd, lock, name, NULL, NULL, &reason);
    struct json_object *failures =
        consumer->failed >= 0 ? failures_list(lines->directory.fd, lock, name, &reason) : NULL;
    close(lock);
    if (failures == NULL)
        return problem("%s", reason.text);
    consumer->last = failures_newest(failures);
    int status = lag_measure(lines, name, &cursor, false, &shown.lag);
    add_lag(&shown);
    if (status == STATUS_DONE && report == NULL)
        consumer_print(consumer);
    else if (status == STATUS_DONE)
        report_consumer(&shown, report);
    json_object_put(failures);
    return status;
}

/* ---- all consumers ---- */

struct show {
    struct lines *lines;
    const char *only; /* consumer to show; NULL: all */
    int (*show)(struct lines *lines, const char *name, struct json_object *report);
    struct json_object *report;
    int status;
    unsigned seen;
};

static int show_one(void *context, const char *name) {
    struct show *show = context;
    struct forward_note note;
    if (show->only != NULL && strcmp(show->only, name) != 0)
        return 0;
    if (forward_note_find(show->lines->directory.fd, name, &note))
        return 0; /* see `doorpost forward --status` */
    show->seen++;
    if (show->show(show->lines, name, show->report) != STATUS_DONE)
        show->status = STATUS_PROBLEM;
    return 0;
}

static int show_all(const struct config *config, struct show *show, bool json) {
    struct reason reason = {""};
    show->lines = lines_open(config->journal);
    if (show->lines == NULL)
        return STATUS_PROBLEM;
    show->report = json ? json_object_new_array() : NULL;
    if (cursor_each(show->lines->directory.fd, show_one, show, &reason) != 0)
        show->status = problem("%s", reason.text);
    if (json)
        print_json(show->report);
    else if (show->seen == 0)
        consumer_explain_none(show->only, config->journal, NULL);
    json_object_put(show->report);
    lines_close(show->lines);
    return show->status;
}

int status_show(const struct config *config, const char *name, bool json) {
    struct show show = {.only = name, .show = show_consumer};
    return show_all(config, &show, json);
}

/* ---- failures ---- */

/* Returns NULL after printing the reason. */
static struct json_object *read_failures(int directory, const char *name) {
    struct reason reason = {""};
    int lock = cursor_open_lock(directory, name, &reason);
    struct json_object *failures = lock >= 0 ? failures_list(directory, lock, name, &reason) : NULL;
    if (lock >= 0)
        close(lock);
    if (failures == NULL)
        problem("%s", reason.text);
    return failures;
}

static int show_failures(struct lines *lines, const char *name, struct json_object *report) {
    struct json_object *failures = read_failures(lines->directory.fd, name);
    if (failures == NULL)
        return STATUS_PROBLEM;
    consumer_print_failures(name, failures, report);
    json_object_put(failures);
    return STATUS_DONE;
}

int status_show_failed(const struct config *config, const char *name, bool json) {
    struct show show = {.only = name, .show = show_failures};
    return show_all(config, &show, json);
}

/* ---- one event ---- */

struct choice {
    const char *name, *id;
    bool drop;
    bool to_run; /* the caller runs it: no runner retries it */
};

static int choose(int directory, int lock, struct choice *choice, struct reason *reason) {
    struct json_object *failures = failures_list(directory, lock, choice->name, reason);
    struct json_object *one = failures != NULL ? failures_find(failures, choice->id) : NULL;
    uint64_t seq = one != NULL ? strtoull(failures_text(one, "seq"), NULL, 10) : 0;
    bool given_up = one != NULL && strcmp(failures_text(one, "given_up"), "true") == 0;
    json_object_put(failures);
    if (failures == NULL)
        return ERROR_SYSTEM;
    if (!choice->drop && (seq == 0 || given_up)) {
        choice->to_run = true;
        return 0;
    }
    if (seq == 0)
        return FAIL(reason, ERROR_INVALID, CONSUMER_HAS_NOT_FAILED, choice->id, choice->name);
    if (given_up)
        return failed_remove(directory, lock, choice->name, seq, reason);
    int result = instructions_add(directory, lock, choice->name,
                                  choice->drop ? INSTRUCTION_DROP : INSTRUCTION_RETRY, seq, reason);
    if (result == 0 && !choice->drop)
        consumer_print_retry(choice->name, (int64_t)seq, cursor_holder(lock, CURSOR_LOCK_RUNNER) != 0);
    return result;
}

static int choose_in(const struct config *config, struct choice *choice) {
    char text[QUOTE_SIZE(200)];
    struct reason reason = {""};
    struct directory directory = {.fd = -1, .lock = -1};
    directory_start(&directory, config->journal);
    int result = directory_open(&directory, &reason);
    int lock = result == 0 ? cursor_open_lock(directory.fd, choice->name, &reason) : -1;
    choice->id = plain(choice->id, text, sizeof text);
    if (lock >= 0) {
        result = choose(directory.fd, lock, choice, &reason);
        close(lock);
    }
    directory_close(&directory);
    return lock >= 0 && result == 0 ? STATUS_DONE : problem("%s", reason.text);
}

int status_drop(const struct config *config, const char *name, const char *id) {
    struct choice choice = {.name = name, .id = id, .drop = true};
    return choose_in(config, &choice);
}

int status_retry(const struct config *config, const char *name, const char *id, bool *to_run) {
    struct choice choice = {.name = name, .id = id};
    int status = choose_in(config, &choice);
    *to_run = choice.to_run;
    return status;
}
