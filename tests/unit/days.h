/* Day files made without a journal: lines are built one after another, and written as a file. */
#ifndef DOORPOST_TESTS_DAYS_H
#define DOORPOST_TESTS_DAYS_H

#include "record.h"
#include "support.h"

/* What the functions below have built so far. */
extern struct text {
    char bytes[16 * RECORD_LIMIT];
    size_t length;
} text;

/* Adds bytes as they are, or a line with this body that continues `chain`. Both return where that begins. */
size_t add_text(const char *bytes, size_t length);
size_t add_line(struct chain_state *chain, int64_t received_at, const char *body);

/* Adds a line of `length` bytes, including its line break. */
size_t add_long_line(struct chain_state *chain, size_t length);

/* Writes the text as a day file, and clears it. */
void write_day(const char *directory, int32_t day);

#endif
