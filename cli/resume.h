/* Where a consumer resumes: at its position if that is verified, else at the first line that it has not run.
 */
#ifndef DOORPOST_RESUME_H
#define DOORPOST_RESUME_H

#include "cursor.h"

struct resume {
    struct mark was;  /* the cursor's */
    struct mark mark; /* read from after this; day 0: read all. Verified, if there is any line */
    bool holds;       /* `was` is verified, or its day was deleted after all of it was run; if not: */
    bool reused;      /* numbers up to that of `was` were reused, so the time of receipt decides */
    int32_t first;    /* first day with a segment; 0 if there is none */
    uint64_t next;    /* first line that was not run; 0 if there is none */
};

/* Fills in *resume. `directory` is the journal's descriptor. Reads the whole journal if the position does not
 * hold. Returns 0, or ERROR_SYSTEM with a reason. */
int resume_find(int directory, const struct cursor *cursor, struct resume *resume, struct reason *reason);

/* Returns true if the line is new to the consumer, given that it is after the mark and not in the cursor's
 * `done`. */
bool resume_is_new(const struct resume *resume, const struct record *record, int32_t day);

/* Explains in one sentence why a position does not hold. */
void resume_explain(const struct resume *resume, const char *name, struct reason *out);

/* Finds the mark before the first line with that number or a higher one, or at the end of the journal. */
int resume_at(int directory, uint64_t seq, struct mark *mark, struct reason *reason);

/* Calls visit for each readable line of the days `first` to `last` until it returns true. Returns 1 if it
 * did, 0 if not, or ERROR_SYSTEM with a reason. */
int resume_visit(int directory, int32_t first, int32_t last,
                 bool (*visit)(void *context, const struct record *record, struct position begin,
                               struct position end),
                 void *context, struct reason *reason);

/* Finds the line with that number for which `accepts` returns 1 (otherwise 0, or an error): first in the day
 * of *position, then in the others. Returns 1 with its start in *position, 0 if there is none, or an error
 * with a reason. */
int resume_seek(int directory, uint64_t seq, struct position *position,
                int (*accepts)(void *context, const struct record *record, struct reason *reason),
                void *context, struct reason *reason);

#endif
