#include "forward_status.h"

#include "segment.h"
#include "terminal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct search {
    struct lines *lines;
    void (*visit)(void *context, const struct forward_status *status);
    void *context;
    int status;
};

static int examine(void *context, const char *name) {
    static struct cursor cursor;
    struct search *search = context;
    struct forward_status found = {.name = name};
    struct reason reason = {""};
    int directory = search->lines->directory.fd, result = 0;
    int lock = cursor_open_lock(directory, name, &reason);
    if (lock >= 0 && forward_note_read(lock, &found.note)) {
        found.process = cursor_holder(lock, CURSOR_LOCK_RUNNER);
        result = cursor_read(directory, name, &cursor, &reason);
    }
    if (lock >= 0)
        close(lock);
    if (lock < 0 || result < 0)
        search->status = problem("%s", reason.text);
    else if (result > 0 && lag_measure(search->lines, name, &cursor, true, &found.lag) != STATUS_DONE)
        search->status = STATUS_PROBLEM;
    else if (result > 0)
        search->visit(search->context, &found);
    return 0;
}

int forward_status_each(struct lines *lines,
                        void (*visit)(void *context, const struct forward_status *status), void *context) {
    struct search search = {.lines = lines, .visit = visit, .context = context};
    struct reason reason = {""};
    if (cursor_each(lines->directory.fd, examine, &search, &reason) != 0)
        return problem("%s", reason.text);
    return search.status;
}

/* ---- for people ---- */

struct show {
    const char *only; /* the forwarder to show; NULL: all */
    struct json_object *report;
    unsigned seen;
};

static void print_status(const struct forward_status *status, const char *segment, const char *failed_at) {
    const struct forward_note *note = &status->note;
    const struct lag *lag = &status->lag;
    printf("%s%s%s: %s, at %s byte %" PRIu64 ", %" PRIu64 " events and %" PRId64 " s behind, %" PRIu64
           " sent, %" PRIu64 " duplicates, %" PRIu64 " errors\n",
           colour(COLOUR_NAME), status->name, colour(COLOUR_NONE),
           status->process != 0 ? "running" : "not running", segment, lag->position.offset, lag->events,
           lag->seconds, note->sent, note->duplicates, note->errors);
    if (!lag->resume.holds)
        printf("  %sthe journal was edited, truncated, restored or replaced at that position: the whole "
               "journal will be sent again, and the database keeps each event once%s\n",
               colour(COLOUR_WARNING), colour(COLOUR_NONE));
    if (note->error_at > 0) {
        printf("  %s%s %s: ", colour(note->failing ? COLOUR_BAD : COLOUR_NONE),
               note->failing ? "failing since" : "the last failure, now over, began at", failed_at);
        print_visibly(stdout, note->error.text, strlen(note->error.text));
        printf("%s\n", colour(COLOUR_NONE));
    }
}

static struct json_object *describe(const struct forward_status *status, const char *segment,
                                    const char *failed_at) {
    const struct forward_note *note = &status->note;
    const struct lag *lag = &status->lag;
    struct json_object *one = json_object_new_object(), *failure = NULL;
    json_object_object_add(one, "name", json_object_new_string(status->name));
    json_object_object_add(one, "process",
                           status->process != 0 ? json_object_new_int(status->process) : NULL);
    json_object_object_add(one, "segment", json_object_new_string(segment));
    json_object_object_add(one, "byte", json_object_new_int64((int64_t)lag->position.offset));
    json_object_object_add(one, "place_holds", json_object_new_boolean(lag->resume.holds));
    json_object_object_add(one, "behind", json_object_new_int64((int64_t)lag->events));
    json_object_object_add(one, "behind_seconds", json_object_new_int64(lag->seconds));
    json_object_object_add(one, "sent", json_object_new_int64((int64_t)note->sent));
    json_object_object_add(one, "duplicates", json_object_new_int64((int64_t)note->duplicates));
    json_object_object_add(one, "errors", json_object_new_int64((int64_t)note->errors));
    json_object_object_add(one, "failing", json_object_new_boolean(note->failing));
    if (note->error_at > 0) {
        failure = json_object_new_object();
        json_object_object_add(failure, "at", json_object_new_string(failed_at));
        json_object_object_add(failure, "how", json_object_new_string(note->error.text));
    }
    json_object_object_add(one, "last_failure", failure);
    return one;
}

static void show_one(void *context, const struct forward_status *status) {
    struct show *show = context;
    char segment[SEGMENT_NAME_SIZE], failed_at[TIMESTAMP_SIZE];
    if (show->only != NULL && strcmp(show->only, status->name) != 0)
        return;
    show->seen++;
    segment_name(status->lag.position.day, segment);
    timestamp_format(status->note.error_at, failed_at);
    if (show->report != NULL)
        json_object_array_add(show->report, describe(status, segment, failed_at));
    else
        print_status(status, segment, failed_at);
}

int forward_status_show(const struct config *config, const char *name, bool json) {
    struct show show = {.only = name};
    struct lines *lines = lines_open(config->journal);
    if (lines == NULL)
        return STATUS_PROBLEM;
    show.report = json ? json_object_new_array() : NULL;
    int status = forward_status_each(lines, show_one, &show);
    if (json)
        print_json(show.report);
    else if (show.seen == 0 && name != NULL)
        explain_empty("No forwarder %s in %s: list them with `doorpost forward --status`.", name,
                      config->journal);
    else if (show.seen == 0)
        explain_empty("No forwarders in %s yet: start one with `doorpost forward --to URL`.",
                      config->journal);
    json_object_put(show.report);
    lines_close(lines);
    return status;
}
