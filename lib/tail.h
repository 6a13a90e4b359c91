/* The tail of the journal: its newest segment, open, and the position of the next line. */
#ifndef DOORPOST_TAIL_H
#define DOORPOST_TAIL_H

#include "mark.h"

#include <sys/stat.h>

struct tail {
    int fd;             /* -1: the journal has no segment yet */
    struct stat status; /* identifies the file */
    bool read_only;
    int32_t day;
    uint64_t end;             /* of the last complete line; UINT64_MAX: must be searched for */
    struct chain_state chain; /* there; `damaged` numbers are skipped */
    struct reason warning;    /* of the last tail_find(), for the operator, or "" */
};

void tail_close(struct tail *tail);

/* Opens the segment of `day`, the newest one, unless the open file still has that name, and finds its end.
 * Completes a line whose line break is missing or altered. Cuts off a partial line after `known`,
 * which was never acknowledged. Anything else that is not a line may be damage: it is saved to
 * damaged/DAY-OFFSET before it is cut off, and reported in tail->warning. `known` is the last line and the
 * highest number known to be written; a day of 0 means none. Numbers up to known->seq are not reused.
 *
 * The caller holds the append lock. Returns 0; ERROR_INVALID if there is no such segment; or ERROR_SYSTEM
 * with a reason, and the tail is then closed. */
int tail_find(struct tail *tail, int directory, int32_t day, const struct mark *known, struct reason *reason);

/* Sets the chain state before the first line of `day`: that after the last line of the segments before it,
 * whose end is repaired like that of the newest. `warning` may be NULL. The caller holds the append lock. */
int tail_chain_before(int directory, int32_t day, struct chain_state *chain, struct reason *warning,
                      struct reason *reason);

/* Sets *mark to the end of the last readable line of a day's segment, or offset and seq 0 if there is
 * none. No lock required. Returns 1, 0 if there is no such segment, or ERROR_SYSTEM. */
int tail_mark(int directory, int32_t day, struct mark *mark, struct reason *reason);

/* Calls visit for each file in damaged/ with its name, its size, and whether it is a partial line. Returns
 * the number of files, or ERROR_SYSTEM with a reason. */
int tail_each_damaged(int directory,
                      void (*visit)(void *context, const char *name, uint64_t bytes, bool torn),
                      void *context, struct reason *reason);

/* Returns true if the bytes after a day's last complete line are what a killed writer leaves: a partial
 * line, which was never acknowledged. */
bool tail_is_torn(const char *rest, size_t length);

#endif
