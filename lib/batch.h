/* One batch in journal_append(): the classification and disposition of each entry. */
#ifndef DOORPOST_BATCH_H
#define DOORPOST_BATCH_H

#include "append.h"
#include "dedup.h"
#include "entry.h"
#include "rejected.h"
#include "segment.h"

enum classification {
    CLASS_UNKNOWN, /* an error prevented classification */
    CLASS_NEW,
    CLASS_DUPLICATE,          /* of a line in the journal */
    CLASS_DUPLICATE_IN_BATCH, /* of a new entry */
    CLASS_REJECTED,           /* goes to rejected/ */
    CLASS_REJECTED_BEFORE     /* already in rejected/, or earlier in this batch */
};

/* Arrays are indexed by entry unless noted otherwise. */
struct batch {
    struct entry **entries;
    size_t count;
    int result; /* of journal_write(); if not 0, nothing of the batch is kept */
    struct reason reason, warning;
    struct append append;
    struct rejected rejected;
    enum classification classification[JOURNAL_BATCH];
    size_t original[JOURNAL_BATCH]; /* of CLASS_DUPLICATE_IN_BATCH: the new entry */
    int owned_fd[JOURNAL_BATCH];    /* descriptor of an older segment or rejected/ file to sync, or -1 */
    size_t added[JOURNAL_BATCH];    /* the new entries in order; it indexes the arrays below */
    size_t new_count;
    uint64_t offset[JOURNAL_BATCH];
    uint64_t end;
    char header[JOURNAL_BATCH][RECORD_HEADER_SIZE];
    struct iovec parts[3 * JOURNAL_BATCH];
    char text[RECORD_LIMIT + 1]; /* the line being examined */
};

void batch_start(struct batch *batch, struct entry *entries[], size_t count);

/* Classifies every entry. `directory` is the journal's descriptor. Returns 0, or an error with a reason that
 * applies to the whole batch. */
int batch_classify(struct batch *batch, struct dedup *dedup, const struct tail *tail, int directory,
                   const struct deadline *deadline, struct reason *reason);

/* Composes the lines of the new entries for the end of the tail, and advances `chain` past them. */
void batch_compose(struct batch *batch, const struct tail *tail, struct chain_state *chain);

/* Adds the appended lines to the index. */
void batch_index(const struct batch *batch, struct dedup *dedup, const struct tail *tail);

/* Appends the CLASS_REJECTED entries to rejected/. */
int batch_write_rejected(struct batch *batch, struct dedup *dedup, int directory, int32_t day,
                         struct reason *reason);

/* Returns true if an answer requires syncing the newest segment. */
bool batch_needs_tail(const struct batch *batch);

/* Syncs any other files, and sets the dispositions; `sync` is the result for the newest segment. */
void batch_finish(struct batch *batch, enum sync sync);

#endif
