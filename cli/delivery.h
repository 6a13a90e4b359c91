/* One delivery over HTTP, sent as Ring sends it. */
#ifndef DOORPOST_DELIVERY_H
#define DOORPOST_DELIVERY_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_SIZE 4096

struct answer {
    int status;             /* HTTP status */
    char body[ANSWER_SIZE]; /* the start of it, NUL-terminated */
    size_t length;
    double seconds;
    bool refused; /* nothing listens there */
};

/* POSTs the body with the signature (NULL: none) and waits at most RING_ANSWER_SECONDS. Does not follow
 * redirects: a delivery that Ring would have to send twice is lost. Returns 0, or ERROR_SYSTEM with a reason
 * if no response came. */
int delivery_send(const char *url, const char *body, size_t length, const char *signature,
                  struct answer *answer, struct reason *reason);

#endif
