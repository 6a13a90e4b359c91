/* The signature covers the bytes as received. Nothing here interprets them. */
#include "signature.h"

#include <stdio.h>
#include <string.h>

#define PREFIX_LENGTH (sizeof RING_SIGNATURE_PREFIX - 1)

int signature_parse(const char *header, uint8_t digest[SIGNATURE_BYTES]) {
    size_t length;
    if (strncmp(header, RING_SIGNATURE_PREFIX, PREFIX_LENGTH) == 0)
        header += PREFIX_LENGTH;
    if (strlen(header) != 2 * (size_t)SIGNATURE_BYTES)
        return ERROR_INVALID;
    if (sodium_hex2bin(digest, SIGNATURE_BYTES, header, 2 * (size_t)SIGNATURE_BYTES, NULL, &length, NULL) !=
            0 ||
        length != SIGNATURE_BYTES)
        return ERROR_INVALID;
    return 0;
}

void signature_format(const uint8_t digest[SIGNATURE_BYTES], char out[SIGNATURE_TEXT_SIZE]) {
    memcpy(out, RING_SIGNATURE_PREFIX, PREFIX_LENGTH);
    sodium_bin2hex(out + PREFIX_LENGTH, 2 * (size_t)SIGNATURE_BYTES + 1, digest, SIGNATURE_BYTES);
}

void signature_make(struct keys *keys, size_t index, const void *body, size_t length,
                    uint8_t digest[SIGNATURE_BYTES]) {
    crypto_auth_hmacsha256_state *state = keys_start(keys, index);
    crypto_auth_hmacsha256_update(state, body, length);
    crypto_auth_hmacsha256_final(state, digest);
}

int signature_verify(struct keys *keys, const void *body, size_t length,
                     const uint8_t digest[SIGNATURE_BYTES]) {
    uint8_t computed[SIGNATURE_BYTES];
    int found = ERROR_INVALID;
    for (size_t i = 0; i < keys_count(keys) && found < 0; i++) {
        signature_make(keys, i, body, length, computed);
        if (sodium_memcmp(computed, digest, sizeof computed) == 0)
            found = (int)i;
    }
    /* The HMAC computed over an unsigned body is a valid signature for it: do not leave it in memory. */
    sodium_memzero(computed, sizeof computed);
    return found;
}
