/* What Ring says happened: the fields of a payload that Doorpost needs. Everything else stays in the body,
 * which is kept byte for byte. */
#ifndef DOORPOST_EVENT_H
#define DOORPOST_EVENT_H

#include "error.h"
#include "ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_FIELD_SIZE (RING_TEXT_LIMIT + 1)
#define EVENT_DEPTH 64                    /* of nested objects and arrays */
#define EVENT_TEST_DEVICE "doorpost.test" /* the device of presses that only try whether all works */

struct event {
    char request_id[EVENT_FIELD_SIZE]; /* meta.request_id: the same in every retry of one delivery */
    char id[EVENT_FIELD_SIZE];         /* data.id: opaque */
    char type[EVENT_FIELD_SIZE];       /* data.type */
    char sub_type[EVENT_FIELD_SIZE];   /* data.attributes.sub_type or data.subType, or "" */
    char account[EVENT_FIELD_SIZE];    /* meta.account_id, or "" */
    char device[EVENT_FIELD_SIZE];     /* data.attributes.source where source_type is "devices", or "" */
    int64_t timestamp;                 /* data.attributes.timestamp, milliseconds since 1970, or 0 */
    bool time_given;                   /* there is a meta.time, and it is not null */
    bool has_time;                     /* and it can be read as a time */
    int64_t time;                      /* meta.time, microseconds since 1970, if has_time */
};

struct event_parser;

/* One parser serves any number of payloads, one after another. NULL when there is no memory. */
struct event_parser *event_parser_new(void);
void event_parser_free(struct event_parser *parser);

/* Reads a payload: one JSON text (RFC 8259, to the letter, without a byte order mark) with the members that
 * Ring documents for its type. Members and types that are not known are no error, and neither is anything
 * unusual in members that are not needed. Of a member given twice the last one counts, as for jq and
 * JSON.parse; a NUL in any member name is refused, because readers disagree on it. Returns 0; ERROR_INVALID
 * with a reason that names the member; or ERROR_TROUBLE when there is no memory. */
int event_parse(struct event_parser *parser, const char *body, size_t length, struct event *event,
                struct reason *reason);

/* Part of a body. */
struct span {
    const char *text;
    size_t length;
};

/* The two identifiers of a body that event_parse() takes, as it reads them, but much faster. Returns false if
 * they cannot be told without reading the JSON: if there is a backslash in the body, or "request_id" or "id",
 * with its quotation marks, is not in it exactly once. Of any other body the result means nothing. */
bool event_identifiers(const char *body, size_t length, struct span *request_id, struct span *id);

#endif
