/* The answer to a delivery: CGI header fields (RFC 3875, section 6) and a JSON body. */
#ifndef DOORPOST_RESPONSE_H
#define DOORPOST_RESPONSE_H

#include "intake.h"

#define RESPONSE_SIZE 8192 /* fits the longest event id and reason with every character escaped */

/* Return a disposition's HTTP status, and its "status" in the body. */
int response_status(enum disposition disposition);
const char *response_word(enum disposition disposition);

/* Writes the answer into `out`; without a body for HEAD (RFC 3875, section 4.3.3). Returns its length. */
size_t response_write(const struct decision *decision, uint64_t seq, bool with_body, char out[RESPONSE_SIZE]);

#endif
