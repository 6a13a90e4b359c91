/* One delivery over HTTP, as Ring makes it. */
#ifndef DOORPOST_HTTP_H
#define DOORPOST_HTTP_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_SIZE 4096

struct answer {
    int status;             /* HTTP */
    char body[ANSWER_SIZE]; /* the start of it, with a NUL behind */
    size_t length;
    double seconds;
    bool refused; /* nothing listens there */
};

/* POSTs the body with that signature (NULL: without one) and waits RING_ANSWER_SECONDS at most. Redirects are
 * not followed: a delivery that Ring has to send twice is one that gets lost. Returns 0, or ERROR_TROUBLE
 * with a reason where no answer came. */
int http_post(const char *url, const char *body, size_t length, const char *signature, struct answer *answer,
              struct reason *reason);

#endif
