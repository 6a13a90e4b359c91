/* Events as Ring sends them, made up: fresh identifiers, the members that are documented for the type. */
#ifndef DOORPOST_SAMPLE_H
#define DOORPOST_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_SIZE 8192

/* Is the type one of RING_TYPES? */
bool sample_knows(const char *type);

/* Writes an event of that type, of `at` (microseconds since 1970). `device` and `account` are escaped; they
 * have 256 bytes at most. Returns the length. */
size_t sample_write(const char *type, const char *device, const char *account, int64_t at,
                    char out[SAMPLE_SIZE]);

#endif
