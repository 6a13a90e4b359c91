/* A parameter of an SQL statement, in PostgreSQL's binary format: one value, or an array with one element for
 * each row of a batch. */
#ifndef DOORPOST_COLUMN_H
#define DOORPOST_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Type numbers of PostgreSQL's catalog (pg_type): bigint, text, bytea. */
enum column_type { COLUMN_NUMBER = 20, COLUMN_TEXT = 25, COLUMN_BYTES = 17 };

/* Initialise with zeros; the fields are private. */
struct column {
    enum column_type type;
    bool is_array;
    bool failed; /* out of memory */
    uint32_t count;
    char *bytes;
    size_t length, size;
};

/* Starts a parameter, reusing the memory of the last one. */
void column_start(struct column *column, enum column_type type, bool is_array);
void column_free(struct column *column);

/* Adds the value, or the next element. Text is UTF-8 without NUL characters. */
void column_add(struct column *column, const void *bytes, size_t length);
void column_add_text(struct column *column, const char *text);
void column_add_number(struct column *column, int64_t number);

/* Returns true if memory ran out: something was not added. */
bool column_has_failed(const struct column *column);

/* Ends the parameter: sets its bytes and the number of its type. Returns false if memory ran out. */
bool column_end(struct column *column, const char **bytes, int *length, uint32_t *type);

#endif
