/* Invisible characters that come along when text is pasted from a web page, a word processor or a chat. A key
 * or a path with one of them looks right and is not. */
#ifndef DOORPOST_INVISIBLE_H
#define DOORPOST_INVISIBLE_H

#include <stdbool.h>
#include <stddef.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* UTF-8's; some Windows editors begin each file with it */

#define INVISIBLE_SIZE 64
/* Finds the first control character but a tab, or space but ASCII's, or character that Unicode lets programs
 * not show; in UTF-8, and the no-break space of Latin-1 too. Writes `the invisible character U+00A0 (no-break
 * space)` and returns true, or returns false if there is none. */
bool invisible_find(const char *text, size_t length, char out[INVISIBLE_SIZE]);

/* Returns true when a file that begins so is UTF-16, which Windows calls "Unicode" and PowerShell's > writes,
 * or UTF-32. */
bool is_utf16(const char *text, size_t length);

#endif
