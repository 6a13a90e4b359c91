/* The order of a node's numbers is no finding: after its journal was restored from a backup, later lines
 * have numbers that earlier ones had; and lines that are sent again come late. Nor are gaps: another node has
 * those events, or the numbers were used up by duplicates. What the keys of the table decide must be true,
 * though: an identifier that differs from the body's would let a duplicate in, or keep an event out. */
#include "check_stream.h"

#include "event.h"
#include "events.h"
#include "options.h"
#include "quote.h"
#include "terminal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PROGRESS_EVERY 4096 /* events */

struct check {
    struct findings *findings;
    struct events *events;
    struct event_parser *parser;
    struct event event;
    struct stored stored; /* the current row */
    uint64_t total;
};

/* Reports a finding on the current row. */
__attribute__((format(printf, 2, 3))) static void found(struct check *check, const char *format, ...) {
    const struct stored *stored = &check->stored;
    char what[512], name[64], detail[320], node[QUOTE_SIZE(256)];
    struct json_object *place = json_object_new_object();
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    json_object_object_add(place, "number", json_object_new_int64(stored->number));
    json_object_object_add(place, "node", json_object_new_string(stored->node));
    json_object_object_add(place, "seq", json_object_new_int64(stored->seq));
    snprintf(name, sizeof name, "event %" PRId64, stored->number);
    snprintf(detail, sizeof detail, "line %" PRId64 " of %.255s", stored->seq,
             plain(stored->node, node, sizeof node));
    findings_add(check->findings, place, name, detail, what);
}

static void check_signature(struct check *check) {
    const struct stored *stored = &check->stored;
    const struct record record = {
        .key = stored->key,
        .signature = stored->signature,
        .event = stored->body,
        .event_length = stored->length,
        .verbatim = stored->verbatim,
    };
    if (strlen(stored->key) != FINGERPRINT_SIZE - 1 || strlen(stored->signature) != SIGNATURE_TEXT_SIZE - 1)
        found(check, "the key or the signature is damaged");
    else if (!findings_verify(check->findings, &record))
        found(
            check,
            "the signature does not match: key %.8s gives a different signature for this event: the row was "
            "changed",
            stored->key);
}

static void compare(struct check *check, const char *column, const char *stored, const char *parsed) {
    if (strcmp(stored, parsed) != 0)
        found(check, "column %s is \"%.150s\", and the body has \"%.150s\": the row was changed", column,
              stored, parsed);
}

static void check_row(struct check *check) {
    const struct stored *stored = &check->stored;
    const struct event *event = &check->event;
    struct reason reason = {""};
    check_signature(check);
    if (event_parse(check->parser, stored->body, stored->length, &check->event, &reason) != 0) {
        found(check, "the body cannot be read: %s", reason.text);
        return;
    }
    compare(check, "request_id", stored->request_id, event->request_id);
    compare(check, "event_id", stored->event_id, event->id);
    compare(check, "type", stored->type, event->type);
    compare(check, "sub_type", stored->sub_type, event->sub_type);
    compare(check, "device", stored->device, event->device);
    compare(check, "account", stored->account, event->account);
    int64_t pressed = event->timestamp > 0 && event->timestamp < TIMESTAMP_END ? event->timestamp : 0;
    if (stored->pressed_at != pressed)
        found(check,
              "column pressed_at is %" PRId64 ", and the body has %" PRId64
              " (milliseconds since 1970): the row was changed",
              stored->pressed_at, pressed);
}

static int check_all(struct check *check, struct reason *reason) {
    struct progress progress;
    int result = events_refresh(check->events, reason);
    if (result != 0)
        return result;
    progress_start(&progress, "checking", (uint64_t)events_last(check->events));
    events_start(check->events, 1);
    while ((result = events_next(check->events, &check->stored, reason)) > 0) {
        check_row(check);
        if (++check->total % PROGRESS_EVERY == 0)
            progress_show(&progress, (uint64_t)check->stored.number);
    }
    progress_end(&progress);
    return result;
}

int check_stream(const char *where, struct findings *findings) {
    static const struct selection all = {.since = INT64_MIN, .until = INT64_MAX};
    static struct check check;
    struct reason reason = {""};
    int status = STATUS_DONE;
    check = (struct check){.findings = findings, .parser = event_parser_new()};
    check.events = events_new(where, false, &all, &reason);
    if (check.events == NULL)
        usage_error("%s", reason.text);
    if (check.parser == NULL)
        status = problem("out of memory");
    else if (check_all(&check, &reason) != 0)
        status = problem("%s", reason.text);
    else if (findings->json)
        status = findings_report(findings, "events", check.total, NULL);
    else
        findings_summarize(findings, "events", check.total, "");
    events_free(check.events);
    event_parser_free(check.parser);
    return findings->count > 0 ? STATUS_PROBLEM : status;
}
