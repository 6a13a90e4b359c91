/* What `doorpost exec` shows of a consumer, whether it reads the journal or a database. */
#ifndef DOORPOST_CONSUMER_H
#define DOORPOST_CONSUMER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* The format of a message; for the event's number or id, and the consumer. */
#define CONSUMER_HAS_NOT_FAILED "no failed event %.200s for %s: see doorpost exec --failed"

struct consumer {
    const char *name;
    const char *state, *place; /* "running", "number 17" */
    const char *warning;       /* about the place; NULL: none */
    int64_t behind;            /* events not yet finished */
    int64_t behind_seconds;    /* since the oldest of them was received */
    int64_t in_flight, retrying, waiting, failed;
    struct json_object *last; /* the last failure, or NULL */
};

/* Prints the consumer for a person, or adds it to the members of an object. */
void consumer_print(const struct consumer *consumer);
void consumer_describe(const struct consumer *consumer, struct json_object *one);

/* Prints the consumer's failures, or moves them to the array `report` if that is not NULL. */
void consumer_print_failures(const char *name, struct json_object *failures, struct json_object *report);

/* Says when an event will be retried: `running`: there is someone to do it now. */
void consumer_print_retry(const char *name, int64_t number, bool running);

/* Explains that there is no consumer `only`, or (NULL) none at all. `from`: the database; NULL: it is the
 * journal `where`. */
void consumer_explain_none(const char *only, const char *where, const char *from);

#endif
