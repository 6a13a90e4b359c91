/* What becomes of the bytes of a file that is damaged at random. */
#ifndef DOORPOST_DAMAGE_H
#define DOORPOST_DAMAGE_H

#include <stddef.h>
#include <stdint.h>

#define DAMAGES 11
#define DAMAGE_GROWS 4096 /* bytes at most */

const char *damage_name(unsigned kind);

/* Changes bytes, at least one, which have room for DAMAGE_GROWS more; `other` are those of another file of
 * the kind. Returns the new size, SIZE_MAX: deleted. */
size_t damage_do(unsigned kind, uint8_t *bytes, size_t size, const uint8_t *other, size_t other_size);

#endif
