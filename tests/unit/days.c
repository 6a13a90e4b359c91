#include "days.h"

#include "segment.h"

#include <stdlib.h>
#include <string.h>

struct text text;

size_t add_text(const char *bytes, size_t length) {
    size_t begins = text.length;
    assert_true(length <= sizeof text.bytes - text.length);
    memcpy(text.bytes + text.length, bytes, length);
    text.length += length;
    return begins;
}

static size_t add(struct chain_state *chain, int64_t received_at, const char *body, size_t length) {
    static const char key[] = "9f86d081",
                      signature[] = "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df";
    char header[RECORD_HEADER_SIZE];
    size_t begins =
        add_text(header, record_write_header(chain, received_at, key, signature, true, body, length, header));
    add_text(body, length);
    add_text(RECORD_TAIL, strlen(RECORD_TAIL));
    return begins;
}

size_t add_line(struct chain_state *chain, int64_t received_at, const char *body) {
    return add(chain, received_at, body, strlen(body));
}

size_t add_long_line(struct chain_state *chain, size_t length) {
    static char body[RECORD_LIMIT];
    struct chain_state copy = *chain;
    size_t begins = add(&copy, 0, "", 0), around = text.length - begins;
    text.length = begins;
    assert_true(length >= around + 2 && length - around < sizeof body);
    memset(body, 'x', length - around);
    body[0] = '{';
    body[length - around - 1] = '}';
    return add(chain, 0, body, length - around);
}

void write_day(const char *directory, int32_t day) {
    char name[SEGMENT_NAME_SIZE];
    segment_name(day, name);
    write_file(path_in(directory, name), text.bytes, text.length, 0600);
    text.length = 0;
}
