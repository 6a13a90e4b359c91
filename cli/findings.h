/* What `doorpost check` finds in a journal or a stream: signatures, and what is wrong. */
#ifndef DOORPOST_FINDINGS_H
#define DOORPOST_FINDINGS_H

#include "keys.h"
#include "record.h"

struct json_object;

struct findings {
    bool json;         /* one JSON object at the end, instead of text */
    struct keys *keys; /* NULL: signatures are not checked */
    int key;           /* the one used last */
    uint64_t verified, unknown_key, not_verbatim, count;
    struct json_object *list;
};

/* Starts; the keys stay the caller's. Returns 0, or prints the reason and returns STATUS_PROBLEM. */
int findings_start(struct findings *findings, bool json, struct keys *keys);
void findings_end(struct findings *findings);

/* Adds a finding: its place as JSON, which is taken over, and as text, a name and a detail. The first hundred
 * are shown. */
void findings_add(struct findings *findings, struct json_object *place, const char *name, const char *detail,
                  const char *what);

/* Verifies and counts the signature of a line, if there are keys. Returns false if it does not match. */
bool findings_verify(struct findings *findings, const struct record *record);

/* Prints the JSON object: `total` lines or events, as `unit` says; `index` is what happened to the index, or
 * NULL if there is none. Returns 0 or STATUS_PROBLEM. */
int findings_report(const struct findings *findings, const char *unit, uint64_t total, const char *index);

/* Prints the same as text; `index` is a part of the sentence. */
void findings_summarize(const struct findings *findings, const char *unit, uint64_t total, const char *index);

#endif
