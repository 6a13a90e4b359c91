/* A signed delivery to be appended to the journal, and its disposition. */
#ifndef DOORPOST_ENTRY_H
#define DOORPOST_ENTRY_H

#include "disposition.h"
#include "event.h"

/* The maximum number of entries in one append. */
#define JOURNAL_BATCH 128

struct entry {
    char *body; /* line breaks are replaced by spaces in place */
    size_t length;
    const char *key;           /* fingerprint of the key that verified it */
    const char *signature;     /* as signature_format() writes it */
    int64_t received_at;       /* of this delivery, also if it is a duplicate; microseconds since 1970 */
    const struct event *event; /* parsed from the body, or NULL: goes to rejected/ because of `rejection` */
    const char *rejection;
    /* An event sent before `stale_before` (microseconds since 1970; 0: no limit) is stale, and goes to
     * rejected/ if it is not in the journal. So that a wrong clock rejects nothing permanently, the event
     * must also be older than `max_age` (microseconds) by the newest line of the journal, or if there is
     * none, by `known_time`, a time that has certainly passed. */
    int64_t stale_before, max_age, known_time;
    /* Set by the journal: UNAVAILABLE (see `reason`), STORED, DUPLICATE or REJECTED (see `rejection`). All
     * but the first mean that it is durable. */
    enum disposition disposition;
    uint64_t seq; /* of STORED; of DUPLICATE, the original's, which may be in the same batch */
    struct reason reason;
};

/* Limits the age of an entry's event to `max_age` seconds when it is received. `known_time` is in
 * microseconds. */
static inline void entry_set_age(struct entry *entry, int64_t max_age, int64_t known_time) {
    entry->max_age = max_age * INT64_C(1000000);
    entry->stale_before = entry->received_at - entry->max_age;
    entry->known_time = known_time;
}

#endif
