/* A segment: the file that holds one UTC day's lines. */
#ifndef DOORPOST_SEGMENT_H
#define DOORPOST_SEGMENT_H

#include "record.h"

#include <stdbool.h>

#define SEGMENT_NAME_SIZE (DAY_SIZE + sizeof ".jsonl" - 1)

void segment_name(int32_t day, char out[SEGMENT_NAME_SIZE]);

/* Opens a day's segment in `directory` for reading and writing (only reading where `append` is false).
 * Returns a descriptor; ERROR_INVALID where there is no such segment; or ERROR_TROUBLE with a reason. */
int segment_open(int directory, int32_t day, bool append, struct reason *reason);

/* The same for writing, or for reading if it may not be written to, as is right for an earlier day: then
 * *read_only. */
int segment_open_either(int directory, int32_t day, bool *read_only, struct reason *reason);

/* Makes the segment if it is not there. Its directory entry is not durable yet: the writer of the first line
 * syncs the directory before. Returns its descriptor, or ERROR_TROUBLE with a reason. */
int segment_create(int directory, int32_t day, struct reason *reason);

/* Which segments are there? Sets the first and the last day of those from `from` to `to` (inclusive). Returns
 * 1, 0 where there are none, or ERROR_TROUBLE. */
int segment_range(int directory, int32_t from, int32_t to, int32_t *first, int32_t *last,
                  struct reason *reason);

#endif
