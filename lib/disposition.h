/* What happened to a delivery: one word from the decision to the answer and the log line. */
#ifndef DOORPOST_DISPOSITION_H
#define DOORPOST_DISPOSITION_H

enum disposition {
    DISPOSITION_UNAVAILABLE, /* our fault: not kept, or not known to be on the disk; a retry may help */
    DISPOSITION_ACCEPTED,    /* signed and usable: to be kept in the journal. Not final */
    DISPOSITION_STORED,
    DISPOSITION_DUPLICATE,
    DISPOSITION_REJECTED,           /* signed but unusable, or stale: to be kept, or kept, in rejected/ */
    DISPOSITION_UNAUTHORIZED,       /* X-Signature is missing, malformed or wrong */
    DISPOSITION_METHOD_NOT_ALLOWED, /* not POST */
    DISPOSITION_LENGTH_REQUIRED,    /* no Content-Length, and no body either */
    DISPOSITION_TOO_LARGE,          /* a Content-Length or a body over the limit */
    DISPOSITION_MALFORMED           /* Content-Length is invalid or does not match the body, or the gateway's
                                       parameters are invalid */
};

#endif
