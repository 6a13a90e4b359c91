#include "failures.h"

#include "cursor.h"
#include "instructions.h"
#include "options.h"
#include "quote.h"
#include "terminal.h"
#include "waiting.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SHOWN 1024                /* bytes of an id or of output */
#define TIME_MAX INT64_C(253402300799) /* the end of the year 9999, in seconds */
#define PLAIN_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789 "

struct view {
    struct json_object *list;
    struct json_object *retrying; /* objects of events to be retried, by number */
    struct json_object *dropped;  /* numbers of events to be dropped */
};

static void add_time(struct json_object *one, const char *name, int64_t at) {
    char text[TIMESTAMP_SIZE];
    timestamp_format(at, text);
    json_object_object_add(one, name, json_object_new_string(text));
}

static struct json_object *add_one(struct json_object *list, uint64_t seq, int attempts, bool given_up) {
    struct json_object *one = json_object_new_object();
    json_object_object_add(one, "seq", json_object_new_int64((int64_t)seq));
    json_object_object_add(one, "attempts", json_object_new_int(attempts));
    json_object_object_add(one, "given_up", json_object_new_boolean(given_up));
    json_object_array_add(list, one);
    return one;
}

static void describe(struct json_object *one, const struct failure *failure) {
    json_object_object_add(one, "event_id", json_object_new_string(failure->event_id));
    add_time(one, "at", failure->at);
    json_object_object_add(one, "how", json_object_new_string(failure->how));
    json_object_object_add(one, "output",
                           json_object_new_string_len(failure->output, (int)failure->output_length));
}

void failures_add(struct json_object *list, const struct failure *failure, int64_t retry_at) {
    struct json_object *one = add_one(list, failure->seq, failure->attempts, retry_at == 0);
    if (retry_at != 0)
        add_time(one, "retry_at", retry_at);
    describe(one, failure);
}

static void add_given_up(void *context, const struct failure *failure) {
    const struct view *view = context;
    failures_add(view->list, failure, 0);
}

static void add_retry(struct view *view, uint64_t seq, int attempts, int64_t due) {
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, seq);
    if (json_object_object_get_ex(view->dropped, number, NULL))
        return;
    struct json_object *one = add_one(view->list, seq, attempts, false);
    add_time(one, "retry_at", due);
    json_object_object_add(view->retrying, number, json_object_get(one));
}

static void add_dropped(void *context, enum instruction what, uint64_t seq) {
    const struct view *view = context;
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, seq);
    if (what == INSTRUCTION_DROP)
        json_object_object_add(view->dropped, number, NULL);
}

static void add_waiting(void *context, const struct item *item) {
    if (item->attempts > 0)
        add_retry(context, item->seq, item->attempts, item->due);
}

static void add_recent(void *context, const struct failure *failure) {
    const struct view *view = context;
    struct json_object *one;
    char number[24];
    snprintf(number, sizeof number, "%" PRIu64, failure->seq);
    if (json_object_object_get_ex(view->retrying, number, &one))
        describe(one, failure);
}

static int fill(struct view *view, int directory, int lock, const char *name, struct reason *reason) {
    struct cursor *cursor = calloc(1, sizeof *cursor);
    if (cursor == NULL)
        return FAIL(reason, ERROR_SYSTEM, "out of memory for a cursor");
    int result = failed_each(directory, lock, name, add_given_up, view, reason);
    if (result >= 0)
        result = instructions_each(directory, name, add_dropped, view, reason);
    if (result >= 0)
        result = cursor_read(directory, name, cursor, reason);
    for (size_t i = 0; result > 0 && i < cursor->retry_count; i++)
        add_retry(view, cursor->retry[i].seq, (int)cursor->retry[i].attempts,
                  (cursor->retry[i].due < TIME_MAX ? cursor->retry[i].due : TIME_MAX) * SECOND);
    if (result >= 0)
        result = waiting_each(directory, name, add_waiting, view, reason);
    if (result > 0)
        problem("cursors/%s.waiting has %d damaged lines, whose events are not run (or the file is being "
                "written now)",
                name, result);
    if (result >= 0)
        result = failed_each_recent(directory, name, add_recent, view, reason);
    free(cursor);
    return result;
}

struct json_object *failures_list(int directory, int lock, const char *name, struct reason *reason) {
    struct view view = {.list = json_object_new_array(),
                        .retrying = json_object_new_object(),
                        .dropped = json_object_new_object()};
    if (fill(&view, directory, lock, name, reason) < 0) {
        json_object_put(view.list);
        view.list = NULL;
    }
    json_object_put(view.retrying);
    json_object_put(view.dropped);
    return view.list;
}

const char *failures_text(struct json_object *failure, const char *member) {
    struct json_object *value;
    return json_object_object_get_ex(failure, member, &value) ? json_object_get_string(value) : "";
}

/* Returns the output, which may contain NUL characters. */
static const char *output_of(struct json_object *failure, size_t *length) {
    struct json_object *value;
    *length =
        json_object_object_get_ex(failure, "output", &value) ? (size_t)json_object_get_string_len(value) : 0;
    return failures_text(failure, "output");
}

struct json_object *failures_newest(struct json_object *list) {
    struct json_object *newest = NULL;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *one = json_object_array_get_idx(list, i);
        if (newest == NULL || strcmp(failures_text(one, "at"), failures_text(newest, "at")) > 0)
            newest = one;
    }
    return newest;
}

struct json_object *failures_find(struct json_object *list, const char *id) {
    char text[QUOTE_SIZE(TEXT_SHOWN)];
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *one = json_object_array_get_idx(list, i);
        const char *event = failures_text(one, "event_id");
        if (strcmp(failures_text(one, "seq"), id) == 0 || (event[0] != '\0' && strcmp(event, id) == 0) ||
            (event[0] != '\0' && strcmp(event, plain(id, text, sizeof text)) == 0))
            return one;
    }
    return NULL;
}

void failures_print(struct json_object *failure, const char *name) {
    char id[QUOTE_SIZE(TEXT_SHOWN)], output[QUOTE_SIZE(TEXT_SHOWN)];
    size_t length;
    const char *text = output_of(failure, &length), *again = failures_text(failure, "retry_at");
    const char *how = failures_text(failure, "how");
    bool known =
        how[0] != '\0' && how[strspn(how, PLAIN_CHARACTERS)] == '\0'; /* the file may have been edited */
    printf("%s%s%s: event %s (%s), attempt %s at %s: %s, %s%s\n", colour(COLOUR_NAME), name,
           colour(COLOUR_NONE), failures_text(failure, "seq"),
           plain(failures_text(failure, "event_id"), id, sizeof id), failures_text(failure, "attempts"),
           known ? failures_text(failure, "at") : "an unknown time", known ? how : "failed",
           again[0] != '\0' ? "next attempt at " : "given up", again);
    if (length == 0)
        return;
    quote(output, sizeof output, text, length);
    printf("  %soutput: %s%s\n", colour(COLOUR_FAINT), output, colour(COLOUR_NONE));
}

void failures_summarize(struct json_object *list, const char *name, struct reason *out) {
    struct json_object *newest = failures_newest(list);
    size_t count = json_object_array_length(list), given_up = 0;
    char output[QUOTE_SIZE(100)];
    *out = (struct reason){""};
    if (newest == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        given_up += strcmp(failures_text(json_object_array_get_idx(list, i), "given_up"), "true") == 0;
    size_t length;
    const char *text = output_of(newest, &length);
    size_t shown = length < 100 ? length : 100;
    quote(output, sizeof output, text + length - shown, shown);
    explain(out,
            "%s has failed events: %zu to be retried, %zu given up (see `doorpost exec --failed`); the "
            "latest: %.40s, output %s",
            name, count - given_up, given_up, failures_text(newest, "how"), output);
}
