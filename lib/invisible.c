#include "invisible.h"

#include "quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Unicode white space and Default_Ignorable_Code_Point, and control characters. */
static const struct {
    uint32_t first, last;
    const char *name;
} ranges[] = {
    {0x00, 0x00, "NUL, probably UTF-16"},
    {0x01, 0x08, "control"},
    {0x0a, 0x1f, "control"},
    {0x7f, 0x9f, "control"},
    {0xa0, 0xa0, "no-break space"},
    {0xad, 0xad, "soft hyphen"},
    {0x34f, 0x34f, "zero width"},
    {0x61c, 0x61c, "direction"},
    {0x115f, 0x1160, "filler"},
    {0x1680, 0x1680, "space"},
    {0x17b4, 0x17b5, "zero width"},
    {0x180b, 0x180f, "separator"},
    {0x2000, 0x200a, "space"},
    {0x200b, 0x200d, "zero width"},
    {0x200e, 0x200f, "direction"},
    {0x2028, 0x2029, "line break"},
    {0x202a, 0x202e, "direction"},
    {0x202f, 0x202f, "no-break space"},
    {0x205f, 0x205f, "space"},
    {0x2060, 0x2065, "zero width"},
    {0x2066, 0x206f, "direction"},
    {0x2800, 0x2800, "blank"},
    {0x3000, 0x3000, "space"},
    {0x3164, 0x3164, "filler"},
    {0xfe00, 0xfe0f, "variation"},
    {0xfeff, 0xfeff, "byte order mark"},
    {0xffa0, 0xffa0, "filler"},
    {0xfff0, 0xfffb, "zero width"},
    {0x1bca0, 0x1bca3, "format"},
    {0x1d173, 0x1d17a, "format"},
    {0xe0000, 0xe0fff, "tag"},
};

bool invisible_find(const char *text, size_t length, char out[INVISIBLE_SIZE]) {
    uint32_t character;
    for (size_t at = 0, size; at < length; at += size) {
        size = utf8_decode(text + at, length - at, &character);
        if (size == 0) { /* not UTF-8: ignored, except for the no-break space of Latin-1 */
            character = text[at] == '\xa0' ? 0xa0 : '?';
            size = 1;
        }
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
            if (character >= ranges[i].first && character <= ranges[i].last) {
                snprintf(out, INVISIBLE_SIZE, "the invisible character U+%04" PRIX32 " (%s)", character,
                         ranges[i].name);
                return true;
            }
    }
    return false;
}

bool is_utf16(const char *text, size_t length) {
    if (length < 2)
        return false;
    return memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 ||
           (text[0] == '\0') != (text[1] == '\0');
}
