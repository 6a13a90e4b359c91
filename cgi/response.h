/* What the web server is told: the CGI header fields (RFC 3875, section 6) and a JSON body. */
#ifndef DOORPOST_RESPONSE_H
#define DOORPOST_RESPONSE_H

#include "intake.h"
#include "journal.h"

#define RESPONSE_SIZE 8192 /* fits the longest event id and reason, each character escaped */

/* What one delivery came to. */
struct verdict_line {
    int status;       /* HTTP */
    const char *word; /* for the log, and "status" in the body */
};

/* The status and the word for a decision and, where it was VERDICT_USABLE or VERDICT_REJECTED, what the
 * journal made of it. */
struct verdict_line response_verdict(const struct decision *decision, enum disposition disposition);

/* Writes the answer into `out`; to HEAD, without a body (RFC 3875, section 4.3.3). Returns its length. */
size_t response_write(const struct decision *decision, enum disposition disposition, uint64_t seq,
                      bool with_body, char out[RESPONSE_SIZE]);

#endif
