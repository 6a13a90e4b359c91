/* What becomes of a batch of requests: decided, kept, answered, logged. */
#ifndef DOORPOST_HANDLER_H
#define DOORPOST_HANDLER_H

#include "request.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* Requests. Not as many as can be waiting: who takes all of them leaves the web server with nothing to do
 * until they are answered. Measured with 128 connections, 48 serves more in a second than 32 or 64. */
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

/* Takes a request into the batch: reads it and judges it. At most HANDLER_BATCH of them; each has to stay
 * until handler_finish(). */
void handler_take(struct handler *handler, struct request *request);

/* Serves the batch with one write and one sync, and ends its requests. `done` is called with each FastCGI
 * connection, and whether the web server may still be sending. */
void handler_finish(struct handler *handler, void (*done)(void *context, int file, bool unread),
                    void *context);

#endif
