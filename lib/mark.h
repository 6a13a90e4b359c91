/* A mark: a place in the journal that proves itself. */
#ifndef DOORPOST_MARK_H
#define DOORPOST_MARK_H

#include "walk.h"

/* The end of a line, and which line ends there. A file may be edited, cut, replaced or restored after a mark
 * was noted; a mark is believed only after mark_check(). */
struct mark {
    struct position position;         /* where the next line begins */
    uint64_t seq;                     /* of the line that ends there; 0: not known, any line will do */
    char chain[CHAIN_SIZE];           /* which that line says; "": not known, the number alone is compared */
    char received_at[TIMESTAMP_SIZE]; /* and its time of receipt, which is not compared; "": not known */
};

/* The mark after a line that ends at `end`. */
struct mark mark_of(const struct record *record, struct position end);

/* Reads which line ends at a place. `directory` is the journal's descriptor. Returns 1, with seq 0 if that
 * line cannot be read; 0 if no line ends there, the start of a day included; or ERROR_TROUBLE with a reason
 * if that could not be found out. */
int mark_read(int directory, struct position position, struct mark *mark, struct reason *reason);

/* Does the line still end there? Returns 1, also for the start of a day, which claims nothing; 0 if the file
 * is gone, is shorter, or holds something else there; or ERROR_TROUBLE with a reason. */
int mark_check(int directory, const struct mark *mark, struct reason *reason);

struct line {
    const char *text; /* without its line break */
    size_t length;
    uint64_t offset; /* in the file */
};

/* Reads the line that ends at `end` into `text` (RECORD_LIMIT + 1 bytes). At the end of the file its line
 * break may be missing. Returns 1; 0 if no line ends there; or ERROR_TROUBLE with a reason. */
int mark_line(int directory, struct position end, char *text, struct line *line, struct reason *reason);

#endif
