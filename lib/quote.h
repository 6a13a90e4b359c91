/* Makes external text safe to print, as a JSON string literal in pure ASCII. */
#ifndef DOORPOST_QUOTE_H
#define DOORPOST_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The maximum number of bytes that quote() writes for `length` bytes of text, including the final NUL. */
#define QUOTE_SIZE(length) (6 * (length) + 3)

/* Decodes one UTF-8 character (RFC 3629: nothing overlong, no surrogates, nothing above U+10FFFF) from
 * `length` bytes. Returns the number of bytes used, or 0 if they are not UTF-8. */
size_t utf8_decode(const char *text, size_t length, uint32_t *character);

/* Returns true if a character is safe for a terminal: not a control character (C0, DEL, C1), not one that
 * changes text direction, and not invisible. */
bool is_printable(uint32_t character);

/* Writes one character as it appears in a JSON string literal: one or two \u escapes, unless it is
 * printable ASCII. `out` has room for 16 bytes. Returns the length. */
size_t quote_character(char *out, uint32_t character);

/* Writes `text` as a JSON string literal, quotation marks included: control and non-ASCII characters
 * become \u escapes, and bytes that are not UTF-8 become \u00XX. If `size`, at least 3, is too small,
 * whole characters at the end are omitted. Returns the length without the final NUL. */
size_t quote(char *out, size_t size, const char *text, size_t length);

#endif
