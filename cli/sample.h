/* Generates events as Ring sends them, with fresh identifiers and the members documented for the type. */
#ifndef DOORPOST_SAMPLE_H
#define DOORPOST_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_SIZE 8192

/* Returns true if the type is one of RING_TYPES. */
bool sample_knows(const char *type);

/* Writes an event of that type with the time `at` (microseconds since 1970). Escapes `device` and `account`,
 * which have at most 256 bytes. Returns the length. */
size_t sample_write(const char *type, const char *device, const char *account, int64_t at,
                    char out[SAMPLE_SIZE]);

#endif
