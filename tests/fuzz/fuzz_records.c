/* Any bytes from a web server: the result does not depend on how they are split. */
#include "records.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Events, replies and requests, in order. */
struct told {
    unsigned char bytes[TOLD_MAX];
    size_t length;
};

static void tell(struct told *told, const void *bytes, size_t length) {
    if (length > 0 && told->length + length <= sizeof told->bytes) {
        memcpy(told->bytes + told->length, bytes, length);
        told->length += length;
    }
}

static void tell_request(struct told *told, const struct request *request) {
    const char *values[] = {request->metadata.method, request->metadata.content_length,
                            request->metadata.signature, request->metadata.client};
    for (size_t i = 0; i < 4; i++)
        if (values[i] != NULL)
            tell(told, values[i], strlen(values[i]) + 1);
    tell(told, &request->fault, sizeof request->fault);
    tell(told, request->body, request->length <= sizeof request->body ? request->length : 0);
}

static void read_in_pieces(struct told *told, const uint8_t *data, size_t size, size_t piece) {
    static struct request request;
    static unsigned char answer[256];
    struct fastcgi fastcgi = {.connections = 1};
    struct fastcgi_reply reply;
    enum fastcgi_event event = FASTCGI_MORE;
    told->length = 0;
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
        tell(told, reply.bytes, reply.length);
        if (event != FASTCGI_MORE && event != FASTCGI_REPLY)
            tell(told, &event, sizeof event);
        if (event == FASTCGI_REQUEST) {
            tell_request(told, &request);
            tell(told, answer, fastcgi_answer(&fastcgi, "log", 3, "text", 4, answer));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct told whole, pieces;
    read_in_pieces(&whole, data, size, size);
    read_in_pieces(&pieces, data, size, size > 0 ? 1 + data[0] % 16 : 1);
    if (whole.length != pieces.length || memcmp(whole.bytes, pieces.bytes, whole.length) != 0)
        abort();
    return 0;
}
