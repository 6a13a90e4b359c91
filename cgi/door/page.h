/* The program's state, shared by the threads that serve requests. */
#ifndef DOORPOST_PAGE_H
#define DOORPOST_PAGE_H

#include "config.h"
#include "door.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct feed;

struct page {
    struct config config;
    struct door door;
    struct feed *feed;     /* feed.h */
    bool lasting;          /* a FastCGI worker; otherwise one request by CGI */
    atomic_bool ready;     /* the fields above are set */
    pthread_mutex_t mutex; /* held to set them */
    atomic_bool ending;    /* held requests must be answered now */
    int wake;              /* a descriptor that becomes readable then, to end any poll(2); -1 under CGI */
    atomic_int held;       /* number of requests that are held */
};

#endif
