/* A signed delivery on its way into the journal, and what became of it. */
#ifndef DOORPOST_ENTRY_H
#define DOORPOST_ENTRY_H

#include "disposition.h"
#include "event.h"

/* How many entries one append takes. */
#define JOURNAL_BATCH 128

struct entry {
    char *body; /* line breaks are turned into spaces in place */
    size_t length;
    const char *key;           /* fingerprint of the key that verified it */
    const char *signature;     /* as signature_format() writes it */
    int64_t received_at;       /* microseconds since 1970 */
    const struct event *event; /* what the body says, or NULL: then it goes to rejected/ for `rejection` */
    const char *rejection;
    /* An event that was sent before this time (microseconds since 1970; 0: no limit) by the clock is stale,
     * and goes to rejected/ if the journal does not hold it. So that a clock that is wrong refuses nothing
     * for good, the event must be as old (`max_age`, microseconds) by the newest line of the journal too; if
     * there is none, by `known_time`, a time that has certainly passed. */
    int64_t stale_before, max_age, known_time;
    /* Set by the journal: UNAVAILABLE (see `reason`), STORED, DUPLICATE or REJECTED (see `rejection`). All
     * but the first mean that it is on the disk. */
    enum disposition disposition;
    uint64_t seq; /* of STORED; of DUPLICATE, the original's */
    struct reason reason;
};

/* Limits the age of an entry's event to `max_age` seconds before it was received. `known_time` is in
 * microseconds. */
static inline void entry_set_age(struct entry *entry, int64_t max_age, int64_t known_time) {
    entry->max_age = max_age * INT64_C(1000000);
    entry->stale_before = entry->received_at - entry->max_age;
    entry->known_time = known_time;
}

#endif
