/* A consumer's failures, for display. */
#ifndef DOORPOST_FAILURES_H
#define DOORPOST_FAILURES_H

#include "error.h"
#include "failed.h"

#include <json-c/json.h>

/* Returns a list of objects, to be freed with json_object_put(): events given up, then events to be retried.
 * Members: "seq", "attempts", "given_up"; "retry_at" if to be retried; and "event_id", "at", "how" and
 * "output" if still known. `lock` is the consumer's lock file. Returns NULL with a reason on error. */
struct json_object *failures_list(int directory, int lock, const char *name, struct reason *reason);

/* Adds a failure to such a list. `retry_at`: in microseconds since 1970; 0: it was given up. */
void failures_add(struct json_object *list, const struct failure *failure, int64_t retry_at);

/* Returns the newest failure, owned by the list; NULL if there is none. */
struct json_object *failures_newest(struct json_object *list);

/* Returns the failure with that number or event id, owned by the list; NULL if there is none. */
struct json_object *failures_find(struct json_object *list, const char *id);

/* Prints the failure as one line, and its output, if any, as a second one. */
void failures_print(struct json_object *failure, const char *name);

/* Summarizes the consumer's failures in one sentence; "" if there are none. */
void failures_summarize(struct json_object *list, const char *name, struct reason *out);

/* Returns a member as text, or "". */
const char *failures_text(struct json_object *failure, const char *member);

#endif
