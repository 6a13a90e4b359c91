/* A web server's connection, which may carry any number of requests. */
#ifndef DOORPOST_CONNECTION_H
#define DOORPOST_CONNECTION_H

#include "records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sockets of ended connections whose close is delayed; they come on top of those in use. */
#define CONNECTIONS_CLOSING 32

enum connection_state {
    CONNECTION_FREE,
    CONNECTION_IDLE,      /* between requests; no deadline, but closed if its slot is needed */
    CONNECTION_GATHERING, /* a request has begun and is incomplete */
    CONNECTION_READY,     /* the request can be decided: call connection_serve() */
    CONNECTION_SERVING,   /* until connection_answer() */
    CONNECTION_ENDING,    /* answered; close once the answer is sent */
    CONNECTION_DRAINING /* answered before the web server has sent everything: the rest is read and discarded,
                           or it would miss the answer */
};

/* The fields belong to connection.c; `state` may be read. */
struct connection {
    enum connection_state state;
    int fd;
    int64_t since; /* monotonic_now() when the state, or the request, began */
    bool at_end;   /* no more input: EOF or error */
    bool broken;   /* nothing can be sent either */
    struct fastcgi fastcgi;
    unsigned char *input, *output; /* read but not parsed; to be sent. NULL if empty */
    size_t input_length, output_length;
    char warning[96]; /* an error to log, or "" */
};

/* Returns the poll(2) events that the connection waits for. */
short connection_events(const struct connection *connection);

/* Returns the deadline on monotonic_now()'s clock, or INT64_MAX if there is none. */
int64_t connection_deadline(const struct connection *connection);

/* Starts a connection on an accepted, non-blocking socket, and takes ownership of it. `connections` is the
 * limit that is reported to a web server that asks. */
void connection_start(struct connection *connection, int fd, size_t connections);

/* Each of these takes one bounded step without blocking. Check the state afterwards; CONNECTION_FREE means
 * that the connection was closed. */
void connection_input(struct connection *connection);
void connection_output(struct connection *connection);
void connection_overdue(struct connection *connection);

/* Parses input that was held back until an answer was sent. */
void connection_resume(struct connection *connection);

/* Returns the request to serve. The connection owns it until connection_answer(). */
struct request *connection_serve(struct connection *connection);

/* Returns true if the web server still accepts an answer; if not, log lines sent with it would be lost. */
bool connection_is_awaited(const struct connection *connection);

/* Sends the answer, with `log` as FCGI_STDERR. */
void connection_answer(struct connection *connection, const char *log, size_t log_length, const char *text,
                       size_t length);

void connection_close(struct connection *connection);

#endif
