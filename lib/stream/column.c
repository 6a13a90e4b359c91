/* An array in PostgreSQL's binary format, as array_send() writes it: the number of dimensions, a flag for
 * NULLs, the element type, and for the one dimension its length and its lower bound; then for each element
 * its length and its bytes. All integers are big-endian. */
#include "column.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_HEADER 20 /* bytes */

static void append(struct column *column, const void *bytes, size_t length) {
    if (length > column->size - column->length) {
        size_t size = 2 * column->size + length;
        char *grown = realloc(column->bytes, size);
        if (grown == NULL) {
            column->failed = true;
            return;
        }
        column->bytes = grown;
        column->size = size;
    }
    if (length > 0)
        memcpy(column->bytes + column->length, bytes, length);
    column->length += length;
}

void column_start(struct column *column, enum column_type type, bool is_array) {
    static const char header[ARRAY_HEADER];
    column->type = type;
    column->is_array = is_array;
    column->failed = false;
    column->count = 0;
    column->length = 0;
    if (is_array)
        append(column, header, sizeof header);
}

void column_free(struct column *column) {
    free(column->bytes);
    *column = (struct column){0};
}

void column_add(struct column *column, const void *bytes, size_t length) {
    uint32_t prefix = htonl((uint32_t)length);
    if (column->is_array)
        append(column, &prefix, sizeof prefix);
    append(column, bytes, length);
    column->count++;
}

void column_add_text(struct column *column, const char *text) {
    column_add(column, text, strlen(text));
}

void column_add_number(struct column *column, int64_t number) {
    uint64_t value = htobe64((uint64_t)number);
    column_add(column, &value, sizeof value);
}

bool column_has_failed(const struct column *column) {
    return column->failed;
}

bool column_end(struct column *column, const char **bytes, int *length, uint32_t *type) {
    static const struct {
        enum column_type element;
        uint32_t array;
    } arrays[] = {{COLUMN_NUMBER, 1016}, {COLUMN_TEXT, 1009}, {COLUMN_BYTES, 1001}};
    *type = (uint32_t)column->type;
    if (!column->failed && column->is_array) {
        const uint32_t header[] = {htonl(1), 0, htonl((uint32_t)column->type), htonl(column->count),
                                   htonl(1)};
        memcpy(column->bytes, header, ARRAY_HEADER);
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            if (arrays[i].element == column->type)
                *type = arrays[i].array;
    }
    *bytes = column->length > 0 ? column->bytes : "";
    *length = (int)column->length;
    return !column->failed;
}
