/* A mark: a position in the journal that can be verified. */
#ifndef DOORPOST_MARK_H
#define DOORPOST_MARK_H

#include "walk.h"

/* The end of a line, and the identity of that line. A file may be edited, cut, replaced or restored after
 * a mark was noted, so a mark is trusted only after mark_check(). */
struct mark {
    struct position position;         /* where the next line begins */
    uint64_t seq;                     /* of the line that ends there; 0: unknown, any line matches */
    char chain[CHAIN_SIZE];           /* of that line; "": unknown, only the number is compared */
    char received_at[TIMESTAMP_SIZE]; /* of that line, not compared; "": unknown */
};

/* The mark after a line that ends at `end`. */
struct mark mark_of(const struct record *record, struct position end);

/* Reads the identity of the line that ends at a position. `directory` is the journal's descriptor. Returns
 * 1, with seq 0 if the line cannot be read; 0 if no line ends there, as at the start of a day; or
 * ERROR_SYSTEM with a reason. */
int mark_read(int directory, struct position position, struct mark *mark, struct reason *reason);

/* Returns 1 if the line still ends there, and always at the start of a day; 0 if the file is missing,
 * shorter, or holds something else there; or ERROR_SYSTEM with a reason. */
int mark_check(int directory, const struct mark *mark, struct reason *reason);

struct line {
    const char *text; /* without its line break */
    size_t length;
    uint64_t offset; /* in the file */
};

/* Reads the line that ends at `end` into `text` (RECORD_LIMIT + 1 bytes). At the end of the file, the line
 * break may be missing. Returns 1; 0 if no line ends there; or ERROR_SYSTEM with a reason. */
int mark_line(int directory, struct position end, char *text, struct line *line, struct reason *reason);

#endif
