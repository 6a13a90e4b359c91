/* A request from the gateway, FastCGI's or CGI's, once it is there. */
#ifndef DOORPOST_REQUEST_H
#define DOORPOST_REQUEST_H

#include "intake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METADATA_SIZE 128 /* of one value; a longer one is none that is valid */

enum request_fault {
    REQUEST_FINE,
    REQUEST_MALFORMED, /* the gateway's records or parameters contradict each other */
    REQUEST_INCOMPLETE /* it did not come to its end in time */
};

struct request {
    struct request *next; /* in the list of unused requests */
    int64_t since;        /* monotonic_now() when it began */
    enum request_fault fault;
    bool aborted; /* nobody waits for the answer: it is kept only if its line is written already */
    struct request_metadata metadata; /* what was passed; the values below */
    char method[METADATA_SIZE], content_length[METADATA_SIZE], signature[METADATA_SIZE],
        client[METADATA_SIZE];
    size_t length; /* of the body; over BODY_LIMIT: it does not fit, and is not read to its end */
    char body[BODY_LIMIT];
};

#endif
