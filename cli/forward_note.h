/* Contents of a forwarder's lock file, cursors/NAME.lock, for people and monitoring; nothing depends on it.
 */
#ifndef DOORPOST_FORWARD_NOTE_H
#define DOORPOST_FORWARD_NOTE_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

struct forward_note {
    uint64_t sent;       /* events that were new to the database */
    uint64_t duplicates; /* events that it had: from another node, or sent before */
    uint64_t errors;
    int64_t error_at;    /* microseconds since 1970; 0: none */
    struct reason error; /* the last one */
    bool failing;        /* it has not been overcome */
};

void forward_note_write(int lock, const struct forward_note *note);

/* Returns true if the lock file is a forwarder's. */
bool forward_note_read(int lock, struct forward_note *note);

/* Returns true if the lock file is that of a consumer of `doorpost exec`, which has written something else
 * there. */
bool forward_note_is_foreign(int lock);

/* forward_note_read() for a consumer in the journal `directory` (a descriptor). Not for a process that holds
 * one of the consumer's locks: it would lose it. */
bool forward_note_find(int directory, const char *name, struct forward_note *note);

#endif
