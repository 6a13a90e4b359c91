/* The decision: a raw request in, a verdict out. Pure: no file, no clock, no web server. */
#ifndef DOORPOST_INTAKE_H
#define DOORPOST_INTAKE_H

#include "config.h"
#include "event.h"
#include "signature.h"

#include <stddef.h>
#include <stdint.h>

enum verdict {
    VERDICT_USABLE,   /* signed, and an event: to be kept */
    VERDICT_REJECTED, /* signed, and no usable event: to be kept in rejected/; `cause` is the reason to answer
                       */
    VERDICT_UNSIGNED, /* X-Signature missing, malformed or wrong; `cause` is for the log alone */
    VERDICT_NOT_POST, /* another method */
    VERDICT_NO_LENGTH, /* no Content-Length */
    VERDICT_TOO_LARGE, /* a Content-Length over the limit */
    VERDICT_MALFORMED, /* a Content-Length that is no number, or a body shorter than it says */
    VERDICT_TROUBLE    /* our fault: a retry may help */
};

/* What of a request decides, as the web server passes it on (RFC 3875, section 4.1). Any of them may be NULL.
 */
struct head {
    const char *method;         /* REQUEST_METHOD */
    const char *content_length; /* CONTENT_LENGTH */
    const char *signature;      /* HTTP_X_SIGNATURE */
};

struct decision {
    enum verdict verdict;
    struct reason cause;
    char key[FINGERPRINT_SIZE];          /* of the key that verified it, or "" */
    char signature[SIGNATURE_TEXT_SIZE]; /* as signature_format() writes it, where verified */
    struct event event; /* where VERDICT_USABLE; where VERDICT_REJECTED, what could be read of it */
};

/* What can be said before the body is read. Returns the length of the body that is to be read then; or
 * ERROR_INVALID, and the decision is final. */
long intake_head(const struct config *config, const struct head *head, struct decision *decision);

/* The rest, once `length` bytes of body are there. Nothing looks into the body before its signature has been
 * verified. Whether an event is too old is not decided here: one that the journal holds is a duplicate at any
 * age. */
void intake_body(struct keys *keys, struct event_parser *parser, const struct head *head, const char *body,
                 size_t length, struct decision *decision);

/* A body that ended before its length. */
void intake_truncated(struct decision *decision);

#endif
