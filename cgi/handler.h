/* What becomes of a batch of requests: decided, kept, answered, logged. */
#ifndef DOORPOST_HANDLER_H
#define DOORPOST_HANDLER_H

#include "request.h"
#include "ring.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Requests. Deliberately smaller than the backlog can be: draining it would leave the web server with nothing
 * to do until we answer. Measured with 128 connections: 64 serves no more in a second, 32 and 128 fewer. */
#define HANDLER_BATCH 48
#define ANSWER_WITHIN ((RING_ANSWER_SECONDS - 1) * SECOND) /* a second is left for the network */

struct handler;

/* `stop_requested` becomes true when the process has been told to end: waits are then cut short. `lasting`:
 * the process will serve many requests. Settings and keys are read when the first one comes. NULL when there
 * is no memory. */
struct handler *handler_new(const volatile sig_atomic_t *stop_requested, bool lasting);
void handler_free(struct handler *handler);

/* Can the batch take another request? */
bool handler_has_room(const struct handler *handler);

/* Takes a request into the batch and decides it. It is used until it is answered; `owner` comes back with the
 * answer. Up to handler_finish(), `aborted` may still be set in it. */
void handler_take(struct handler *handler, struct request *request, void *owner);

/* How many have been taken. */
size_t handler_taken(const struct handler *handler);

/* Where answers go. The log lines about them that found no place on standard error are log_take()'s. */
struct handler_answers {
    void (*send)(void *context, void *owner, const char *text, size_t length);
    void *context;
};

/* Serves the batch with one write and one sync, and answers its requests. With `background` it returns while
 * the disk is still at work, so that the next batch can be taken meanwhile; the answers then go out with
 * handler_answer(), or when the next batch is finished. */
void handler_finish(struct handler *handler, bool background, const struct handler_answers *answers);

/* Answers the batch in the background, if its sync has ended, or with `wait` when it has. */
void handler_answer(struct handler *handler, bool wait, const struct handler_answers *answers);

/* A descriptor that can be read when there is something to answer, for poll(2); -1: nothing can be done in
 * the background. */
int handler_fd(const struct handler *handler);

/* Logs a warning about something that is no request, as DOORPOST_LOG has it. */
void handler_warn(const struct handler *handler, const char *cause);

#endif
