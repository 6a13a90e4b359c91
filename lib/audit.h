/* Compares the index with the journal. */
#ifndef DOORPOST_AUDIT_H
#define DOORPOST_AUDIT_H

#include "directory.h"

#include "index/index.h"

/* Both must hold the same fingerprints and positions. Comparing sums avoids keeping either in memory. */
struct audit {
    struct directory *directory;
    struct index *index;
    bool absent;             /* no index: the next delivery creates it; or skipped */
    bool skipped;            /* this user cannot lock the journal */
    struct position reached; /* all lines before it must be indexed */
    uint64_t indexed, found;
    int32_t first;
};

/* Opens the index and computes its sum; `first` is the first day of the journal. Takes the append lock
 * briefly. Returns 0 or an error: ERROR_DAMAGED if the index must be rebuilt. Call audit_end() in either
 * case. */
int audit_start(struct audit *audit, struct directory *directory, int32_t first,
                const struct deadline *deadline, struct reason *reason);

/* Adds a line of the journal and its identifiers. */
void audit_line(struct audit *audit, struct position position, const char *request_id, size_t request_length,
                const char *id, size_t id_length);

/* After the last line: returns true if the index and the journal agree. */
bool audit_agrees(const struct audit *audit);

/* If they disagree: returns 1 if this line is in the index, 0 if not, or an error with a reason. */
int audit_find(struct audit *audit, struct position position, const char *request_id, size_t request_length,
               const char *id, size_t id_length, struct reason *reason);
void audit_end(struct audit *audit);

#endif
