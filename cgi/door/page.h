/* The program's state, shared by the threads that serve requests. */
#ifndef DOORPOST_PAGE_H
#define DOORPOST_PAGE_H

#include "config.h"
#include "door.h"
#include "keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct feed;

struct page {
    struct config config;
    struct door door;
    struct keys *keys; /* under `keys_mutex` */
    pthread_mutex_t keys_mutex;
    struct feed *feed;  /* feed.h */
    bool lasting;       /* a FastCGI worker; otherwise one request by CGI */
    atomic_bool ending; /* held requests must be answered now */
    atomic_int held;    /* number of requests that are held */
};

#endif
