#include "invisible.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned first, last;
    const char *name;
} ranges[] = {
    {0x00, 0x08, "control"},
    {0x0a, 0x1f, "control"},
    {0x7f, 0x9f, "control"},
    {0xa0, 0xa0, "no-break space"},
    {0xad, 0xad, "soft hyphen"},
    {0x1680, 0x1680, "space"},
    {0x180e, 0x180e, "separator"},
    {0x2000, 0x200a, "space"},
    {0x200b, 0x200d, "zero width"},
    {0x200e, 0x200f, "direction"},
    {0x2028, 0x2029, "line break"},
    {0x202a, 0x202e, "direction"},
    {0x202f, 0x202f, "no-break space"},
    {0x205f, 0x205f, "space"},
    {0x2060, 0x2064, "zero width"},
    {0x2066, 0x206f, "direction"},
    {0x3000, 0x3000, "space"},
    {0xfe00, 0xfe0f, "variation"},
    {0xfeff, 0xfeff, "byte order mark"},
};

/* Reads one character of up to three bytes of UTF-8 (RFC 3629). Returns its length; what is no UTF-8, or
 * longer, is one byte of no interest. */
static size_t read_character(const unsigned char *text, size_t length, unsigned *character) {
    size_t size = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : text[0] >> 4 == 0xe ? 3 : 0;
    *character = '?';
    if (size == 0 || size > length)
        return 1;
    unsigned value = size == 1 ? text[0] : size == 2 ? text[0] & 0x1fU : text[0] & 0xfU;
    for (size_t i = 1; i < size; i++) {
        if (text[i] >> 6 != 2)
            return 1;
        value = value << 6 | (text[i] & 0x3fU);
    }
    *character = value;
    return size;
}

bool invisible_find(const char *text, size_t length, char out[INVISIBLE_SIZE]) {
    unsigned character;
    for (size_t at = 0; at < length;) {
        at += read_character((const unsigned char *)text + at, length - at, &character);
        for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
            if (character >= ranges[i].first && character <= ranges[i].last) {
                snprintf(out, INVISIBLE_SIZE, "the invisible character U+%04X (%s)", character,
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
