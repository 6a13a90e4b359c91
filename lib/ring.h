/* Ring, the sender: what its deliveries look like, and what it expects back. What the programs know of Ring
 * is here and in ring.c, so a receiver for another sender starts by changing these two files. Elsewhere are
 * only how the signature is computed (signature.c), and texts for people that mention Ring by the way.
 *
 * The facts are documented on https://developer.amazon.com/docs/ring/PAGE.html, with PAGE in brackets below;
 * [field] is what integrators report and Ring does not document. */
#ifndef DOORPOST_RING_H
#define DOORPOST_RING_H

#include <stdbool.h>
#include <stdint.h>

/* ---- a delivery: a POST with JSON and a signature over its bytes [notifications] ---- */

#define RING_CONTENT_TYPE "application/json"

/* The header with the HMAC-SHA256 of the body, and the variable in which a gateway passes it on (RFC 3875,
 * section 4.1.18). */
#define RING_SIGNATURE_HEADER "X-Signature"
#define RING_SIGNATURE_VARIABLE "HTTP_X_SIGNATURE"

/* Comes before the 64 hexadecimal digits. Optional: Ring's own sample accepts the digits alone. */
#define RING_SIGNATURE_PREFIX "sha256="

/* Of a signing key, which is issued in base64. Some integrators sign with the decoded bytes, others with the
 * text [field]. */
#define RING_KEY_BYTES 32

/* ---- the answer [notifications] ---- */

/* After this time without an answer a delivery counts as failed. */
#define RING_ANSWER_SECONDS 5

/* An answer of 2xx means that it was delivered, 4xx that it never will be. After 5xx, and without an answer,
 * it is sent again. What 3xx does is not documented; it is taken for final. */
bool ring_is_final(int status);

/* How often it is sent again, and after how many seconds, counted from the attempt before. Commands that fail
 * are run again by the same schedule. */
#define RING_RETRIES 6
#define RING_RETRY_TEXT "1 s, 5 s, 30 s, 2 min, 10 min, 1 h"
extern const int ring_retry_after[RING_RETRIES];

/* How late a delivery can come, counted from its event: after the attempts of the first hour it can be
 * replayed on request for another 72 h. DOORPOST_MAX_AGE must not be shorter, or events are lost; nor longer
 * than what prune keeps, or a delivery that is replayed after its day was deleted is stored as new. So prune
 * is to keep as much. */
#define RING_LATEST_HOURS 73
#define RING_LATEST_SECONDS (INT64_C(3600) * RING_LATEST_HOURS)
#define RING_LATEST_DAYS ((RING_LATEST_HOURS + 23) / 24) /* whole days that cover it */

#endif
