/* What becomes of a batch of requests: decided, kept, answered, logged. */
#ifndef DOORPOST_HANDLER_H
#define DOORPOST_HANDLER_H

#include "request.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define HANDLER_BATCH 64
#define ANSWER_WITHIN (4 * SECOND) /* Ring gives up after five seconds */

struct handler;

/* `hurry` becomes true when the process has been told to end: waits are then cut short. Settings and keys are
 * read when the first request comes. NULL when there is no memory. */
struct handler *handler_new(const volatile sig_atomic_t *hurry);
void handler_free(struct handler *handler);

/* DOORPOST_MAX_BODY; the default while the settings cannot be read. */
size_t handler_max_body(const struct handler *handler);

/* Serves `count` requests (HANDLER_BATCH at most) with one write and one sync, and ends them. `done` is
 * called with each FastCGI connection, and whether the web server may still be sending. */
void handler_serve(struct handler *handler, struct request requests[], size_t count,
                   void (*done)(void *context, int file, bool unread), void *context);

#endif
