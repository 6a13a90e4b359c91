/* What the unit tests share: a temporary directory, the sample deliveries, and generated bodies. */
#ifndef DOORPOST_TESTS_SUPPORT_H
#define DOORPOST_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka has a fail() of its own; ours is in error.h. */
#undef FAIL
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include "keys.h"

#define SAMPLE_SIZE 4096

/* cmocka set-up and tear-down: a new directory in *state (a char *), removed with its contents. */
int make_directory(void **state);
int remove_directory(void **state);

/* DIRECTORY/NAME; valid for the next three calls. */
const char *path_in(const char *directory, const char *name);

/* Writes a file with the given mode. */
void write_file(const char *path, const void *bytes, size_t length, unsigned mode);

/* Reads a file into a buffer that the caller frees, with a NUL after it. */
char *read_file(const char *path, size_t *length);

/* Reads tests/vectors/NAME; returns its length. */
size_t read_sample(const char *name, char out[SAMPLE_SIZE]);

/* The sample keys: key.txt read as text at index 0, as base64 at 1. */
struct keys *sample_keys(void);

/* Writes press `number`: request id, event id and device are derived from it. Returns its length. */
size_t make_press(unsigned number, char out[SAMPLE_SIZE]);

#endif
