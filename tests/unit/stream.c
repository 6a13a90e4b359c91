#include "stream.h"

#include <string.h>

struct stream stream;

void add_record(int type, int id, const void *content, size_t length, int padding) {
    const FCGI_Header header = {.version = FCGI_VERSION_1,
                                .type = (unsigned char)type,
                                .requestIdB1 = (unsigned char)(id >> 8),
                                .requestIdB0 = (unsigned char)id,
                                .contentLengthB1 = (unsigned char)(length >> 8),
                                .contentLengthB0 = (unsigned char)length,
                                .paddingLength = (unsigned char)padding};
    memcpy(stream.bytes + stream.length, &header, sizeof header);
    if (length > 0)
        memcpy(stream.bytes + stream.length + sizeof header, content, length);
    memset(stream.bytes + stream.length + sizeof header + length, 0xff, (size_t)padding);
    stream.length += sizeof header + length + (size_t)padding;
}

void add_begin(int id, int role, int flags) {
    const unsigned char body[8] = {0, (unsigned char)role, (unsigned char)flags};
    add_record(FCGI_BEGIN_REQUEST, id, body, sizeof body, 0);
}

const char params[] = "\x0e\x04REQUEST_METHODPOST"
                      "\x0e\x01"
                      "CONTENT_LENGTH5"
                      "\x80\x00\x00\x10\x80\x00\x00\x03HTTP_X_SIGNATUREsig"
                      "\x0c\x00SCRIPT_NAME_"
                      "\x00\x00\x0b\x09REMOTE_ADDR127.0.0.1";
const size_t params_length = sizeof params - 1;

void add_request(int id, int flags, const char *body, size_t length, size_t piece) {
    add_begin(id, FCGI_RESPONDER, flags);
    for (size_t at = 0; at < params_length; at += piece)
        add_record(FCGI_PARAMS, id, params + at, at + piece < params_length ? piece : params_length - at, 3);
    add_record(FCGI_PARAMS, id, NULL, 0, 5);
    for (size_t at = 0; at < length; at += piece)
        add_record(FCGI_STDIN, id, body + at, at + piece < length ? piece : length - at, 1);
    add_record(FCGI_STDIN, id, NULL, 0, 255);
}
