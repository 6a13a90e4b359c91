/* The FastCGI worker: serves the listening socket that is descriptor 0 (FastCGI 1.0, section 2.2). */
#ifndef DOORPOST_WORKER_H
#define DOORPOST_WORKER_H

#include "handler.h"

#include <signal.h>

/* Serves until `stop_requested` is set. `wake` is a descriptor that can be read from then on, so that no wait
 * outlasts it. Returns an exit status. */
int worker_serve(struct handler *handler, const volatile sig_atomic_t *stop_requested, int wake);

#endif
