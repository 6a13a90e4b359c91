/* Percent-encoding (RFC 3986, section 2.1). */
#ifndef DOORPOST_PERCENT_H
#define DOORPOST_PERCENT_H

#include <stddef.h>

/* The most bytes that percent_encode() writes for `length` bytes, a NUL included. */
#define PERCENT_SIZE(length) (3 * (length) + 1)

/* Encodes everything but unreserved characters (letters, digits, - . _ ~). Truncates to `size`. Returns
 * `out`. */
char *percent_encode(const char *text, char *out, size_t size);

/* Decodes `length` bytes; if `form`, + is a space (application/x-www-form-urlencoded). Returns the length, or
 * -1 if an escape is malformed or is a NUL, or the result does not fit into `size` with its NUL. */
long percent_decode(const char *text, size_t length, int form, char *out, size_t size);

#endif
