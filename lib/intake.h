/* The decision: a raw request in, a disposition out. Pure: no file, no clock, no web server. */
#ifndef DOORPOST_INTAKE_H
#define DOORPOST_INTAKE_H

#include "config.h"
#include "disposition.h"
#include "event.h"
#include "signature.h"

#include <stddef.h>
#include <stdint.h>

/* What of a request decides, as the gateway passes it on (RFC 3875, section 4.1). Any of them may be NULL. */
struct request_metadata {
    const char *method;         /* REQUEST_METHOD */
    const char *content_length; /* CONTENT_LENGTH */
    const char *signature;      /* RING_SIGNATURE_VARIABLE */
    const char *client;         /* REMOTE_ADDR; for the log alone */
};

struct decision {
    enum disposition disposition;
    struct reason cause;
    char key[FINGERPRINT_SIZE];          /* of the key that verified it, or "" */
    char signature[SIGNATURE_TEXT_SIZE]; /* as signature_format() writes it, where verified */
    struct event event; /* where VERDICT_USABLE; where VERDICT_REJECTED, what could be read of it */
};

#define LENGTH_ABSENT (-1)
#define LENGTH_INVALID (-2)

/* Reads a CONTENT_LENGTH (RFC 9110, section 8.6): digits alone; more than BODY_LIMIT comes back as some
 * larger number. LENGTH_NOT_TOLD: it is NULL, empty, or -1, which Caddy sends for a chunked body.
 * LENGTH_INVALID: anything else. */
long intake_length(const char *content_length);

/* Decides on a request whose body, `length` bytes, is there to its end; a length over BODY_LIMIT is refused
 * without a look at the body. Nothing looks into the body before its signature has been verified. Whether an
 * event is too old is not decided here: one that the journal holds is a duplicate at any age. */
void intake_request(const struct config *config, struct keys *keys, struct event_parser *parser,
                    const struct request_metadata *metadata, const char *body, size_t length,
                    struct decision *decision);

/* The last part of that: decides by the signature and the body alone. */
void intake_body(struct keys *keys, struct event_parser *parser, const char *signature, const char *body,
                 size_t length, struct decision *decision);

/* Decides VERDICT_MALFORMED or VERDICT_TROUBLE, with this cause. */
void intake_refuse(struct decision *decision, enum disposition disposition, const char *cause);

#endif
