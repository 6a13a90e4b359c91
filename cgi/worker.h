/* The FastCGI worker: serves the listening socket on descriptor 0 (FastCGI 1.0, section 2.2). */
#ifndef DOORPOST_WORKER_H
#define DOORPOST_WORKER_H

#include "handler.h"

#include <signal.h>

/* Serves until `stop_requested` is set. `wake` is a descriptor that becomes readable then, to end any wait.
 * Returns an exit status. */
int worker_serve(struct handler *handler, const volatile sig_atomic_t *stop_requested, int wake);

#endif
