/* The web server's side of a request: its parameters, its body, and the way back. CGI 1.1 (RFC 3875) and
 * FastCGI 1.0 look the same from here. */
#ifndef DOORPOST_REQUEST_H
#define DOORPOST_REQUEST_H

#include <fcgiapp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The fields belong to request.c. */
struct request {
    int64_t accepted_at; /* monotonic_now() */
    int file;            /* the FastCGI connection; -1 for CGI */
    FCGX_Request fcgi;
};

/* A request on a FastCGI connection that connection_look() found ready. Returns 0, or -1 and the connection
 * is closed. */
int request_start_fastcgi(struct request *request, int file, int64_t accepted_at);

/* The one request of a CGI process. */
void request_start_cgi(struct request *request, int64_t accepted_at);

/* When the request came in, on monotonic_now()'s clock. */
int64_t request_accepted_at(const struct request *request);

/* A parameter such as "REQUEST_METHOD", or NULL. Good until the request ends. */
const char *request_parameter(const struct request *request, const char *name);

/* Reads `length` bytes of body, until `deadline` at the latest. Returns how many came before the body ended,
 * or -1 where it could not be read, or not in time. */
ssize_t request_read(struct request *request, char *out, size_t length, int64_t deadline);

/* Throws away the body that a CGI request still holds, until `deadline` at the latest: a web server that
 * cannot hand it over may drop the answer. (For FastCGI, see the connection.) */
void request_discard(struct request *request, int64_t deadline);

/* Sends the whole answer (CGI header fields, blank line, body) and ends the request. A sender that has gone
 * away is no error: the event is kept. Returns the FastCGI connection, which is the caller's to close, or -1.
 */
int request_answer(struct request *request, const char *answer, size_t length);

#endif
