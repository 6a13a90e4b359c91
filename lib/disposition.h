/* What happened to a delivery, from the decision to the answer and the log line. */
#ifndef DOORPOST_DISPOSITION_H
#define DOORPOST_DISPOSITION_H

enum disposition {
    DISPOSITION_UNAVAILABLE, /* server error: not kept, or not known to be durable; a retry may help */
    DISPOSITION_ACCEPTED,    /* signed and usable: to be stored in the journal. Not final */
    DISPOSITION_STORED,
    DISPOSITION_DUPLICATE,
    DISPOSITION_REJECTED,           /* signed but unusable, or stale: goes to rejected/ */
    DISPOSITION_UNAUTHORIZED,       /* X-Signature is missing, malformed or wrong */
    DISPOSITION_METHOD_NOT_ALLOWED, /* not POST */
    DISPOSITION_LENGTH_REQUIRED,    /* neither Content-Length nor a body */
    DISPOSITION_TOO_LARGE,          /* Content-Length or body exceeds the limit */
    DISPOSITION_MALFORMED           /* Content-Length is invalid or does not match the body, or the gateway's
                                       parameters are invalid */
};

#endif
