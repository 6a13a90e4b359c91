/* Web servers at one end of a socket pair, a connection at the other, stepped as the worker does it. Some
 * follow the protocol: every request must get its own answer, in order, and nothing else. Others send
 * randomly changed bytes, disconnect, or time out. Whatever is sent, in whatever pieces, and however late the
 * answers are read:
 * - the output is whole records, of the types that an application sends;
 * - after a bounded number of steps the connection is free, idle, or waiting for a deadline;
 * - after the peer has gone, or the deadline has passed, it is free;
 * - a good request on another connection is answered.
 * RUNS is the number of connections (20,000), SEED the random seed, RUN the number of a single connection to
 * run with verbose output. Prints one line of TAP. */
#include "connection.h"
#include "handler.h"
#include "log.h"
#include "response.h"
#include "runs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_SIZE 600000
#define RECEIVED_SIZE (1 << 20)
#define ENDS_MAX 512
#define STEPS_MAX 200000
#define CONNECTIONS 512

/* ---- what a web server sends, and the expected answer ---- */

struct end {
    unsigned id, status; /* the protocol status */
    uint32_t body;       /* 0: no answer is visible; else what answer_to() returns */
};

struct script {
    unsigned char bytes[STREAM_SIZE];
    size_t length;
    struct end end[ENDS_MAX]; /* expected, if `exact` */
    size_t ends, replies;     /* replies: to management records */
    bool exact, closes;       /* closes: the last request does not ask to keep the connection */
};

static uint32_t hash(const unsigned char *bytes, size_t length) {
    uint32_t value = 2166136261;
    for (size_t i = 0; i < length; i++)
        value = (value ^ bytes[i]) * 16777619;
    return value | 1;
}

static void add_record(struct script *script, unsigned type, unsigned id, const void *content,
                       size_t length) {
    size_t padding = one_in(4) ? draw(256) : 0;
    unsigned char *at = script->bytes + script->length;
    if (script->length + FCGI_HEADER_LEN + length + padding > STREAM_SIZE) {
        script->exact = false;
        return;
    }
    const unsigned char header[] = {
        FCGI_VERSION_1,         (unsigned char)type,          (unsigned char)(id >> 8),
        (unsigned char)id,      (unsigned char)(length >> 8), (unsigned char)length,
        (unsigned char)padding, (unsigned char)draw(256)};
    memcpy(at, header, sizeof header);
    if (length > 0)
        memcpy(at + sizeof header, content, length);
    memset(at + sizeof header + length, (int)draw(256), padding);
    script->length += sizeof header + length + padding;
}

static void add_end(struct script *script, unsigned id, unsigned status, uint32_t body) {
    if (script->ends < ENDS_MAX)
        script->end[script->ends++] = (struct end){id, status, body};
    else
        script->exact = false;
}

static void add_begin(struct script *script, unsigned id, unsigned role, unsigned flags) {
    const unsigned char body[8] = {(unsigned char)(role >> 8), (unsigned char)role, (unsigned char)flags};
    add_record(script, FCGI_BEGIN_REQUEST, id, body, sizeof body);
}

/* Adds records that have no effect on request `id`. `begun`: the request has begun and is incomplete. */
static void add_noise(struct script *script, unsigned id, bool begun) {
    static const char asked[] = "\x0e\x00"
                                "FCGI_MAX_CONNS\x0d\x00"
                                "FCGI_MAX_REQS\x80\x00\x00\x0f\x00"
                                "FCGI_MPXS_CONNS";
    unsigned other = id == 9 ? 10 : 9;
    switch (draw(6)) {
    case 0:
        add_record(script, FCGI_GET_VALUES, 0, asked, draw(sizeof asked));
        script->replies++;
        break;
    case 1:
        add_record(script, (unsigned)(FCGI_GET_VALUES_RESULT + draw(200)), 0, asked, draw(sizeof asked));
        script->replies++;
        break;
    case 2:
        add_record(script, (unsigned)(FCGI_MAXTYPE + 1 + draw(200)), one_in(2) ? id : other, asked,
                   draw(sizeof asked));
        break;
    case 3:
        add_record(script, (unsigned)(FCGI_ABORT_REQUEST + draw(7)), other, asked, draw(sizeof asked));
        break;
    case 4:
        add_record(script, FCGI_DATA, id, asked, draw(sizeof asked));
        break;
    default:
        if (begun) {
            add_begin(script, other, (unsigned)draw(5), (unsigned)draw(256));
            add_end(script, other, FCGI_CANT_MPX_CONN, 0);
        }
    }
}

static void add_stream(struct script *script, unsigned type, unsigned id, const unsigned char *bytes,
                       size_t length) {
    size_t most = one_in(3) ? 1 + draw(8) : 1 + draw(65535);
    for (size_t at = 0, piece; at < length; at += piece) {
        piece = 1 + draw(most);
        piece = piece < length - at ? piece : length - at;
        add_record(script, type, id, bytes + at, piece);
        if (one_in(8))
            add_noise(script, id, true);
    }
}

static size_t add_pair(unsigned char *out, const char *name, const char *value) {
    const char *parts[] = {name, value};
    size_t length = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t part = strlen(parts[i]);
        if (part > 127 || one_in(2)) {
            memcpy(out + length, "\x80\x00\x00", 3);
            length += 3;
        }
        out[length++] = (unsigned char)part;
    }
    memcpy(out + length, name, strlen(name));
    memcpy(out + length + strlen(name), value, strlen(value));
    return length + strlen(name) + strlen(value);
}

static size_t make_params(unsigned char *out) {
    char long_value[200];
    const char *const pairs[][2] = {{"REQUEST_METHOD", "POST"},  {"CONTENT_LENGTH", "12"},
                                    {"REMOTE_ADDR", "::1"},      {"HTTP_X_SIGNATURE", "sha256=00"},
                                    {"HTTP_COOKIE", long_value}, {"", ""},
                                    {"QUERY_STRING", ""}};
    snprintf(long_value, sizeof long_value, "%0199d", 0);
    size_t length = 0;
    for (size_t count = draw(8); count > 0; count--) {
        const char *const *pair = pairs[draw(sizeof pairs / sizeof *pairs)];
        length += add_pair(out + length, pair[0], pair[1]);
    }
    return length;
}

static size_t draw_body_length(void) {
    if (one_in(100))
        return one_in(2) ? BODY_LIMIT - draw(2) : draw(BODY_LIMIT);
    return draw(one_in(3) ? 2000 : 40);
}

/* Adds a request that is answered normally; returns false if the connection ends with it. */
static bool add_request(struct script *script) {
    static unsigned char body[BODY_LIMIT];
    unsigned char params[4096];
    unsigned id = 1 + (unsigned)draw(one_in(2) ? 3 : 65535), flags = one_in(8) ? 0 : FCGI_KEEP_CONN;
    size_t length = draw_body_length(), params_length = make_params(params);
    bool aborted = one_in(10);
    if (one_in(10)) {
        add_begin(script, id, 2 + (unsigned)draw(9), flags);
        add_end(script, id, FCGI_UNKNOWN_ROLE, 0);
        return flags != 0;
    }
    for (size_t i = 0; i < length; i++)
        body[i] = (unsigned char)(i < 32 ? draw(256) : i);
    add_begin(script, id, FCGI_RESPONDER, flags);
    add_stream(script, FCGI_PARAMS, id, params, params_length);
    if (!aborted || one_in(2)) {
        add_record(script, FCGI_PARAMS, id, NULL, 0);
        add_stream(script, FCGI_STDIN, id, body, aborted ? draw(length + 1) : length);
    }
    add_record(script, aborted ? FCGI_ABORT_REQUEST : FCGI_STDIN, id, NULL, 0);
    add_end(script, id, FCGI_REQUEST_COMPLETE, aborted ? 0 : hash(body, length));
    return flags != 0;
}

static void write_script(struct script *script, size_t requests) {
    script->length = script->ends = script->replies = 0;
    script->exact = true;
    script->closes = false;
    for (size_t i = 0; i < requests && !script->closes; i++) {
        while (one_in(6))
            add_noise(script, 1, false);
        script->closes = !add_request(script);
    }
}

/* One change: any bytes; a length, type or id of what may be a header; a part cut out or repeated. */
static void change(struct script *script) {
    size_t at = draw(script->length + 1), left = script->length - at, part = draw(one_in(2) ? 16 : 400);
    unsigned char *bytes = script->bytes + at;
    part = part < left ? part : left;
    switch (draw(6)) {
    case 0:
        for (size_t i = 0; i < part && i < 8; i++)
            bytes[i] = (unsigned char)draw(256);
        break;
    case 1:
        if (left > 0)
            bytes[0] ^= (unsigned char)(1 << draw(8));
        break;
    case 2:
        if (at + FCGI_HEADER_LEN <= script->length)
            memcpy(bytes, (unsigned char[]){1, (unsigned char)draw(13), 0, (unsigned char)draw(3), 0}, 5);
        break;
    case 3:
        memmove(bytes, bytes + part, left - part);
        script->length -= part;
        break;
    case 4:
        if (script->length + part <= STREAM_SIZE) {
            memmove(bytes + part, bytes, left);
            script->length += part;
        }
        break;
    default:
        script->length = one_in(3) ? at : script->length;
    }
    script->exact = false;
}

/* ---- a connection and its peer ---- */

struct peer {
    struct connection connection;
    struct request *serving;
    const struct script *script;
    int fd; /* -1: closed */
    size_t sent, received;
    size_t most;  /* bytes per piece */
    bool overdue; /* the connection was overdue */
    size_t steps;
    unsigned char bytes[RECEIVED_SIZE];
};

static void connect_peer(struct peer *peer, const struct script *script, bool small_buffers) {
    int ends[2], least = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        die("socketpair");
    if (small_buffers)
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    connection_start(&peer->connection, ends[0], CONNECTIONS);
    peer->serving = NULL;
    peer->script = script;
    peer->fd = ends[1];
    peer->sent = peer->received = peer->steps = 0;
    peer->most = STREAM_SIZE;
    peer->overdue = false;
}

static bool is_free(const struct peer *peer) {
    return peer->connection.state == CONNECTION_FREE;
}

static void go_away(struct peer *peer) {
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

static void send_some(struct peer *peer) {
    size_t left = peer->script->length - peer->sent, piece = 1 + draw(peer->most);
    if (peer->fd < 0 || left == 0)
        return;
    ssize_t sent =
        send(peer->fd, peer->script->bytes + peer->sent, piece < left ? piece : left, MSG_NOSIGNAL);
    if (sent > 0)
        peer->sent += (size_t)sent;
    else if (errno != EAGAIN)
        peer->sent = peer->script->length; /* the connection is closed */
}

static bool read_some(struct peer *peer, size_t most) {
    size_t room = sizeof peer->bytes - peer->received;
    ssize_t got =
        peer->fd >= 0 ? recv(peer->fd, peer->bytes + peer->received, most < room ? most : room, 0) : 0;
    if (got > 0)
        peer->received += (size_t)got;
    return got > 0;
}

/* The answer identifies the body that was read. */
static size_t answer_to(uint32_t body, char out[RESPONSE_SIZE]) {
    size_t length = body % 16 == 1 ? body / 16 % (RESPONSE_SIZE - 16) : body / 16 % 300;
    memset(out, '.', 16 + length);
    memcpy(out, &body, sizeof body);
    return 16 + length;
}

static void serve(struct peer *peer, bool now) {
    static const char log[LOG_HELD] = "a line\n";
    char text[RESPONSE_SIZE];
    struct request *request = peer->connection.fastcgi.request;
    if (peer->connection.state == CONNECTION_READY && (now || one_in(2)))
        peer->serving = connection_serve(&peer->connection);
    if (peer->connection.state != CONNECTION_SERVING || !(now || one_in(2)))
        return;
    if (peer->serving != request)
        wrong("the request that is served has changed");
    if (request->length > BODY_LIMIT + 1)
        wrong("a body of %zu bytes", request->length);
    size_t body = request->length <= BODY_LIMIT ? request->length : 0;
    size_t length = answer_to(hash((const unsigned char *)request->body, body), text);
    connection_answer(&peer->connection, log, one_in(8) ? draw(sizeof log) : 0, text, length);
    if (peer->connection.state == CONNECTION_IDLE)
        connection_resume(&peer->connection);
}

/* A step as the worker takes it. */
static void step(struct peer *peer, bool now) {
    if (is_free(peer))
        return;
    if (connection_events(&peer->connection) == POLLOUT)
        connection_output(&peer->connection);
    else
        connection_input(&peer->connection);
    serve(peer, now);
    if (++peer->steps > STEPS_MAX)
        wrong("no end of steps");
}

static void pass_deadline(struct peer *peer) {
    if (is_free(peer) || connection_deadline(&peer->connection) == INT64_MAX)
        return;
    peer->overdue = true;
    connection_overdue(&peer->connection);
}

/* Sends the script, with random events in between. */
static void act(struct peer *peer) {
    bool reads = !one_in(4), patient = !one_in(20), stays = !one_in(20);
    peer->most = one_in(3) ? 1 + draw(64) : one_in(2) ? 1 + draw(4096) : STREAM_SIZE;
    if (peer->script->length / peer->most > 3000)
        peer->most = STREAM_SIZE;
    size_t least = one_in(2) ? 64 : 65536, stall = 0;
    while (peer->fd >= 0 && peer->sent < peer->script->length && !has_failed() && stall < 20) {
        size_t before = peer->sent;
        send_some(peer);
        stall = peer->sent == before ? stall + 1 : 0;
        step(peer, false);
        if (reads && one_in(2))
            read_some(peer, 1 + draw(least));
        else if (reads && stall > 5)
            read_some(peer, sizeof peer->bytes);
        if (!patient && one_in(8))
            pass_deadline(peer);
        if (!stays && one_in(8))
            go_away(peer);
    }
}

/* Continues until nothing changes: the peer sends the rest and reads everything. */
static void settle(struct peer *peer) {
    /* Discarded input changes nothing visible; a socket pair holds a few hundred KiB. */
    unsigned enough = peer->connection.state == CONNECTION_DRAINING ? 30 : 2;
    for (unsigned quiet = 0; quiet < enough && !is_free(peer) && !has_failed();) {
        const struct connection before = peer->connection;
        size_t sent = peer->sent;
        send_some(peer);
        step(peer, true);
        bool moved = read_some(peer, sizeof peer->bytes) || peer->sent != sent ||
                     memcmp(&before.fastcgi, &peer->connection.fastcgi, sizeof before.fastcgi) != 0 ||
                     before.state != peer->connection.state || before.at_end != peer->connection.at_end ||
                     before.input_length != peer->connection.input_length ||
                     before.output_length != peer->connection.output_length;
        quiet = moved ? 0 : quiet + 1;
    }
    while (read_some(peer, sizeof peer->bytes))
        continue;
}

/* ---- what was received ---- */

struct coming {
    size_t ends, replies;
    uint32_t body;
    bool any; /* of an answer */
};

static void check_end(const struct peer *peer, const struct coming *coming, unsigned id, unsigned status) {
    const struct script *script = peer->script;
    const struct end *end = &script->end[coming->ends];
    if (!script->exact || peer->overdue || peer->fd < 0)
        return;
    if (coming->ends >= script->ends)
        wrong("an end of %u that nobody waits for", id);
    else if (end->id != id || end->status != status || end->body != (coming->any ? coming->body : 0))
        wrong("end %zu: id %u, status %u, body %x; wanted: id %u, status %u, body %x", coming->ends, id,
              status, coming->body, end->id, end->status, end->body);
}

static void take_record(const struct peer *peer, struct coming *coming, const unsigned char *header,
                        size_t length) {
    const unsigned char *content = header + FCGI_HEADER_LEN;
    unsigned id = (unsigned)(header[2] << 8 | header[3]);
    print_verbose("came: type %d, id %u, %zu bytes", header[1], id, length);
    switch (header[1]) {
    case FCGI_STDERR:
        break;
    case FCGI_STDOUT:
        if (length >= 16)
            memcpy(&coming->body, content, sizeof coming->body);
        coming->any |= length > 0;
        break;
    case FCGI_END_REQUEST:
        check_end(peer, coming, id, content[4]);
        coming->ends++;
        coming->any = false;
        coming->body = 0;
        break;
    case FCGI_GET_VALUES_RESULT:
    case FCGI_UNKNOWN_TYPE:
        coming->replies += id == FCGI_NULL_REQUEST_ID;
        break;
    default:
        wrong("a record of type %d", header[1]);
    }
}

static void look_at_answers(const struct peer *peer) {
    const struct script *script = peer->script;
    struct coming coming = {.ends = 0};
    size_t at = 0;
    if (has_failed())
        return;
    while (at + FCGI_HEADER_LEN <= peer->received && !has_failed()) {
        const unsigned char *header = peer->bytes + at;
        size_t length = (size_t)(header[4] << 8 | header[5]), whole = FCGI_HEADER_LEN + length + header[6];
        if (header[0] != FCGI_VERSION_1)
            wrong("byte %zu of the answers begins no record", at);
        if (at + whole > peer->received)
            break;
        take_record(peer, &coming, header, length);
        at += whole;
    }
    bool expected = peer->fd >= 0 && !peer->overdue;
    if (expected && at < peer->received)
        wrong("the last record is cut");
    if (expected && script->exact && (coming.ends != script->ends || coming.replies != script->replies))
        wrong("%zu ends and %zu replies came, not %zu and %zu", coming.ends, coming.replies, script->ends,
              script->replies);
}

static void look_at_state(const struct peer *peer) {
    const struct connection *connection = &peer->connection;
    bool exact = peer->script->exact && peer->fd >= 0 && !peer->overdue;
    print_verbose("it rests in state %d, %zu of %zu bytes sent, %zu came", connection->state, peer->sent,
                  peer->script->length, peer->received);
    if (is_free(peer))
        return;
    if (peer->fd < 0)
        wrong("the peer has gone, and the connection is in state %d", connection->state);
    else if (connection->input_length > 0 || connection->output_length > 0)
        wrong("it rests in state %d with %zu bytes of input and %zu of output", connection->state,
              connection->input_length, connection->output_length);
    else if (connection->state != CONNECTION_IDLE && connection_deadline(connection) == INT64_MAX)
        wrong("it rests in state %d without a deadline", connection->state);
    if (exact && connection->state != (peer->script->closes ? CONNECTION_DRAINING : CONNECTION_IDLE))
        wrong("it rests in state %d after good requests", connection->state);
}

/* At the end the peer disconnects, time passes, or the worker ends. */
static void finish(struct peer *peer) {
    size_t choice = draw(3);
    if (choice == 0) {
        go_away(peer);
        settle(peer);
    } else if (choice == 1) {
        for (int i = 0; i < 3; i++) {
            pass_deadline(peer);
            settle(peer);
        }
    }
    if (!is_free(peer) && (choice == 0 || (choice == 1 && peer->connection.state != CONNECTION_IDLE)))
        wrong("it is not free in the end, but in state %d", peer->connection.state);
    if (!is_free(peer))
        connection_close(&peer->connection);
    go_away(peer);
}

/* ---- a run ---- */

static void run_good(const struct script *good, const struct peer *other) {
    static struct peer peer;
    connect_peer(&peer, good, false);
    settle(&peer);
    if (peer.serving != NULL && !is_free(other) && peer.serving == other->connection.fastcgi.request)
        wrong("two connections have one request");
    look_at_answers(&peer);
    go_away(&peer);
    if (!is_free(&peer))
        connection_close(&peer.connection);
}

static void write_good(struct script *good) {
    static const unsigned char body[] = "a good request";
    *good = (struct script){.exact = true};
    add_begin(good, 1, FCGI_RESPONDER, 0);
    add_record(good, FCGI_PARAMS, 1, NULL, 0);
    add_record(good, FCGI_STDIN, 1, body, sizeof body);
    add_record(good, FCGI_STDIN, 1, NULL, 0);
    add_end(good, 1, FCGI_REQUEST_COMPLETE, hash(body, sizeof body));
}

static struct script good;

static void run(void) {
    static struct script script;
    static struct peer peer;
    write_script(&script, one_in(50) ? 60 : draw(5));
    if (one_in(2))
        for (size_t i = 1 + draw(4); i > 0; i--)
            change(&script);
    print_verbose("%zu bytes, %zu ends, %s", script.length, script.ends,
                  script.exact ? "all good" : "changed");
    connect_peer(&peer, &script, one_in(4));
    act(&peer);
    settle(&peer);
    look_at_state(&peer);
    look_at_answers(&peer);
    if (one_in(2))
        run_good(&good, &peer);
    finish(&peer);
    run_good(&good, &peer);
}

int main(void) {
    write_good(&good);
    return runs_do(20000, run, "connections",
                   "whatever a web server sends, its connection comes to an end and others are served");
}
