/* State transitions:
 *
 *   IDLE      --> GATHERING  a request begins
 *   GATHERING --> READY      the request is complete, has a fault or is overdue
 *   READY     --> SERVING    a batch has room
 *   SERVING   --> IDLE       answered, and the web server keeps the connection (FastCGI 1.0, section 3.5)
 *   SERVING   --> DRAINING   answered, and the web server may still be sending
 *   SERVING   --> ENDING     answered otherwise
 *
 * A slow or hostile peer delays no one else: every wait has a deadline, each step reads a bounded amount, and
 * nothing is read from a peer that does not take its output. Only an idle connection has no deadline: it
 * costs a descriptor, and is closed if a new connection needs the slot. */
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

#define READ_SIZE 32768    /* bytes per step */
#define OUTPUT_LIMIT 65536 /* bytes of unsent output */

/* Free list of requests, last used first: its memory is already mapped. */
static struct request *unused_requests;

static struct request *take_request(void) {
    struct request *request = unused_requests;
    if (request == NULL)
        return malloc(sizeof *request);
    unused_requests = request->next;
    return request;
}

static void release_request(struct request *request) {
    request->next = unused_requests;
    unused_requests = request;
}

/* ---- output ---- */

/* The peer cannot be reached any more. Its request is still decided and stored. */
static void lose_peer(struct connection *connection) {
    connection->at_end = connection->broken = true;
    free(connection->output);
    connection->output = NULL;
    connection->output_length = 0;
}

/* Sends as much as possible without blocking. Returns the number of bytes sent. */
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

/* ---- state transitions ---- */

/* A peer may keep writing for a moment after the end of its request: padding, or zero bytes, as npm's
 * fastcgi-client does. If that write fails, it gives up without reading the answer. So the socket is shut
 * down now, and closed after CONNECTIONS_CLOSING more. */
static void close_later(int fd) {
    static int closing[CONNECTIONS_CLOSING]; /* 0: none, as that is the listening socket */
    static size_t oldest;
    if (shutdown(fd, SHUT_WR) != 0) {
        close(fd);
        return;
    }
    if (closing[oldest] != 0)
        close(closing[oldest]);
    closing[oldest] = fd;
    oldest = (oldest + 1) % CONNECTIONS_CLOSING;
}

static void release(struct connection *connection) {
    if (connection->fastcgi.request != NULL)
        release_request(connection->fastcgi.request);
    free(connection->input);
    free(connection->output);
    connection->input = connection->output = NULL;
    connection->state = CONNECTION_FREE;
}

void connection_close(struct connection *connection) {
    close(connection->fd);
    release(connection);
}

static bool is_ending(const struct connection *connection) {
    return connection->state == CONNECTION_ENDING || connection->state == CONNECTION_DRAINING;
}

/* Closes the connection if nothing is left to do. */
static void close_if_done(struct connection *connection) {
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
            release(connection);
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

static void note_error(struct connection *connection, const char *what) {
    snprintf(connection->warning, sizeof connection->warning, "%s", what);
}

/* The request has been answered. */
static void end_request(struct connection *connection) {
    const struct fastcgi *fastcgi = &connection->fastcgi;
    connection->since = monotonic_now();
    if (fastcgi->keep && !fastcgi->lost) {
        connection->state = CONNECTION_IDLE;
        return;
    }
    connection->state = fastcgi_is_mid_message(fastcgi) ? CONNECTION_DRAINING : CONNECTION_ENDING;
    free(connection->input); /* will not be parsed */
    connection->input = NULL;
    connection->input_length = 0;
}

static void begin(struct connection *connection, struct fastcgi_reply *reply) {
    struct request *request = take_request();
    if (request == NULL) {
        note_error(connection, "not enough memory for a request: refused with FCGI_OVERLOADED");
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
        request->aborted = true; /* its record may already be written */
        return;
    }
    fastcgi_aborted(&connection->fastcgi, reply);
    release_request(request);
    end_request(connection);
}

/* Further input cannot be parsed. A request that has begun is still answered. */
static void stop_reading(struct connection *connection) {
    note_error(connection, "input is not FastCGI 1.0: closing the connection");
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
        note_error(connection,
                   connection->state == CONNECTION_GATHERING
                       ? "second concurrent request on one connection: refused with FCGI_CANT_MPX_CONN"
                       : "request for a role other than FCGI_RESPONDER: refused with FCGI_UNKNOWN_ROLE");
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

/* Parses until the input is used up, or has to wait for the peer to take replies or for an answer. Returns
 * the number of bytes used. */
static size_t parse_input(struct connection *connection, const unsigned char *bytes, size_t length) {
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

static void parse_and_keep_rest(struct connection *connection, const unsigned char *bytes, size_t length) {
    size_t used = parse_input(connection, bytes, length);
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

/* ---- steps ---- */

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
        parse_and_keep_rest(connection, bytes, (size_t)got);
    close_if_done(connection);
}

void connection_resume(struct connection *connection) {
    static const unsigned char nothing[1];
    unsigned char *bytes = connection->input;
    size_t length = connection->input_length;
    if (connection->output_length > 0)
        return; /* connection_output() resumes once the peer has taken it */
    connection->input = NULL;
    connection->input_length = 0;
    if (!is_ending(connection))
        parse_and_keep_rest(connection, bytes != NULL ? bytes : nothing, length);
    free(bytes);
    close_if_done(connection);
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
    release_request(request);
    end_request(connection);
    close_if_done(connection);
}
