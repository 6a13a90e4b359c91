#include "damage.h"

#include "runs.h"

#include <string.h>

static const char *const names[DAMAGES] = {"bytes",    "garbage",  "zeros",     "sector",  "cut off", "grown",
                                           "repeated", "left out", "exchanged", "emptied", "deleted"};

static void fill(uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)draw(256);
}

/* A random position, or one just before or after a line break: that is where damage and an unfinished write
 * are distinguished. */
static size_t draw_place(const uint8_t *bytes, size_t size) {
    size_t at = draw(size);
    const uint8_t *line_break = draw(3) == 0 ? memchr(bytes + at, '\n', size - at) : NULL;
    if (line_break == NULL)
        return at;
    at = (size_t)(line_break - bytes) + draw(3);
    return at == 0 ? 0 : at - 1 < size ? at - 1 : size - 1;
}

const char *damage_name(unsigned kind) {
    return names[kind];
}

size_t damage_do(unsigned kind, uint8_t *bytes, size_t size, const uint8_t *other, size_t other_size) {
    size_t at = draw_place(bytes, size), length = 1 + draw(draw(2) == 0 ? 16 : 600),
           count = length < size - at ? length : size - at;
    switch (kind) {
    case 0:
        for (size_t i = 1 + draw(4); i > 0; i--)
            bytes[draw(size)] = draw(2) == 0 ? (uint8_t)draw(256) : (uint8_t) "\"\\{}[]:,\n\0\r9"[draw(12)];
        return size;
    case 1:
        fill(bytes + at, count);
        return size;
    case 2:
        memset(bytes + at, 0, count);
        return size;
    case 3:
        at -= at % 512;
        memset(bytes + at, 0, size - at < 512 ? size - at : 512);
        return size;
    case 4:
        return at;
    case 5:
        length = 1 + draw(DAMAGE_GROWS);
        memset(bytes + size, 0, length);
        if (draw(2) == 0)
            fill(bytes + size, length);
        return size + length;
    case 6: /* duplicates a stretch in place */
        memmove(bytes + at + count, bytes + at, size - at);
        return size + count;
    case 7:
        memmove(bytes + at, bytes + at + count, size - at - count);
        return size - count;
    case 8: /* inserts a stretch of another file of the same kind */
        count = count < other_size ? count : other_size;
        memcpy(bytes + at, other + draw(other_size - count + 1), count);
        return size;
    case 9:
        return 0;
    default:
        return SIZE_MAX;
    }
}
