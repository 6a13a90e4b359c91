/* The tail of the journal: its newest segment, open, and where the next line goes. */
#ifndef DOORPOST_TAIL_H
#define DOORPOST_TAIL_H

#include "mark.h"

#include <sys/stat.h>

struct tail {
    int fd;             /* -1: the journal has no segment yet */
    struct stat status; /* which file that is */
    bool read_only;
    int32_t day;
    uint64_t end; /* of the last whole line; UINT64_MAX: it has to be looked for */
    struct chain_state
        chain;             /* the chain state there, and how many numbers are skipped before the next one */
    struct reason warning; /* of the last tail_find(): what a person should know, or "" */
};

void tail_close(struct tail *tail);

/* Opens the segment of `day`, the newest one, if the open one is not what that name stands for now, and finds
 * its end. If the line break of a whole line is missing there, or is another byte, it is put right; the
 * beginning of a line after `known`, which was never acknowledged then, is cut off. Anything else that is no
 * line is damage, or may be: it is kept in damaged/DAY-OFFSET before it is cut off, and told in
 * tail->warning. `known` is the last line and the highest number that are known to have been written; a day
 * of 0: none is. Numbers up to known->seq are not given again.
 *
 * The caller holds the append lock. Returns 0; ERROR_INVALID if there is no such segment; or ERROR_TROUBLE
 * with a reason, and the tail is closed then. */
int tail_find(struct tail *tail, int directory, int32_t day, const struct mark *known, struct reason *reason);

/* Where the chain stands before the first line of `day`: after the last line of the segments before it, whose
 * end is repaired like that of the newest one. `warning` may be NULL. The caller holds the append lock. */
int tail_chain_before(int directory, int32_t day, struct chain_state *chain, struct reason *warning,
                      struct reason *reason);

/* Sets *mark to the end of the last line of a day's segment that can be read; an offset and a seq of 0 if
 * there is none. No lock required. Returns 1, 0 if there is no such segment, or ERROR_TROUBLE. */
int tail_mark(int directory, int32_t day, struct mark *mark, struct reason *reason);

/* Calls visit for each file in damaged/, with its name and size, and whether it is the beginning of a line.
 * Returns how many there are, or ERROR_TROUBLE with a reason. */
int tail_each_damaged(int directory,
                      void (*visit)(void *context, const char *name, uint64_t bytes, bool torn),
                      void *context, struct reason *reason);

/* Returns true if the bytes after a day's last whole line are what a writer leaves that was killed: the
 * beginning of a line, which was never acknowledged. */
bool tail_is_torn(const char *rest, size_t length);

#endif
