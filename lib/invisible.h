/* Finds invisible characters pasted with text from a web page, a word processor or a chat. A key or path that
 * contains one looks right but is wrong. */
#ifndef DOORPOST_INVISIBLE_H
#define DOORPOST_INVISIBLE_H

#include <stdbool.h>
#include <stddef.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* UTF-8; some Windows editors start each file with it */

#define INVISIBLE_SIZE 64
/* Finds the first control character other than tab, non-ASCII space, or default-ignorable character in UTF-8,
 * or a Latin-1 no-break space. Writes `the invisible character U+00A0 (no-break space)` and returns true, or
 * returns false if there is none. */
bool invisible_find(const char *text, size_t length, char out[INVISIBLE_SIZE]);

/* Returns true if a file that begins with `text` is UTF-16, which Windows calls "Unicode" and PowerShell's >
 * writes, or UTF-32. */
bool is_utf16(const char *text, size_t length);

#endif
