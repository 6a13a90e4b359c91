/* The part of lines.h that differs for the merged stream. */
#ifndef DOORPOST_LINES_STREAM_H
#define DOORPOST_LINES_STREAM_H

#include "lines.h"

/* Opens the stream in `where` in a new `lines`. A location that database_new() refuses is a usage error. */
int stream_open(struct lines *lines, const char *where, const struct filter *filter, bool follow);

/* As the functions lines_...(). */
int stream_refresh(struct lines *lines);
void stream_wait(struct lines *lines);
int stream_since(struct lines *lines, struct position *position);
int stream_from_end(struct lines *lines, uint64_t count, struct position *position);
void stream_explain_empty(struct lines *lines);
int stream_size(struct lines *lines, uint64_t *bytes);

/* Reads the next event. Returns 1, 0, or -1 after printing the reason. */
int stream_next(struct lines *lines, bool *damaged);

#endif
