/* One batch on its way through journal_append(): what each entry turns out to be, and what becomes of it. */
#ifndef DOORPOST_BATCH_H
#define DOORPOST_BATCH_H

#include "append.h"
#include "dedup.h"
#include "entry.h"
#include "rejected.h"
#include "segment.h"

enum classification {
    CLASS_UNKNOWN, /* not known: our trouble */
    CLASS_NEW,
    CLASS_DUPLICATE,          /* of a line in the journal */
    CLASS_DUPLICATE_IN_BATCH, /* of a new entry */
    CLASS_REJECTED,           /* goes to rejected/ */
    CLASS_REJECTED_BEFORE     /* is there already, or stands earlier in this batch */
};

/* Arrays are by entry unless they say otherwise. */
struct batch {
    struct entry **entries;
    size_t count;
    int result; /* of journal_write(): not 0, and nothing of the batch is kept */
    struct reason reason, warning;
    struct append append;
    struct rejected rejected;
    enum classification classification[JOURNAL_BATCH];
    size_t original[JOURNAL_BATCH]; /* of DISPOSITION_REPEATED_IN_BATCH: the new entry */
    int owned_fd[JOURNAL_BATCH]; /* the file of a line that is not in the newest segment, to be synced; else
                                      -1 */
    size_t added[JOURNAL_BATCH]; /* the new entries in order; the arrays below are by position in it */
    size_t new_count;
    uint64_t offset[JOURNAL_BATCH];
    uint64_t end;
    char header[JOURNAL_BATCH][RECORD_HEADER_SIZE];
    struct iovec parts[3 * JOURNAL_BATCH];
    char text[RECORD_LIMIT + 1]; /* of a line that is looked at */
};

void batch_start(struct batch *batch, struct entry *entries[], size_t count);

/* Decides every entry. `directory` is the journal's descriptor. Returns 0, or an error with a reason that
 * concerns the whole batch. */
int batch_classify(struct batch *batch, struct dedup *dedup, const struct tail *tail, int directory,
                   const struct deadline *deadline, struct reason *reason);

/* Lays out the lines of the new entries for the end of the tail, after `link`, which it steps on. */
void batch_compose(struct batch *batch, const struct tail *tail, struct chain_state *chain);

/* Notes in the index what was appended. */
void batch_index(const struct batch *batch, struct dedup *dedup, const struct tail *tail);

/* Appends what is to be rejected to rejected/. */
int batch_write_rejected(struct batch *batch, struct dedup *dedup, int directory, int32_t day,
                         struct reason *reason);

/* Returns true if an answer depends on the newest segment being synced. */
bool batch_needs_tail(const struct batch *batch);

/* Sets the dispositions; `sync` is how the sync of the newest segment ended. Syncs what else has to be. */
void batch_finish(struct batch *batch, enum sync sync);

#endif
