/* The states and what leads from one to the next:
 *
 *   IDLE -- a request begins --> GATHERING -- it is whole, has a fault or is overdue --> READY -- a batch has
 * room --> SERVING SERVING -- answered --> IDLE, if the web server keeps the connection (FastCGI 1.0,
 * section 3.5), else ENDING, or DRAINING if it may still be sending
 *
 * A peer costs itself alone: everything that is waited for has a deadline, one step reads a bounded part, and
 * while a peer does not take what it was sent, nothing more is read from it. Only an idle connection has no
 * deadline: it costs a descriptor, and gives way to a new one. */
#define _GNU_SOURCE
#include "connection.h"

#include "handler.h"
#include "log.h"
#include "response.h"
#include "timestamp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 32768    /* bytes in one step */
#define OUTPUT_LIMIT 65536 /* bytes that wait for a peer to take them */

/* Requests that were used before, the last one first: their memory is there already. */
static struct request *spares;

static struct request *take_request(void) {
    struct request *request = spares;
    if (request == NULL)
        return malloc(sizeof *request);
    spares = request->next;
    return request;
}

static void give_request(struct request *request) {
    request->next = spares;
    spares = request;
}

/* ---- what is sent ---- */

/* Nothing reaches the peer any more. What it asked for is still decided and kept. */
static void lose_peer(struct connection *connection) {
    connection->at_end = connection->broken = true;
    free(connection->output);
    connection->output = NULL;
    connection->output_length = 0;
}

/* Sends what can be sent at once. Returns how many bytes. */
static size_t send_now(struct connection *connection, const unsigned char *bytes, size_t length) {
    ssize_t sent;
    do
        sent = send(connection->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        lose_peer(connection);
    return sent > 0 ? (size_t)sent : 0;
}

static void send_later(struct connection *connection, const unsigned char *bytes, size_t length) {
    unsigned char *longer = connection->output_length + length <= OUTPUT_LIMIT
                                ? realloc(connection->output, connection->output_length + length)
                                : NULL;
    if (longer == NULL) {
        lose_peer(connection);
        return;
    }
    if (connection->output_length == 0 && connection->state != CONNECTION_GATHERING)
        connection->since = monotonic_now();
    memcpy(longer + connection->output_length, bytes, length);
    connection->output = longer;
    connection->output_length += length;
}

static void send_bytes(struct connection *connection, const unsigned char *bytes, size_t length) {
    size_t sent = 0;
    if (connection->broken || length == 0)
        return;
    if (connection->output_length == 0)
        sent = send_now(connection, bytes, length);
    if (sent < length && !connection->broken)
        send_later(connection, bytes + sent, length - sent);
}

/* ---- from state to state ---- */

/* A peer may write on for a moment after the end of its request, if only padding, or no bytes at all, as
 * npm's fastcgi-client does. If that fails, it gives up, and never reads the answer that has come. So a
 * socket is shut down, and closed when this many others have been after it. */
static void close_later(int fd) {
    static int shut[CONNECTIONS_CLOSING]; /* 0: none; that is the listening socket */
    static size_t oldest;
    if (shutdown(fd, SHUT_WR) != 0) {
        close(fd);
        return;
    }
    if (shut[oldest] != 0)
        close(shut[oldest]);
    shut[oldest] = fd;
    oldest = (oldest + 1) % CONNECTIONS_CLOSING;
}

static void end(struct connection *connection) {
    if (connection->fastcgi.request != NULL)
        give_request(connection->fastcgi.request);
    free(connection->input);
    free(connection->output);
    connection->input = connection->output = NULL;
    connection->state = CONNECTION_FREE;
}

void connection_close(struct connection *connection) {
    close(connection->fd);
    end(connection);
}

static bool is_ending(const struct connection *connection) {
    return connection->state == CONNECTION_ENDING || connection->state == CONNECTION_DRAINING;
}

/* Closes it if nothing is left to do. */
static void settle(struct connection *connection) {
    bool sent = connection->output_length == 0;
    switch (connection->state) {
    case CONNECTION_IDLE:
    case CONNECTION_GATHERING:
        if (connection->at_end && sent)
            connection_close(connection);
        break;
    case CONNECTION_ENDING:
        if (sent) {
            close_later(connection->fd);
            end(connection);
        }
        break;
    case CONNECTION_DRAINING:
        if (sent && (connection->at_end || shutdown(connection->fd, SHUT_WR) != 0))
            connection_close(connection);
        break;
    case CONNECTION_FREE:
    case CONNECTION_READY:
    case CONNECTION_SERVING:
        break;
    }
}

static void complain(struct connection *connection, const char *what) {
    snprintf(connection->trouble, sizeof connection->trouble, "%s", what);
}

/* A request has had its answer. */
static void end_request(struct connection *connection) {
    const struct fastcgi *fastcgi = &connection->fastcgi;
    connection->since = monotonic_now();
    if (fastcgi->keep && !fastcgi->lost) {
        connection->state = CONNECTION_IDLE;
        return;
    }
    connection->state = fastcgi_is_mid_message(fastcgi) ? CONNECTION_DRAINING : CONNECTION_ENDING;
    free(connection->input); /* nobody will look at it */
    connection->input = NULL;
    connection->input_length = 0;
}

static void begin(struct connection *connection, struct fastcgi_reply *reply) {
    struct request *request = take_request();
    if (request == NULL) {
        complain(connection, "no memory for a request");
        fastcgi_overloaded(&connection->fastcgi, reply);
        end_request(connection);
        return;
    }
    connection->state = CONNECTION_GATHERING;
    connection->since = monotonic_now();
    fastcgi_gather(&connection->fastcgi, request, connection->since);
}

static void abandon(struct connection *connection, struct fastcgi_reply *reply) {
    struct request *request = connection->fastcgi.request;
    if (connection->state == CONNECTION_SERVING) {
        request->aborted = true; /* the batch may be written already */
        return;
    }
    fastcgi_aborted(&connection->fastcgi, reply);
    give_request(request);
    end_request(connection);
}

/* Nothing that comes can be understood; a request that has begun is still answered. */
static void stop_reading(struct connection *connection) {
    complain(connection, "not FastCGI 1.0: the connection is closed");
    if (connection->state == CONNECTION_IDLE) {
        connection->state = CONNECTION_DRAINING;
        connection->since = monotonic_now();
    }
}

static void take_event(struct connection *connection, enum fastcgi_event event, struct fastcgi_reply *reply) {
    switch (event) {
    case FASTCGI_BEGUN:
        begin(connection, reply);
        break;
    case FASTCGI_REQUEST:
        connection->state = CONNECTION_READY;
        break;
    case FASTCGI_ABORTED:
        abandon(connection, reply);
        break;
    case FASTCGI_REFUSED:
        complain(connection,
                 connection->state == CONNECTION_GATHERING
                     ? "a second request on one connection at the same time: refused with FCGI_CANT_MPX_CONN"
                     : "a request for another role than FCGI_RESPONDER: refused with FCGI_UNKNOWN_ROLE");
        if (connection->state == CONNECTION_IDLE)
            end_request(connection);
        break;
    case FASTCGI_LOST:
        stop_reading(connection);
        break;
    case FASTCGI_MORE:
    case FASTCGI_REPLY:
    case FASTCGI_AGAIN:
        break;
    }
}

/* Reads on until the input is used up or has to wait: for the peer to take replies, or for an answer. Returns
 * how much was used. */
static size_t feed(struct connection *connection, const unsigned char *bytes, size_t length) {
    struct fastcgi_reply reply;
    size_t at = 0;
    for (;;) {
        enum fastcgi_event event;
        reply.length = 0;
        do {
            size_t used;
            event = fastcgi_read(&connection->fastcgi, bytes + at, length - at, &used, &reply);
            at += used;
            take_event(connection, event, &reply);
        } while (!is_ending(connection) && (event == FASTCGI_BEGUN || event == FASTCGI_REQUEST ||
                                            event == FASTCGI_ABORTED || event == FASTCGI_REFUSED));
        send_bytes(connection, reply.bytes, reply.length);
        if (connection->broken || event == FASTCGI_LOST || is_ending(connection))
            return length;
        if (event != FASTCGI_REPLY || connection->output_length > 0)
            return at;
    }
}

static void feed_and_keep(struct connection *connection, const unsigned char *bytes, size_t length) {
    size_t used = feed(connection, bytes, length);
    if (used == length)
        return;
    connection->input = malloc(length - used);
    if (connection->input == NULL) {
        lose_peer(connection);
        return;
    }
    connection->input_length = length - used;
    memcpy(connection->input, bytes + used, connection->input_length);
}

/* ---- the steps ---- */

void connection_start(struct connection *connection, int fd, size_t connections) {
    *connection = (struct connection){.state = CONNECTION_IDLE,
                                      .fd = fd,
                                      .since = monotonic_now(),
                                      .fastcgi.connections = (unsigned int)connections};
}

short connection_events(const struct connection *connection) {
    if (connection->output_length > 0)
        return POLLOUT;
    return connection->at_end || connection->input_length > 0 || connection->state == CONNECTION_ENDING
               ? 0
               : POLLIN;
}

int64_t connection_deadline(const struct connection *connection) {
    bool waits = connection->state == CONNECTION_GATHERING || connection->state == CONNECTION_ENDING ||
                 connection->state == CONNECTION_DRAINING ||
                 (connection->state == CONNECTION_IDLE && connection->output_length > 0);
    return waits ? connection->since + ANSWER_WITHIN : INT64_MAX;
}

void connection_input(struct connection *connection) {
    static unsigned char bytes[READ_SIZE];
    if (connection_events(connection) != POLLIN)
        return;
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got < 0)
        lose_peer(connection);
    connection->at_end |= got == 0;
    if (got > 0 && !is_ending(connection))
        feed_and_keep(connection, bytes, (size_t)got);
    settle(connection);
}

void connection_resume(struct connection *connection) {
    static const unsigned char nothing[1];
    unsigned char *bytes = connection->input;
    size_t length = connection->input_length;
    if (connection->output_length > 0)
        return; /* connection_output() goes on when the peer has taken it */
    connection->input = NULL;
    connection->input_length = 0;
    if (!is_ending(connection))
        feed_and_keep(connection, bytes != NULL ? bytes : nothing, length);
    free(bytes);
    settle(connection);
}

void connection_output(struct connection *connection) {
    size_t sent = send_now(connection, connection->output, connection->output_length);
    if (connection->output_length > sent) {
        memmove(connection->output, connection->output + sent, connection->output_length - sent);
        connection->output_length -= sent;
        return;
    }
    free(connection->output);
    connection->output = NULL;
    connection->output_length = 0;
    connection_resume(connection);
}

void connection_overdue(struct connection *connection) {
    if (connection->state == CONNECTION_GATHERING) {
        fastcgi_give_up(&connection->fastcgi);
        connection->state = CONNECTION_READY;
    } else {
        connection_close(connection);
    }
}

struct request *connection_serve(struct connection *connection) {
    connection->state = CONNECTION_SERVING;
    return connection->fastcgi.request;
}

bool connection_is_awaited(const struct connection *connection) {
    return !connection->broken && !connection->fastcgi.request->aborted;
}

void connection_answer(struct connection *connection, const char *log, size_t log_length, const char *text,
                       size_t length) {
    static unsigned char bytes[LOG_HELD + RESPONSE_SIZE + FASTCGI_ANSWER_ROOM];
    struct request *request = connection->fastcgi.request;
    struct fastcgi_reply end = {.length = 0};
    if (request->aborted) {
        fastcgi_aborted(&connection->fastcgi, &end);
        send_bytes(connection, end.bytes, end.length);
    } else {
        send_bytes(connection, bytes,
                   fastcgi_answer(&connection->fastcgi, log, log_length, text, length, bytes));
    }
    give_request(request);
    end_request(connection);
    settle(connection);
}
