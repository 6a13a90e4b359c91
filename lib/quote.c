/* Answers (JSON) and the log (logfmt accepts JSON string literals) use the same escaping: text from a
 * sender cannot end a string or a line, or send control sequences to a terminal. */
#include "quote.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *text, size_t length, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length; smaller values are overlong */
    const unsigned char *byte = (const unsigned char *)text;
    if (length == 0)
        return 0;
    if (byte[0] < 0x80) {
        *character = byte[0];
        return 1;
    }
    size_t count = byte[0] >= 0xf0 && byte[0] <= 0xf4 ? 4 : byte[0] >= 0xe0 && byte[0] < 0xf0 ? 3 : 2;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || count > length)
        return 0;
    uint32_t value = byte[0] & (0xffU >> (count + 1));
    for (size_t i = 1; i < count; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (byte[i] & 0x3fU);
    }
    if (value < least[count] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *character = value;
    return count;
}

bool is_printable(uint32_t character) {
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},
                  {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
                  {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (character >= hidden[i].first && character <= hidden[i].last)
            return false;
    return true;
}

size_t quote_character(char *out, uint32_t character) {
    if (character == '"' || character == '\\')
        return (size_t)sprintf(out, "\\%c", (int)character);
    if (character == '\n')
        return (size_t)sprintf(out, "\\n");
    if (character >= 0x20 && character < 0x7f) {
        out[0] = (char)character;
        return 1;
    }
    if (character < 0x10000)
        return (size_t)sprintf(out, "\\u%04x", (unsigned)character);
    character -= 0x10000; /* RFC 8259, section 7: a surrogate pair */
    return (size_t)sprintf(out, "\\u%04x\\u%04x", 0xd800U | (unsigned)(character >> 10),
                           0xdc00U | (unsigned)(character & 0x3ff));
}

size_t quote(char *out, size_t size, const char *text, size_t length) {
    size_t used = 0;
    out[used++] = '"';
    while (length > 0) {
        uint32_t character;
        size_t taken = utf8_decode(text, length, &character);
        if (taken == 0) {
            character = (unsigned char)*text;
            taken = 1;
        }
        char escaped[16];
        size_t wide = quote_character(escaped, character);
        if (used + wide + 2 > size)
            break;
        memcpy(out + used, escaped, wide);
        used += wide;
        text += taken;
        length -= taken;
    }
    out[used++] = '"';
    out[used] = '\0';
    return used;
}
