/* A command run for an event, in its own process group, with the event on standard input. Its output is
 * passed on line by line. No shell is involved. */
#ifndef DOORPOST_COMMAND_H
#define DOORPOST_COMMAND_H

#include "event.h"
#include "quote.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMAND_LINE 4096 /* bytes; longer lines of output are split */
#define COMMAND_TAIL 1024 /* bytes of output to keep */
#define COMMAND_KILL_AFTER (5 * SECOND)

/* The event data passed in the command's environment. */
struct invocation {
    const struct event *event;
    const char *received_at; /* as in the journal */
    uint64_t seq;
    int attempt;
};

/* The fields are private to command.c. All times are monotonic_now()'s. */
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

/* Returns true if the program can be executed; a name without a slash is looked up on PATH. Check this once
 * at the start, not per event. Writes its absolute path, or just the name if it has no slash and was not
 * found. On failure sets errno: ENOENT if it does not exist or is not executable for us. */
bool command_find(const char *program, char path[COMMAND_PATH_SIZE]);

/* Starts argv[0], looked up as by execvp(3), with a copy of `body` on its standard input. `timeout` is in
 * microseconds. Returns 0, or ERROR_SYSTEM with a reason if no process could be started. */
int command_start(struct command *command, char *const argv[], const struct invocation *invocation,
                  const char *body, size_t length, int64_t timeout, struct reason *reason);

/* Fills in the descriptors to poll. Returns their number, at most 2. */
size_t command_watch(const struct command *command, struct pollfd watched[2]);

/* Writes and reads as much as possible without blocking. */
void command_pump(struct command *command);

/* Stops the command: SIGTERM to its group now, SIGKILL after COMMAND_KILL_AFTER. */
void command_stop(struct command *command, int64_t now);

/* Enforces the deadline. Returns the microseconds until the next call is due. */
int64_t command_tick(struct command *command, int64_t now);

/* Call after waitpid(2) has reaped it: passes on the rest of its output, kills the rest of its group if it
 * was stopped, and frees its resources. Processes it left in the background can still write; their output is
 * discarded. */
void command_end(struct command *command);

#endif
