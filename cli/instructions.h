/* cursors/NAME.instructions: what the runner of a consumer, or the next one, is to do with events that are
 * tried again. */
#ifndef DOORPOST_TOLD_H
#define DOORPOST_TOLD_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

enum instruction {
    INSTRUCTION_DROP, /* it is not run again */
    INSTRUCTION_RETRY /* it is tried again at once */
};

/* `directory` is the journal's descriptor, `lock` that of the consumer's lock file. */

/* Adds one, durably. Returns 0 or an error with a reason. */
int instructions_add(int directory, int lock, const char *name, enum instruction what, uint64_t seq,
                     struct reason *reason);

/* Is there any? */
bool instructions_any(int directory, const char *name);

/* Calls visit for each. Returns 0, also if there is none, or an error with a reason. If they are to be
 * forgotten after that, the caller holds the lock for the list of failed events meanwhile. */
int instructions_each(int directory, const char *name,
                      void (*visit)(void *context, enum instruction what, uint64_t seq), void *context,
                      struct reason *reason);
void instructions_forget(int directory, const char *name);

#endif
