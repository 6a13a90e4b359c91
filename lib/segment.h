/* A segment: the file with the lines of one UTC day. */
#ifndef DOORPOST_SEGMENT_H
#define DOORPOST_SEGMENT_H

#include "record.h"

#include <stdbool.h>

#define SEGMENT_NAME_SIZE (DAY_SIZE + sizeof ".jsonl" - 1)

void segment_name(int32_t day, char out[SEGMENT_NAME_SIZE]);

/* Opens a day's segment in `directory` for reading and writing, or only reading if `append` is false.
 * Returns a descriptor; ERROR_INVALID if there is no such segment; or ERROR_SYSTEM with a reason. */
int segment_open(int directory, int32_t day, bool append, struct reason *reason);

/* Opens a segment for reading and writing or, if writing is not permitted, for reading, which is
 * acceptable for an earlier day; *read_only says which. */
int segment_open_either(int directory, int32_t day, bool *read_only, struct reason *reason);

/* Creates the segment if it is missing. Its directory entry is not durable yet: the writer of the first
 * line syncs the directory first. Returns its descriptor, or ERROR_SYSTEM with a reason. */
int segment_create(int directory, int32_t day, struct reason *reason);

/* Finds the first and the last segment from day `from` to `to` (inclusive). Returns 1, 0 if there are
 * none, or ERROR_SYSTEM. */
int segment_range(int directory, int32_t from, int32_t to, int32_t *first, int32_t *last,
                  struct reason *reason);

#endif
