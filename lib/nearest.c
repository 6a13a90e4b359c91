#include "nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LONGEST 32 /* longer words are not near to anything */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool is_same(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* The number of changes (optimal string alignment), by the table of all beginnings of both. */
static size_t distance(const char *a, const char *b) {
    size_t table[LONGEST + 1][LONGEST + 1];
    size_t rows = strlen(a), columns = strlen(b);
    for (size_t i = 0; i <= rows; i++)
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            table[i][j] = least(least(table[i - 1][j], table[i][j - 1]) + 1,
                                table[i - 1][j - 1] + !is_same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]))
                table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
        }
    return table[rows][columns];
}

void nearest_start(struct nearest *nearest, const char *word) {
    *nearest = (struct nearest){.word = word, .distance = strlen(word) < 5 ? 2 : 3};
}

void nearest_try(struct nearest *nearest, const char *name) {
    size_t length = strlen(nearest->word), other = strlen(name);
    if (length > LONGEST || other > LONGEST || length < 2)
        return;
    bool begins = strncasecmp(nearest->word, name, least(length, other)) == 0;
    size_t found = begins ? length > other : distance(nearest->word, name);
    if (found < nearest->distance) {
        nearest->name = name;
        nearest->distance = found;
    }
}

const char *nearest_hint(const struct nearest *nearest, const char *prefix, char out[NEAREST_SIZE]) {
    out[0] = '\0';
    if (nearest->name != NULL)
        snprintf(out, NEAREST_SIZE, ": did you mean \"%s%s\"?", prefix, nearest->name);
    return out;
}
