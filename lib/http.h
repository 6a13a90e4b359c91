/* One HTTP request, made by the program curl(1). It supplies TLS and certificates that the host keeps up to
 * date, and adds nothing to link. */
#ifndef DOORPOST_HTTP_H
#define DOORPOST_HTTP_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTP_LOCATION_SIZE 4096
#define HTTP_HEADERS 6

/* Everything in it goes to curl on its standard input: nothing shows in a process list. */
struct http_request {
    const char *method, *url;
    const char *headers[HTTP_HEADERS]; /* "Name: value"; the last is NULL */
    const char *body;                  /* NULL: none. Any bytes */
    size_t length;
    const char *ca; /* a file of CA certificates, or NULL or "": the system's */
    int seconds;    /* until it is given up */
    size_t limit;   /* of the response's body, in bytes; a longer one is an error */
    bool plain;     /* http:// is allowed too; otherwise https:// alone */
};

struct http_response {
    int status;
    char location[HTTP_LOCATION_SIZE]; /* Location (RFC 9110, section 10.2.2), or "" */
    char content_type[128];            /* or "" */
    int retry_after;                   /* seconds, or -1 */
    char *body;                        /* NUL-terminated; freed by http_free() */
    size_t length;
    double seconds; /* that it took */
    bool refused;   /* nothing listens there */
    int failure;    /* curl's exit status if no response came */
};

/* Redirects are not followed. Returns 0 if any response came; ERROR_TIMEOUT or ERROR_SYSTEM with a reason
 * (which contains no secret) if none did: the server may have acted on the request all the same.
 * The response's memory is wiped and released by http_free(), in either case. */
int http_send(const struct http_request *request, struct http_response *response, struct reason *reason);
void http_free(struct http_response *response);

#endif
