/* Holes: stretches of a file that were never written. They read as zeros, and a file can be said to have more
 * of them than anybody could read. Lines are never in one, so holes are passed over.
 *
 * What is asked here moves the file's offset: read it with pread(2). */
#ifndef DOORPOST_HOLE_H
#define DOORPOST_HOLE_H

#include <stdbool.h>
#include <stdint.h>

/* Returns true if there is a hole before `end`; false if the file system cannot tell. */
bool hole_before(int fd, uint64_t end);

/* Where a hole ends that begins at `at`, or has begun before: at the next data, or at the end of the file.
 * Returns `at` if there is data, or if the file system cannot tell. */
uint64_t hole_end(int fd, uint64_t at);

/* Where a hole begins that ends at `at`, or later. Returns `at` if the byte before it is data, or if the file
 * system cannot tell. */
uint64_t hole_start(int fd, uint64_t at);

#endif
