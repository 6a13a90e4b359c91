/* A request from the gateway, FastCGI or CGI. */
#ifndef DOORPOST_REQUEST_H
#define DOORPOST_REQUEST_H

#include "intake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METADATA_SIZE 128 /* of one value; no valid one is longer */

enum request_fault {
    REQUEST_FINE,
    REQUEST_MALFORMED, /* the gateway's records or parameters contradict each other */
    REQUEST_INCOMPLETE /* it did not arrive completely in time */
};

struct request {
    struct request *next; /* in the free list */
    int64_t since;        /* monotonic_now() when it began */
    enum request_fault fault;
    bool aborted; /* the answer is not wanted: stored only if its line is already written */
    struct request_metadata metadata; /* points to the values below */
    char method[METADATA_SIZE], content_length[METADATA_SIZE], signature[METADATA_SIZE],
        client[METADATA_SIZE];
    size_t length; /* of the body; over BODY_LIMIT: too large, and not read to its end */
    char body[BODY_LIMIT];
};

#endif
