/* A web server's connection, until its request is whole. */
#ifndef DOORPOST_CONNECTION_H
#define DOORPOST_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>

enum readiness {
    READY_WHOLE,   /* the whole request is in the socket's buffer: reading it will not block */
    READY_REFUSE,  /* more body than the limit has come: it can be refused without the rest */
    READY_PARTIAL, /* more has to come */
    READY_NEVER    /* closed, broken, or no FastCGI request that we serve */
};

/* Looks at the beginning of a FastCGI 1.0 connection's bytes. READY_REFUSE counts body bytes against
 * `max_body`. Pure. */
enum readiness connection_scan(const unsigned char *bytes, size_t length, size_t max_body);

/* Looks at what has arrived on a connection without taking it or waiting for it. */
enum readiness connection_look(int file, size_t max_body);

/* Opens a pair of connected sockets with room for a request with the largest body. Returns 0 or -1 with
 * errno. */
int connection_pair(int *inner, int *outer);

/* Moves what has arrived on one socket to the other, without waiting. Returns 0, or -1 where no more can
 * come. */
int connection_pour(int from, int to);

/* Makes the sockets that are accepted from `listener` large enough for a request with the largest body. */
void connection_prepare(int listener);

#endif
