#include "connection.h"
#include "support.h"

#include <fastcgi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
    unsigned char bytes[300000];
    size_t length;
};

static void add_record(struct stream *stream, int type, int id, const void *content, size_t length,
                       int padding) {
    const FCGI_Header header = {.version = FCGI_VERSION_1,
                                .type = (unsigned char)type,
                                .requestIdB1 = (unsigned char)(id >> 8),
                                .requestIdB0 = (unsigned char)id,
                                .contentLengthB1 = (unsigned char)(length >> 8),
                                .contentLengthB0 = (unsigned char)length,
                                .paddingLength = (unsigned char)padding};
    memcpy(stream->bytes + stream->length, &header, sizeof header);
    if (length > 0)
        memcpy(stream->bytes + stream->length + sizeof header, content, length);
    stream->length += sizeof header + length + (size_t)padding;
}

static void add_begin(struct stream *stream, int id, int role) {
    const unsigned char body[8] = {0, (unsigned char)role};
    add_record(stream, FCGI_BEGIN_REQUEST, id, body, sizeof body, 0);
}

static struct stream *request(size_t body) {
    static struct stream stream;
    static char content[60000];
    memset(&stream, 0, sizeof stream);
    add_begin(&stream, 7, FCGI_RESPONDER);
    add_record(&stream, FCGI_PARAMS, 7, "\x0e\x04REQUEST_METHODPOST", 20, 3);
    add_record(&stream, FCGI_PARAMS, 7, NULL, 0, 0);
    for (size_t left = body; left > 0;) {
        size_t part = left < sizeof content ? left : sizeof content;
        add_record(&stream, FCGI_STDIN, 7, content, part, 1);
        left -= part;
    }
    add_record(&stream, FCGI_STDIN, 7, NULL, 0, 0);
    return &stream;
}

static enum readiness scan(const struct stream *stream) {
    return connection_scan(stream->bytes, stream->length, 1000);
}

static void a_request_is_whole_with_its_last_byte(void **state) {
    (void)state;
    const struct stream *stream = request(1000);
    for (size_t length = 0; length < stream->length; length++) {
        unsigned char *copy = malloc(length + 1);
        memcpy(copy, stream->bytes, length);
        assert_int_equal(connection_scan(copy, length, 1000), READY_PARTIAL);
        free(copy);
    }
    assert_int_equal(scan(stream), READY_WHOLE);
    assert_int_equal(scan(request(0)), READY_WHOLE);
}

static void too_much_body_is_refused_before_its_end(void **state) {
    (void)state;
    const struct stream *stream = request(200000);
    assert_int_equal(connection_scan(stream->bytes, 61000, 1000), READY_REFUSE);
    assert_int_equal(connection_scan(stream->bytes, 61000, 200000), READY_PARTIAL);
}

static void what_is_no_request_is_dropped(void **state) {
    (void)state;
    struct stream stream = {.length = 0};
    add_begin(&stream, 1, FCGI_FILTER);
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_record(&stream, FCGI_PARAMS, 1, NULL, 0, 0); /* no beginning */
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_begin(&stream, 1, FCGI_RESPONDER);
    add_begin(&stream, 1, FCGI_RESPONDER);
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_begin(&stream, 1, FCGI_RESPONDER);
    add_record(&stream, FCGI_STDIN, 1, NULL, 0, 0); /* before the parameters */
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_begin(&stream, 1, FCGI_RESPONDER);
    add_record(&stream, FCGI_PARAMS, 2, NULL, 0, 0); /* of another request */
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_begin(&stream, 1, FCGI_RESPONDER);
    add_record(&stream, FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    assert_int_equal(scan(&stream), READY_NEVER);
    memcpy(stream.bytes, "GET / HTTP/1.1\r\n", 16);
    stream.length = 16;
    assert_int_equal(scan(&stream), READY_NEVER);
    stream.length = 0;
    add_begin(&stream, 1, FCGI_RESPONDER);
    static const char params[60000];
    add_record(&stream, FCGI_PARAMS, 1, params, sizeof params, 0);
    add_record(&stream, FCGI_PARAMS, 1, params, sizeof params, 0);
    assert_int_equal(scan(&stream), READY_NEVER);
}

static void looking_takes_nothing_and_waits_for_nothing(void **state) {
    (void)state;
    int pair[2];
    const struct stream *stream = request(500);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(connection_look(pair[0], 1000), READY_PARTIAL);
    assert_int_equal(write(pair[1], stream->bytes, 100), 100);
    assert_int_equal(connection_look(pair[0], 1000), READY_PARTIAL);
    assert_int_equal(write(pair[1], stream->bytes + 100, stream->length - 100), stream->length - 100);
    assert_int_equal(connection_look(pair[0], 1000), READY_WHOLE);
    assert_int_equal(connection_look(pair[0], 1000), READY_WHOLE);
    unsigned char bytes[2000];
    assert_int_equal(read(pair[0], bytes, sizeof bytes), stream->length);
    close(pair[1]);
    assert_int_equal(connection_look(pair[0], 1000), READY_NEVER);
    close(pair[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_whole_with_its_last_byte),
        cmocka_unit_test(too_much_body_is_refused_before_its_end),
        cmocka_unit_test(what_is_no_request_is_dropped),
        cmocka_unit_test(looking_takes_nothing_and_waits_for_nothing),
    };
    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
