/* Merging tables of the index into a larger one, a piece at a time. */
#ifndef DOORPOST_MERGE_H
#define DOORPOST_MERGE_H

#include "table.h"

#ifndef MERGE_HOMES /* a test build makes it small */
#define MERGE_HOMES 224
#endif
#define MERGE_INPUT 64
#define MERGE_FROM 3

/* Room for one piece; the fields belong to merge.c. */
struct merge {
    struct bucket window[MERGE_HOMES + TABLE_TAIL];
    struct bucket input[MERGE_INPUT];
};

/* Writes to table `into` all slots of the tables `from` (a file of -1: an empty one) whose home there is in
 * [first, last); at most MERGE_HOMES. Where `into` is for all slices, it leaves out the slice number %
 * SLICES. Pieces are made in order, from 0 on. A piece can be made again: a slot that is there already is not
 * put in twice. Adds to used the number of slots that were put in, by slice. Returns 0, ERROR_TROUBLE or
 * ERROR_DAMAGED, with a reason. */
int merge_piece(struct merge *merge, const struct table *into, const struct table *const from[MERGE_FROM],
                uint32_t first, uint32_t last, uint64_t used[SLICES], struct reason *reason);

#endif
