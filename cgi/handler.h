/* Processes requests in batches: decides, stores, answers and logs them. */
#ifndef DOORPOST_HANDLER_H
#define DOORPOST_HANDLER_H

#include "request.h"
#include "ring.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Requests. Deliberately smaller than the backlog: draining it would starve the web server until we reply.
 * Measured with 128 connections: 64 serves no more per second, 32 and 128 fewer. */
#define HANDLER_BATCH 48
#define ANSWER_WITHIN ((RING_ANSWER_SECONDS - 1) * SECOND) /* leaves a second for the network */

struct handler;

/* `stop_requested` is set when the process must exit; waits are then cut short. `lasting`: the process will
 * serve many requests. Settings and keys are read with the first request. Returns NULL if out of memory. */
struct handler *handler_new(const volatile sig_atomic_t *stop_requested, bool lasting);
void handler_free(struct handler *handler);

/* Returns true if the batch can take another request. */
bool handler_has_room(const struct handler *handler);

/* Adds a request to the batch and decides it. The request must stay valid until it is answered; `owner` is
 * passed to the answer callback. The caller may set `request->aborted` until handler_finish(). */
void handler_take(struct handler *handler, struct request *request, void *owner);

/* Returns the number of requests in the batch. */
size_t handler_taken(const struct handler *handler);

/* Sends the answers. Log lines that could not be written to standard error are left for log_take(). */
struct handler_answers {
    void (*send)(void *context, void *owner, const char *text, size_t length);
    void *context;
};

/* Stores the batch with one write and one sync, and answers its requests. If `background` is set, returns
 * during the sync, so that the next batch can be filled; the answers are then sent by handler_answer(), or
 * when the next batch is finished. */
void handler_finish(struct handler *handler, bool background, const struct handler_answers *answers);

/* Answers the background batch if its sync has ended. If `wait` is set, waits for the sync. */
void handler_answer(struct handler *handler, bool wait, const struct handler_answers *answers);

/* Returns a descriptor for poll(2), readable when there is a batch to answer; -1 if there is no background
 * thread. */
int handler_fd(const struct handler *handler);

/* Logs a warning that belongs to no request, subject to DOORPOST_LOG. */
void handler_warn(const struct handler *handler, const char *cause);

#endif
