/* What has failed for a consumer, for people and programs that ask. */
#ifndef DOORPOST_FAILURES_H
#define DOORPOST_FAILURES_H

#include "error.h"

#include <json-c/json.h>

/* A list of objects, to be freed with json_object_put(): "seq", "attempts", "given_up"; of those that are
 * tried again "retry_at"; and unless that is not known any more "event_id", "at", "how" and "output". First
 * what was given up, then what is tried again. `lock` is the consumer's. NULL with a reason in trouble. */
struct json_object *failures_list(int directory, int lock, const char *name, struct reason *reason);

/* The newest one; NULL if nothing has failed. Belongs to the list. */
struct json_object *failures_newest(struct json_object *list);

/* The one with that number or id; NULL if it is not there. Belongs to the list. */
struct json_object *failures_find(struct json_object *list, const char *id);

/* Writes it on standard output as a line, with its output in a second one. */
void failures_print(struct json_object *failure, const char *name);

/* Says in a sentence what has failed for the consumer; "" if nothing has. */
void failures_summarize(struct json_object *list, const char *name, struct reason *out);

/* Returns a text member, or "". */
const char *failures_text(struct json_object *failure, const char *member);

#endif
