/* The tail of the journal: its newest segment, open, and where the next line goes. */
#ifndef DOORPOST_TAIL_H
#define DOORPOST_TAIL_H

#include "mark.h"

#include <sys/stat.h>

struct tail {
    int file;           /* -1: the journal has no segment yet */
    struct stat status; /* which file that is */
    bool read_only;
    int32_t day;
    uint64_t end;          /* of the last whole line; UINT64_MAX: it has to be looked for */
    struct link link;      /* the chain state there, and how many numbers are skipped before the next one */
    struct reason warning; /* of the last tail_find(): what a person should know, or "" */
};

void tail_close(struct tail *tail);

/* Opens the segment of `day`, the newest one, if the open one is not what that name stands for now, and finds
 * its end. An incomplete last line that looks like the beginning of one was never acknowledged and is cut
 * off; if only its line break is missing, it is completed. Anything else at the end is damage: it is kept in
 * damaged/DAY-OFFSET (and .2 after it, if there was damage before) before it is cut off, and told in
 * tail->warning. So is everything that reaches beyond `known`, the last line and the highest number that are
 * known to have been written. Numbers up to known->seq are not given again.
 *
 * The caller holds the append lock. Returns 0; ERROR_INVALID if there is no such segment; or ERROR_TROUBLE
 * with a reason, and the tail is closed then. */
int tail_find(struct tail *tail, int directory, int32_t day, const struct mark *known, struct reason *reason);

/* Where the chain stands before the first line of `day`: after the last line of the segments before it. An
 * incomplete line there was a whole one when the next day began, so it is kept, then cut off, if the file can
 * be written to. The caller holds the append lock. */
int tail_link_before(int directory, int32_t day, struct link *link, struct reason *reason);

/* Sets *mark to the end of the last line of a day's segment that can be read; an offset and a seq of 0 if
 * there is none. No lock required. Returns 1, 0 if there is no such segment, or ERROR_TROUBLE.
 */
int tail_mark(int directory, int32_t day, struct mark *mark, struct reason *reason);

#endif
