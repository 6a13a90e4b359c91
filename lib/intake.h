/* Decides a request's disposition. Pure: no files, no clock, no web server. */
#ifndef DOORPOST_INTAKE_H
#define DOORPOST_INTAKE_H

#include "config.h"
#include "disposition.h"
#include "event.h"
#include "signature.h"

#include <stddef.h>
#include <stdint.h>

/* The request metadata that the gateway passes (RFC 3875, section 4.1). Any of them may be NULL. */
struct request_metadata {
    const char *method;         /* REQUEST_METHOD */
    const char *content_length; /* CONTENT_LENGTH */
    const char *signature;      /* RING_SIGNATURE_VARIABLE */
    const char *client;         /* REMOTE_ADDR; only for the log */
};

struct decision {
    enum disposition disposition;
    struct reason cause;
    char key[FINGERPRINT_SIZE];          /* of the key that verified it, or "" */
    char signature[SIGNATURE_TEXT_SIZE]; /* as signature_format() writes it, if verified */
    struct event event;                  /* if ACCEPTED; if REJECTED, the fields that could be read */
};

#define LENGTH_ABSENT (-1)
#define LENGTH_INVALID (-2)

/* Parses a CONTENT_LENGTH (RFC 9110, section 8.6): digits only. A value over BODY_LIMIT is returned as some
 * number over it. Returns LENGTH_ABSENT for NULL, "" or "-1", which Caddy sends for a chunked body, and
 * LENGTH_INVALID for anything else. */
long intake_length(const char *content_length);

/* Decides on a request with a complete body of `length` bytes. A length over BODY_LIMIT is rejected without
 * reading the body. The body is not parsed before its signature is verified. The event's age is not checked
 * here: an event already in the journal is a duplicate at any age. */
void intake_request(const struct config *config, struct keys *keys, struct event_parser *parser,
                    const struct request_metadata *metadata, const char *body, size_t length,
                    struct decision *decision);

/* The last step of that: decides by the signature and body only. */
void intake_body(struct keys *keys, struct event_parser *parser, const char *signature, const char *body,
                 size_t length, struct decision *decision);

/* Sets the disposition and its cause. */
void intake_refuse(struct decision *decision, enum disposition disposition, const char *cause);

#endif
