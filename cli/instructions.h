/* cursors/NAME.instructions: tells the current or next runner of a consumer what to do with events that await
 * a retry. */
#ifndef DOORPOST_INSTRUCTIONS_H
#define DOORPOST_INSTRUCTIONS_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

enum instruction {
    INSTRUCTION_DROP, /* do not run it again */
    INSTRUCTION_RETRY /* retry it at once */
};

/* `directory` is the journal's descriptor, `lock` that of the consumer's lock file. */

/* Appends one, durably. Returns 0 or an error with a reason. */
int instructions_add(int directory, int lock, const char *name, enum instruction what, uint64_t seq,
                     struct reason *reason);

/* Returns true if there are any. */
bool instructions_any(int directory, const char *name);

/* Calls visit for each. Returns 0, even if there is none, or an error with a reason. A caller that will clear
 * them afterwards holds the lock of the list of failed events throughout. */
int instructions_each(int directory, const char *name,
                      void (*visit)(void *context, enum instruction what, uint64_t seq), void *context,
                      struct reason *reason);
void instructions_forget(int directory, const char *name);

#endif
