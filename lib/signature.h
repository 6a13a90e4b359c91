/* The signature header: RING_SIGNATURE_PREFIX and the hexadecimal HMAC-SHA256 (RFC 2104, FIPS 180-4) of the
 * raw body. */
#ifndef DOORPOST_SIGNATURE_H
#define DOORPOST_SIGNATURE_H

#include "keys.h"
#include "ring.h"

#include <stdint.h>

#define SIGNATURE_BYTES 32
#define SIGNATURE_TEXT_SIZE (sizeof RING_SIGNATURE_PREFIX + 2 * SIGNATURE_BYTES)

/* Reads a header's value: the prefix is optional, the 64 digits may be of either case, and nothing else may
 * stand there. Returns 0 or ERROR_INVALID. */
int signature_parse(const char *header, uint8_t digest[SIGNATURE_BYTES]);

/* Writes it the way Ring does: the prefix and lower-case digits. */
void signature_format(const uint8_t digest[SIGNATURE_BYTES], char out[SIGNATURE_TEXT_SIZE]);

/* The signature of `length` bytes of body under the key at `index`. */
void signature_make(struct keys *keys, size_t index, const void *body, size_t length,
                    uint8_t digest[SIGNATURE_BYTES]);

/* Which key made `digest` of the body? Returns its index, or ERROR_INVALID where none did. Compares in
 * constant time. */
int signature_verify(struct keys *keys, const void *body, size_t length,
                     const uint8_t digest[SIGNATURE_BYTES]);

#endif
