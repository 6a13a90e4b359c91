/* Comparing the index with the journal. */
#ifndef DOORPOST_AUDIT_H
#define DOORPOST_AUDIT_H

#include "directory.h"

#include "index/index.h"

/* Compares the index with the journal. The two must hold the same fingerprints and places; sums over what
 * each holds tell that without holding either in memory. */
struct audit {
    struct directory *directory;
    struct index *index;
    bool absent;             /* there is no index: it is made at the next delivery; or it was */
    bool left_out;           /* because this user cannot lock the journal */
    struct position reached; /* lines before it must be in it */
    uint64_t indexed, found;
    int32_t first;
};

/* Opens the index and sums it up; `first` is the first day of the journal. Takes the append lock for a
 * moment. Returns 0 or an error: ERROR_DAMAGED if it has to be rebuilt. audit_end() follows in either
 * case. */
int audit_start(struct audit *audit, struct directory *directory, int32_t first,
                const struct deadline *deadline, struct reason *reason);

/* A line of the journal, with its identifiers. */
void audit_line(struct audit *audit, struct position position, const char *request_id, size_t request_length,
                const char *id, size_t id_length);

/* After the last line: do they agree? */
bool audit_agrees(const struct audit *audit);

/* Where they do not: is this line in the index? Returns 1, 0, or an error with a reason. */
int audit_find(struct audit *audit, struct position position, const char *request_id, size_t request_length,
               const char *id, size_t id_length, struct reason *reason);
void audit_end(struct audit *audit);

#endif
