#include "percent.h"

#include <ctype.h>
#include <string.h>

char *percent_encode(const char *text, char *out, size_t size) {
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;
    for (; *text != '\0' && at + 3 < size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 128 && (isalnum(byte) || strchr("-._~", byte) != NULL)) {
            out[at++] = *text;
        } else {
            out[at++] = '%';
            out[at++] = digits[byte >> 4];
            out[at++] = digits[byte & 15];
        }
    }
    out[at] = '\0';
    return out;
}

static int digit(char character) {
    const char *digits = "0123456789abcdef";
    const char *found = strchr(digits, tolower((unsigned char)character));
    return found != NULL && character != '\0' ? (int)(found - digits) : -1;
}

long percent_decode(const char *text, size_t length, int form, char *out, size_t size) {
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int byte = (unsigned char)text[i];
        if (byte == '+' && form) {
            byte = ' ';
        } else if (byte == '%') {
            int high = i + 2 < length ? digit(text[i + 1]) : -1,
                low = i + 2 < length ? digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            byte = high << 4 | low;
            i += 2;
        }
        if (byte == '\0' || used + 1 >= size)
            return -1;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return (long)used;
}
