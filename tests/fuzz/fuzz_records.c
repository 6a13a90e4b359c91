/* Any bytes from a web server: the result does not depend on how they are split. */
#include "records.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Events, replies and requests, in order. */
struct trace {
    unsigned char bytes[TOLD_MAX];
    size_t length;
};

static void trace_bytes(struct trace *trace, const void *bytes, size_t length) {
    if (length > 0 && trace->length + length <= sizeof trace->bytes) {
        memcpy(trace->bytes + trace->length, bytes, length);
        trace->length += length;
    }
}

static void trace_request(struct trace *trace, const struct request *request) {
    const char *values[] = {request->metadata.method, request->metadata.content_length,
                            request->metadata.signature, request->metadata.client};
    for (size_t i = 0; i < 4; i++)
        if (values[i] != NULL)
            trace_bytes(trace, values[i], strlen(values[i]) + 1);
    trace_bytes(trace, &request->fault, sizeof request->fault);
    trace_bytes(trace, request->body, request->length <= sizeof request->body ? request->length : 0);
}

static void read_in_pieces(struct trace *trace, const uint8_t *data, size_t size, size_t piece) {
    static struct request request;
    static unsigned char answer[256];
    struct fastcgi fastcgi = {.connections = 1};
    struct fastcgi_reply reply;
    enum fastcgi_event event = FASTCGI_MORE;
    trace->length = 0;
    for (size_t at = 0; at < size && event != FASTCGI_LOST;) {
        size_t length = size - at < piece ? size - at : piece, used;
        unsigned char *copy = malloc(length);
        memcpy(copy, data + at, length);
        reply.length = 0;
        event = fastcgi_read(&fastcgi, copy, length, &used, &reply);
        free(copy);
        at += used;
        if (event == FASTCGI_BEGUN)
            fastcgi_gather(&fastcgi, &request, 0);
        if (event == FASTCGI_ABORTED)
            fastcgi_aborted(&fastcgi, &reply);
        trace_bytes(trace, reply.bytes, reply.length);
        if (event != FASTCGI_MORE && event != FASTCGI_REPLY)
            trace_bytes(trace, &event, sizeof event);
        if (event == FASTCGI_REQUEST) {
            trace_request(trace, &request);
            trace_bytes(trace, answer, fastcgi_answer(&fastcgi, "log", 3, "text", 4, answer));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct trace whole, pieces;
    read_in_pieces(&whole, data, size, size);
    read_in_pieces(&pieces, data, size, size > 0 ? 1 + data[0] % 16 : 1);
    if (whole.length != pieces.length || memcmp(whole.bytes, pieces.bytes, whole.length) != 0)
        abort();
    return 0;
}
