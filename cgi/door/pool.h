/* The threads of a FastCGI worker. */
#ifndef DOORPOST_POOL_H
#define DOORPOST_POOL_H

#include "page.h"

/* Starts a detached thread, with a small stack and without signals. Returns false if there can be none. */
bool pool_start(void *(*run)(void *context), void *context);

/* Serves the listening socket on descriptor 0 until page->wake becomes readable, and then until the requests
 * in hand are done, 30 seconds at most. Returns an exit status. */
int pool_serve(struct page *page);

#endif
