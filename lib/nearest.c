#include "nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LENGTH_MAX 32 /* longer words match nothing */

static size_t min(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool same_letter(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* The edit distance (optimal string alignment), computed over all pairs of prefixes. */
static size_t distance(const char *a, const char *b) {
    size_t table[LENGTH_MAX + 1][LENGTH_MAX + 1];
    size_t rows = strlen(a), columns = strlen(b);
    for (size_t i = 0; i <= rows; i++)
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            table[i][j] = min(min(table[i - 1][j], table[i][j - 1]) + 1,
                              table[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1);
        }
    return table[rows][columns];
}

void nearest_start(struct nearest *nearest, const char *word) {
    *nearest = (struct nearest){.word = word, .distance = strlen(word) < 5 ? 2 : 3};
}

void nearest_try(struct nearest *nearest, const char *name) {
    size_t length = strlen(nearest->word), other = strlen(name);
    if (length > LENGTH_MAX || other > LENGTH_MAX || length < 2)
        return;
    bool begins = strncasecmp(nearest->word, name, min(length, other)) == 0;
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
