/* libfcgi reads until it has what it wants, and cannot be interrupted in the middle and resumed. In a loop
 * that serves every connection from one thread, a sender that stalls in the middle of a request would hold up
 * all others. So a socket's buffer is where a request is gathered: we look at it with MSG_PEEK, and hand the
 * connection to libfcgi only once nothing is missing.
 *
 * Most requests are whole when they are looked at first. Where one is not, it is moved, as it comes, into a
 * socket of our own, and that is what libfcgi gets. Left where it was it might never become whole: a Unix
 * socket counts as writable while a quarter of its buffer is free of what nobody has read, and
 * mod_proxy_fcgi, for one, waits for that before it passes on more. A stalled connection so costs three
 * descriptors, and no time. */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "connection.h"

#include "config.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define PARAMS_LIMIT 65536  /* no web server passes on headers of that size */
#define RECORDS_LIMIT 16384 /* room for the record headers of a body that comes in small pieces */

#define REQUEST_ROOM (PARAMS_LIMIT + RECORDS_LIMIT + BODY_LIMIT)

struct progress {
    uint16_t id; /* of the request, 0 before it began */
    size_t params, body;
    bool params_done;
};

/* Takes in one record. Returns READY_PARTIAL where more records belong to the request. */
static enum readiness scan_record(const FCGI_Header *header, const unsigned char *content, size_t length,
                                  struct progress *progress) {
    uint16_t id = (uint16_t)(header->requestIdB1 << 8 | header->requestIdB0);
    if (id == FCGI_NULL_REQUEST_ID)
        return READY_PARTIAL; /* a management record; libfcgi answers it */
    if (header->type == FCGI_BEGIN_REQUEST) {
        if (progress->id != 0 || length < 2 || (content[0] << 8 | content[1]) != FCGI_RESPONDER)
            return READY_NEVER;
        progress->id = id;
        return READY_PARTIAL;
    }
    if (progress->id == 0 || id != progress->id)
        return READY_NEVER;
    if (header->type == FCGI_PARAMS && !progress->params_done) {
        progress->params += length;
        progress->params_done = length == 0;
        return progress->params > PARAMS_LIMIT ? READY_NEVER : READY_PARTIAL;
    }
    if (header->type == FCGI_STDIN && progress->params_done) {
        progress->body += length;
        return length == 0 ? READY_WHOLE : READY_PARTIAL;
    }
    return READY_NEVER; /* FCGI_ABORT_REQUEST, or an order that the protocol does not have */
}

enum readiness connection_scan(const unsigned char *bytes, size_t length, size_t max_body) {
    struct progress progress = {0};
    for (size_t at = 0; length - at >= FCGI_HEADER_LEN;) {
        FCGI_Header header;
        memcpy(&header, bytes + at, sizeof header);
        size_t content = (size_t)(header.contentLengthB1 << 8 | header.contentLengthB0);
        size_t record = FCGI_HEADER_LEN + content + header.paddingLength;
        if (header.version != FCGI_VERSION_1)
            return READY_NEVER;
        if (length - at < record)
            break;
        enum readiness readiness = scan_record(&header, bytes + at + FCGI_HEADER_LEN, content, &progress);
        if (readiness != READY_PARTIAL)
            return readiness;
        if (progress.body > max_body)
            return READY_REFUSE;
        at += record;
    }
    return READY_PARTIAL;
}

enum readiness connection_look(int file, size_t max_body) {
    static unsigned char bytes[PARAMS_LIMIT + RECORDS_LIMIT + 2 * BODY_LIMIT];
    ssize_t got = recv(file, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0)
        return READY_PARTIAL; /* nothing yet; an error shows up as the end of the stream or at the deadline */
    if (got == 0)
        return READY_NEVER;
    enum readiness readiness = connection_scan(bytes, (size_t)got, max_body);
    return readiness == READY_PARTIAL && (size_t)got == sizeof bytes ? READY_NEVER : readiness;
}

int connection_pair(int *inner, int *outer) {
    int pair[2], size = REQUEST_ROOM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    *inner = pair[0];
    *outer = pair[1];
    setsockopt(*outer, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

int connection_pour(int from, int to) {
    char bytes[16384];
    ssize_t got;
    while ((got = recv(from, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        if (send(to, bytes, (size_t)got, MSG_DONTWAIT | MSG_NOSIGNAL) != got)
            return -1;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

void connection_prepare(int listener) {
    int size = REQUEST_ROOM;
    /* TCP connections inherit it; on a Unix socket the sender's buffer counts. */
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}
