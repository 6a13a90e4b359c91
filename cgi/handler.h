/* What becomes of a batch of requests: decided, kept, answered, logged. */
#ifndef DOORPOST_HANDLER_H
#define DOORPOST_HANDLER_H

#include "request.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Requests. Not as many as can be waiting: who takes all of them leaves the web server with nothing to do
 * until they are answered. Measured with 128 connections: 64 serves no more in a second, 32 and 128 fewer. */
#define HANDLER_BATCH 48
#define ANSWER_WITHIN (4 * SECOND) /* Ring gives up after five seconds */

struct handler;

/* `hurry` becomes true when the process has been told to end: waits are then cut short. `lasting`: the
 * process will serve many requests. Settings and keys are read when the first one comes. NULL when there is
 * no memory.
 */
struct handler *handler_new(const volatile sig_atomic_t *hurry, bool lasting);
void handler_free(struct handler *handler);

/* DOORPOST_MAX_BODY; the default while the settings cannot be read. */
size_t handler_max_body(const struct handler *handler);

/* Where the next request of the batch is to be started; NULL where the batch is full. */
struct request *handler_place(struct handler *handler);

/* Takes the request that was started there into the batch: reads it and judges it. */
void handler_take(struct handler *handler);

/* How many have been taken. */
size_t handler_taken(const struct handler *handler);

/* What handler_finish() and handler_answer() call with each FastCGI connection that was answered, and whether
 * the web server may still be sending. */
struct handler_done {
    void (*call)(void *context, int file, bool unread);
    void *context;
};

/* Serves the batch with one write and one sync, and ends its requests. With `background` it returns while the
 * disk is still at work, so that the next batch can be taken meanwhile; the answers then go out with
 * handler_answer(), or when the next batch is finished. */
void handler_finish(struct handler *handler, bool background, const struct handler_done *done);

/* Answers the batch in the background, if its sync has ended, or with `wait` when it has. */
void handler_answer(struct handler *handler, bool wait, const struct handler_done *done);

/* A descriptor that can be read when there is something to answer, for poll(2); -1: nothing can be done in
 * the background. */
int handler_file(const struct handler *handler);

#endif
