/* What a web server sends: records, one after another, in `stream`. */
#ifndef DOORPOST_TESTS_STREAM_H
#define DOORPOST_TESTS_STREAM_H

#include <fastcgi.h>
#include <stddef.h>

struct stream {
    unsigned char bytes[400000];
    size_t length;
};

extern struct stream stream;

/* The parameters of a POST with a body of five bytes, in every encoding of lengths. */
extern const char params[];
extern const size_t params_length;

void add_record(int type, int id, const void *content, size_t length, int padding);
void add_begin(int id, int role, int flags);

/* Adds a whole request, its streams split into padded records of `piece` bytes. */
void add_request(int id, int flags, const char *body, size_t length, size_t piece);

#endif
