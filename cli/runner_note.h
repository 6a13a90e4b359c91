/* Contents of a consumer's lock file, for people: the number of running commands, and the consumer's program.
 * Nothing depends on it. */
#ifndef DOORPOST_RUNNER_NOTE_H
#define DOORPOST_RUNNER_NOTE_H

#include "command.h"

struct runner_note {
    size_t running;
    bool missing;                    /* the program was missing when the consumer was last started */
    char program[COMMAND_PATH_SIZE]; /* from command_find(); "": unknown */
};

void runner_note_write(int lock, const struct runner_note *note);
void runner_note_read(int lock, struct runner_note *note);

#endif
