/* An event from Ring: the payload fields that Doorpost needs. The body itself is stored byte for byte. */
#ifndef DOORPOST_EVENT_H
#define DOORPOST_EVENT_H

#include "error.h"
#include "ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_FIELD_SIZE (RING_TEXT_LIMIT + 1)
#define EVENT_DEPTH 64                    /* of nested objects and arrays */
#define EVENT_TEST_DEVICE "doorpost.test" /* the device of test presses */

struct event {
    char request_id[EVENT_FIELD_SIZE]; /* meta.request_id: the same in every retry of one delivery */
    char id[EVENT_FIELD_SIZE];         /* data.id: opaque */
    char type[EVENT_FIELD_SIZE];       /* data.type */
    char sub_type[EVENT_FIELD_SIZE];   /* data.attributes.sub_type or data.subType, or "" */
    char account[EVENT_FIELD_SIZE];    /* meta.account_id, or "" */
    char device[EVENT_FIELD_SIZE];     /* data.attributes.source if source_type is "devices", or "" */
    int64_t timestamp;                 /* data.attributes.timestamp, milliseconds since 1970, or 0 */
    bool time_is_present;              /* meta.time exists and is not null */
    bool has_time;                     /* and is a valid time */
    int64_t time;                      /* meta.time, microseconds since 1970, if has_time */
};

struct event_parser;

/* A parser can parse any number of payloads, one at a time. Returns NULL if out of memory. */
struct event_parser *event_parser_new(void);
void event_parser_free(struct event_parser *parser);

/* Parses a payload: one JSON text (strict RFC 8259, no byte order mark) with the members that Ring documents
 * for its type. Unknown members and types, and unexpected values of members that are not needed, are allowed.
 * If a member is repeated, the last one counts, as in jq and JSON.parse; a NUL in any member name is
 * rejected, because readers disagree on it. Returns 0; ERROR_INVALID with a reason that names the member; or
 * ERROR_SYSTEM if out of memory. */
int event_parse(struct event_parser *parser, const char *body, size_t length, struct event *event,
                struct reason *reason);

/* Part of a body. */
struct span {
    const char *text;
    size_t length;
};

/* Finds the same two identifiers as event_parse(), but much faster. Returns false if that needs a JSON
 * parser: if the body contains a backslash, or does not contain "request_id" and "id", with quotation marks,
 * exactly once each. The result is meaningless if event_parse() rejects the body. */
bool event_identifiers(const char *body, size_t length, struct span *request_id, struct span *id);

#endif
