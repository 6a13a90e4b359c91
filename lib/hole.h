/* Holes: parts of a file that were never written. They read as zeros, and can be too large to read through.
 * They never contain lines, so they are skipped.
 *
 * These functions move the file offset: read the file with pread(2). */
#ifndef DOORPOST_HOLE_H
#define DOORPOST_HOLE_H

#include <stdbool.h>
#include <stdint.h>

/* Returns true if there is a hole before `end`; false if the file system cannot tell. */
bool hole_before(int fd, uint64_t end);

/* Returns the end of the hole that contains `at`: the next data, or the end of the file. Returns `at` if
 * there is data at `at`, or if the file system cannot tell. */
uint64_t hole_end(int fd, uint64_t at);

/* Returns the start of the hole that contains the byte before `at`. Returns `at` if that byte is data, or if
 * the file system cannot tell. */
uint64_t hole_start(int fd, uint64_t at);

#endif
