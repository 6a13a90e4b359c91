/* What a consumer's lock file says, for people: how many commands run, and which program the consumer has.
 * Nothing depends on it. */
#ifndef DOORPOST_RUNNER_NOTE_H
#define DOORPOST_RUNNER_NOTE_H

#include "command.h"

struct runner_note {
    size_t running;
    bool missing;                    /* the program was, when the consumer was started last */
    char program[COMMAND_PATH_SIZE]; /* as command_find() tells it; "": not known */
};

void runner_note_write(int lock, const struct runner_note *note);
void runner_note_read(int lock, struct runner_note *note);

#endif
