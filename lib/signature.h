/* The signature header: RING_SIGNATURE_PREFIX and the hexadecimal HMAC-SHA256 (RFC 2104, FIPS 180-4) of the
 * raw body. */
#ifndef DOORPOST_SIGNATURE_H
#define DOORPOST_SIGNATURE_H

#include "keys.h"
#include "ring.h"

#include <stdint.h>

#define SIGNATURE_BYTES 32
#define SIGNATURE_TEXT_SIZE (sizeof RING_SIGNATURE_PREFIX + 2 * SIGNATURE_BYTES)

/* Parses the header's value: an optional prefix, 64 hexadecimal digits of either case, and nothing else.
 * Returns 0 or ERROR_INVALID. */
int signature_parse(const char *header, uint8_t digest[SIGNATURE_BYTES]);

/* Formats a signature as Ring does: the prefix and lower-case digits. */
void signature_format(const uint8_t digest[SIGNATURE_BYTES], char out[SIGNATURE_TEXT_SIZE]);

/* Computes the signature of `length` bytes of body with the key at `index`. */
void signature_make(struct keys *keys, size_t index, const void *body, size_t length,
                    uint8_t digest[SIGNATURE_BYTES]);

/* Returns the index of the key that `digest` was computed with, or ERROR_INVALID if there is none.
 * Compares in constant time. */
int signature_verify(struct keys *keys, const void *body, size_t length,
                     const uint8_t digest[SIGNATURE_BYTES]);

#endif
