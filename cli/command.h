/* A command that is run for an event: a process group of its own, with the event on its standard input and
 * its output passed on line by line. No shell is involved. */
#ifndef DOORPOST_COMMAND_H
#define DOORPOST_COMMAND_H

#include "event.h"
#include "quote.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMAND_LINE 4096 /* longer lines of output are passed on in parts */
#define COMMAND_TAIL 1024 /* bytes of output that are remembered */
#define COMMAND_KILL_AFTER (5 * SECOND)

/* What the environment of the command says of its event. */
struct invocation {
    const struct event *event;
    const char *received_at; /* as the journal has it */
    uint64_t seq;
    int attempt;
};

/* The fields belong to command.c. All times are monotonic_now()'s. */
struct command {
    pid_t pid;
    int in, out; /* our ends of its pipes; -1: closed */
    char *body;
    size_t length, written;
    int64_t deadline, kill_at;
    bool timed_out, stopped;
    char id[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    size_t line_length, tail_length;
    char line[COMMAND_LINE];
    char tail[COMMAND_TAIL];
};

#define COMMAND_PATH_SIZE 4096

/* Is there a program of that name, on PATH or at that path, that can be run? Better asked before than of each
 * event. Writes the absolute path of what has a slash in it or was found, else the name. Sets errno: ENOENT
 * if it merely is not there, or not for us. */
bool command_find(const char *program, char path[COMMAND_PATH_SIZE]);

/* Starts argv[0], found as execvp(3) does, and puts `body` (copied) on its standard input. `timeout` in
 * microseconds. Returns 0, or ERROR_TROUBLE with a reason where no process could be started. */
int command_start(struct command *command, char *const argv[], const struct invocation *occasion,
                  const char *body, size_t length, int64_t timeout, struct reason *reason);

/* The descriptors to be polled for it. Returns how many, 2 at most. */
size_t command_watch(const struct command *command, struct pollfd watched[2]);

/* Writes and reads what can be without waiting. */
void command_pump(struct command *command);

/* Ends it: SIGTERM to its group now, SIGKILL after COMMAND_KILL_AFTER. */
void command_stop(struct command *command, int64_t now);

/* Sees to its deadline. Returns microseconds until it wants to be called again. */
int64_t command_tick(struct command *command, int64_t now);

/* It has ended, as waitpid(2) says: passes on the rest of its output, ends what is left of its group if it
 * was stopped, and frees what it took. What the command left in the background can write on: nobody hears it.
 */
void command_end(struct command *command);

#endif
