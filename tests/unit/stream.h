/* What a web server sends: records, one after the other, in `stream`. */
#ifndef DOORPOST_TESTS_STREAM_H
#define DOORPOST_TESTS_STREAM_H

#include <fastcgi.h>
#include <stddef.h>

struct stream {
    unsigned char bytes[400000];
    size_t length;
};

extern struct stream stream;

/* Pairs of a POST with a body of five bytes, in every form of lengths. */
extern const char params[];
extern const size_t params_length;

void add_record(int type, int id, const void *content, size_t length, int padding);
void add_begin(int id, int role, int flags);

/* A whole request, its streams in records of `piece` bytes, padded. */
void add_request(int id, int flags, const char *body, size_t length, size_t piece);

#endif
