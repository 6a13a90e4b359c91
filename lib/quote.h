/* Text from outside, made safe to print: as a JSON string literal in pure ASCII. */
#ifndef DOORPOST_QUOTE_H
#define DOORPOST_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes that quote() writes for `length` bytes of text, the final NUL included. */
#define QUOTE_SIZE(length) (6 * (length) + 3)

/* Decodes one character of UTF-8 (RFC 3629: nothing overlong, no surrogates, nothing above U+10FFFF) from
 * `length` bytes. Returns how many bytes it takes, or 0 where they are not UTF-8. */
size_t utf8_decode(const char *text, size_t length, uint32_t *character);

/* May a character reach a terminal? No control character (C0, DEL, C1) may, nor one that turns the direction
 * of text, or cannot be seen. */
bool is_printable(uint32_t character);

/* Writes one character as it stands in a JSON string literal: a \u escape or two, unless it is printable
 * ASCII. `out` has room for 16 bytes. Returns the length. */
size_t quote_character(char *out, uint32_t character);

/* Writes `text` as a JSON string literal with its quotation marks: control characters and all that is not
 * ASCII become \u escapes, bytes that are not UTF-8 become \u00XX. Where `size` is too small, whole
 * characters at the end are left out. `size` must be at least 3. Returns the length written, without the
 * final NUL. */
size_t quote(char *out, size_t size, const char *text, size_t length);

#endif
