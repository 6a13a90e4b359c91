/* The journal: a directory that keeps each event once, in the order of arrival, and whatever was signed but
 * unusable beside it. */
#ifndef DOORPOST_JOURNAL_H
#define DOORPOST_JOURNAL_H

#include "event.h"
#include "lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many entries one append takes. */
#define JOURNAL_BATCH 128

enum outcome {
    OUTCOME_TROUBLE,   /* not kept, or not known to be on the disk; see `reason` */
    OUTCOME_STORED,    /* on the disk, as number `seq` */
    OUTCOME_DUPLICATE, /* was there before, as number `seq`, and is on the disk */
    OUTCOME_REJECTED   /* on the disk, in rejected/ */
};

/* Something signed, to be kept. */
struct entry {
    char *body; /* line breaks are turned into spaces in place */
    size_t length;
    const char *key;           /* fingerprint of the key that verified it */
    const char *signature;     /* as signature_format() writes it */
    int64_t received_at;       /* microseconds since 1970 */
    const struct event *event; /* what the body says, or NULL: then it goes to rejected/ for `rejection` */
    const char *rejection;
    enum outcome outcome; /* this and the rest are set when it is kept, or not */
    uint64_t seq;
    struct reason reason;
};

struct journal;

/* Opens nothing yet: a journal that is not there is trouble for an append, and no longer once it is there.
 * `path` is copied. NULL when there is no memory. */
struct journal *journal_new(const char *path);
void journal_free(struct journal *journal);

/* Keeps every entry, or says in its outcome why not. All that an outcome other than OUTCOME_TROUBLE says is
 * on the disk when this returns. Takes the append lock, waits for it until the deadline, and holds it for the
 * writes but not for the syncs. `count` is JOURNAL_BATCH at most. */
void journal_append(struct journal *journal, struct entry *entries[], size_t count,
                    const struct deadline *deadline);

/* The two halves of journal_append(): journal_write() for what is done under the lock, journal_sync() for the
 * wait for the disk, which sets the outcomes; `entries` has to stay until then. The second half may be
 * another thread's, as long as nobody else uses the journal meanwhile. */
void journal_write(struct journal *journal, struct entry *entries[], size_t count,
                   const struct deadline *deadline);
void journal_sync(struct journal *journal);

/* What can wait until the answers are out: a step of the index's checkpoint. Trouble with it is told in
 * `reason` and harms no answer; returns 0, or an error after which nothing is left to do. */
int journal_upkeep(struct journal *journal, const struct deadline *deadline, struct reason *reason);

/* The current day on the journal's clock, microseconds since 1970; tests set it. NULL: timestamp_now. */
void journal_set_clock(struct journal *journal, int64_t (*now)(void));

/* The first table's size in buckets, for tests that want the index to grow early; before the first append. */
int journal_set_first_buckets(struct journal *journal, unsigned first_buckets);

#endif
