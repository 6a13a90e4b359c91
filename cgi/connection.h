/* A web server's connection: from its first byte over any number of requests to its end. */
#ifndef DOORPOST_CONNECTION_H
#define DOORPOST_CONNECTION_H

#include "records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sockets that may be open beside those of connections: they have ended, and are closed a little later. */
#define CONNECTIONS_CLOSING 32

enum connection_state {
    CONNECTION_FREE,
    CONNECTION_IDLE,      /* between requests; waits for as long as nobody needs its place */
    CONNECTION_GATHERING, /* a request has begun and is not whole */
    CONNECTION_READY,     /* it can be decided: to be served, with connection_serve() */
    CONNECTION_SERVING,   /* it is being served, until connection_answer() */
    CONNECTION_ENDING,    /* answered; to be closed once that is sent */
    CONNECTION_DRAINING   /* answered before the web server has sent all: what still comes is thrown away, or
                             the web server would miss the answer */
};

/* The fields belong to connection.c; `state` may be read. */
struct connection {
    enum connection_state state;
    int fd;
    int64_t since; /* monotonic_now() when the state, or the request, began */
    bool at_end;   /* nothing more comes */
    bool broken;   /* and nothing more arrives there */
    struct fastcgi fastcgi;
    unsigned char *input, *output; /* read and not looked at; to be sent. NULL if there is none */
    size_t input_length, output_length;
    char trouble[96]; /* to be logged, or "" */
};

/* What a connection waits for, as events of poll(2). */
short connection_events(const struct connection *connection);

/* When it has to be closed, on monotonic_now()'s clock; INT64_MAX: it may stay. */
int64_t connection_deadline(const struct connection *connection);

/* Starts with an accepted socket, which is non-blocking and belongs to the connection from now on.
 * `connections` is how many there can be at once, for web servers that ask. */
void connection_start(struct connection *connection, int fd, size_t connections);

/* Each of these takes one step, without waiting: reads and sends what can be read and sent, a bounded part of
 * it. The state says what comes next; CONNECTION_FREE: it was closed. */
void connection_input(struct connection *connection);
void connection_output(struct connection *connection);
void connection_overdue(struct connection *connection);

/* Looks at what was read and had to wait for an answer. */
void connection_resume(struct connection *connection);

/* The request to serve; it stays the connection's until the answer. */
struct request *connection_serve(struct connection *connection);

/* Does the web server still take an answer? If not, a log beside it would be lost. */
bool connection_is_awaited(const struct connection *connection);

/* Sends the answer, and `log` beside it as FCGI_STDERR. */
void connection_answer(struct connection *connection, const char *log, size_t log_length, const char *text,
                       size_t length);

void connection_close(struct connection *connection);

#endif
