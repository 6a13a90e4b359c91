/* Random damage to the bytes of a file. */
#ifndef DOORPOST_DAMAGE_H
#define DOORPOST_DAMAGE_H

#include <stddef.h>
#include <stdint.h>

#define DAMAGES 11
#define DAMAGE_GROWS 4096 /* at most, in bytes */

const char *damage_name(unsigned kind);

/* Changes at least one of the bytes; the buffer has room for DAMAGE_GROWS more. `other` holds the bytes of
 * another file of the same kind. Returns the new size, or SIZE_MAX if the file is to be deleted. */
size_t damage_do(unsigned kind, uint8_t *bytes, size_t size, const uint8_t *other, size_t other_size);

#endif
