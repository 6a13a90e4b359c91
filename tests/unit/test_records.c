#include "records.h"
#include "stream.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The result, as text: one word for each event or reply. */
static char trace[4096];
static struct request request;
static struct fastcgi fastcgi;

static void trace_replies(struct fastcgi_reply *reply) {
    for (size_t at = 0; at < reply->length;) {
        const unsigned char *header = reply->bytes + at, *content = header + FCGI_HEADER_LEN;
        size_t length = (size_t)(header[4] << 8 | header[5]);
        assert_int_equal(header[0], FCGI_VERSION_1);
        size_t used = strlen(trace);
        if (header[1] == FCGI_END_REQUEST)
            snprintf(trace + used, sizeof trace - used, "end(%d,%d) ", header[2] << 8 | header[3],
                     content[4]);
        else if (header[1] == FCGI_UNKNOWN_TYPE)
            snprintf(trace + used, sizeof trace - used, "unknown(%d) ", content[0]);
        else
            snprintf(trace + used, sizeof trace - used, "values(%.*s) ", (int)length, content);
        at += FCGI_HEADER_LEN + length + header[6];
    }
    reply->length = 0;
}

static void trace_event(enum fastcgi_event event) {
    static const char *const names[] = {
        [FASTCGI_BEGUN] = "begun ", [FASTCGI_REQUEST] = "request ", [FASTCGI_ABORTED] = "aborted ",
        [FASTCGI_AGAIN] = "again ", [FASTCGI_REFUSED] = "refused ", [FASTCGI_LOST] = "lost "};
    if (event != FASTCGI_MORE && event != FASTCGI_REPLY)
        strcat(trace, names[event]);
}

/* Reads the stream in pieces, and answers each request at once if `answers`. */
static const char *read_stream(size_t piece, bool answers) {
    static unsigned char answer[512];
    struct fastcgi_reply reply = {.length = 0};
    fastcgi = (struct fastcgi){.connections = 7};
    trace[0] = '\0';
    for (size_t at = 0; at < stream.length;) {
        size_t length = stream.length - at < piece ? stream.length - at : piece, used;
        unsigned char *copy = malloc(length); /* detects a read beyond the end */
        memcpy(copy, stream.bytes + at, length);
        enum fastcgi_event event = fastcgi_read(&fastcgi, copy, length, &used, &reply);
        free(copy);
        assert_true(used <= length);
        at += used;
        trace_replies(&reply);
        trace_event(event);
        if (event == FASTCGI_BEGUN)
            fastcgi_gather(&fastcgi, &request, 1);
        if (event == FASTCGI_ABORTED)
            fastcgi_aborted(&fastcgi, &reply);
        if (event == FASTCGI_REQUEST && answers)
            fastcgi_answer(&fastcgi, NULL, 0, "x", 1, answer);
        if (event == FASTCGI_LOST || event == FASTCGI_AGAIN)
            break;
    }
    trace_replies(&reply);
    return trace;
}

static int reset(void **state) {
    (void)state;
    stream.length = 0;
    return 0;
}

static void a_request_is_the_same_however_it_is_split(void **state) {
    (void)state;
    for (size_t record = 1; record < 90; record += 4)
        for (size_t piece = 1; piece < 700; piece += piece < 40 ? 1 : 97) {
            stream.length = 0;
            add_request(0x1234, 0, "hello", 5, record);
            assert_string_equal(read_stream(piece, false), "begun request ");
            assert_string_equal(request.metadata.method, "POST");
            assert_string_equal(request.metadata.content_length, "5");
            assert_string_equal(request.metadata.signature, "sig");
            assert_string_equal(request.metadata.client, "127.0.0.1");
            assert_int_equal(request.length, 5);
            assert_memory_equal(request.body, "hello", 5);
            assert_int_equal(request.fault, REQUEST_FINE);
            assert_false(fastcgi.early);
        }
}

static void a_large_body_in_small_pieces_is_whole(void **state) {
    (void)state;
    static char body[BODY_LIMIT];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7 + i / 251);
    stream.length = 0;
    add_begin(1, FCGI_RESPONDER, 0);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    for (size_t at = 0; at < sizeof body; at += 4)
        add_record(FCGI_STDIN, 1, body + at, 4, 0);
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    assert_string_equal(read_stream(100, false), "begun request ");
    assert_int_equal(request.length, sizeof body);
    assert_memory_equal(request.body, body, sizeof body);
}

static void too_much_body_is_refused_before_its_end(void **state) {
    (void)state;
    static const char body[60000];
    add_request(1, FCGI_KEEP_CONN, body, sizeof body, 60000);
    stream.length = 0;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    for (int i = 0; i < 4; i++)
        add_record(FCGI_STDIN, 1, body, sizeof body, 0);
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    assert_string_equal(read_stream(1000, true), "begun request begun request ");
    assert_int_equal(request.length, 5);
    stream.length -= 300; /* the second one is cut */
    assert_string_equal(read_stream(1000, true), "begun request begun ");
}

static void long_values_are_not_truncated(void **state) {
    (void)state;
    static const struct {
        const char *value;
        size_t length;
        const char *read;
    } cases[] = {
        {"", 0, ""},
        {"sha256=abc", 10, "sha256=abc"},
        {"abc\0def", 7, "?bc"},
        {"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
         "000000000000000000000000000000000000000000",
         139, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char pair[256] = {16, 0x80, 0, 0, (unsigned char)cases[i].length};
        memcpy(pair + 5, "HTTP_X_SIGNATURE", 16);
        memcpy(pair + 21, cases[i].value, cases[i].length);
        stream.length = 0;
        add_begin(1, FCGI_RESPONDER, 0);
        add_record(FCGI_PARAMS, 1, pair, 21 + cases[i].length, 0);
        add_record(FCGI_PARAMS, 1, "\x10\x05HTTP_X_SIGNATUREother", 23, 0); /* the first one counts */
        add_record(FCGI_PARAMS, 1, NULL, 0, 0);
        add_record(FCGI_STDIN, 1, NULL, 0, 0);
        for (size_t piece = 1; piece < 300; piece += 37) {
            assert_string_equal(read_stream(piece, false), "begun request ");
            if (cases[i].read != NULL)
                assert_string_equal(request.metadata.signature, cases[i].read);
            else
                assert_int_equal(request.metadata.signature[0], '?');
        }
    }
}

static void pairs_with_false_lengths_are_harmless(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
    } cases[] = {{"\x7f\x7f"
                  "ab",
                  4},
                 {"\xc0\x00\x00\x00\xc0\x00\x00\x00"
                  "A",
                  9},
                 {"\xff\xff\xff\xff\xff\xff\xff\xff"
                  "A",
                  9},
                 {"\x80", 1},
                 {"\x80\x00\x00", 3},
                 {"\x01", 1},
                 {"\x01\x01"
                  "a",
                  3},
                 {"\x00\x80\x00\x00", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream.length = 0;
        add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
        add_record(FCGI_PARAMS, 1, cases[i].bytes, cases[i].length, 0);
        add_record(FCGI_PARAMS, 1, NULL, 0, 0);
        add_record(FCGI_STDIN, 1, "x", 1, 0);
        add_record(FCGI_STDIN, 1, NULL, 0, 0);
        assert_string_equal(read_stream(11, false), "begun request ");
        assert_int_equal(request.fault, REQUEST_MALFORMED);
        add_request(2, 0, "hello", 5, 100); /* the records themselves were well-formed */
        assert_string_equal(read_stream(11, true), "begun request begun request ");
        assert_int_equal(request.fault, REQUEST_FINE);
    }
}

static void management_records_are_answered(void **state) {
    (void)state;
    static const char all[] = "\x0e\x00"
                              "FCGI_MAX_CONNS\x0d\x00"
                              "FCGI_MAX_REQS\x0f\x00"
                              "FCGI_MPXS_CONNS\x05\x01OTHERx";
    add_record(FCGI_GET_VALUES, 0, all, sizeof all - 1, 4);
    add_record(FCGI_GET_VALUES, 0, all, 16, 0);
    add_record(FCGI_GET_VALUES, 0, NULL, 0, 0);
    add_record(99, 0, "zz", 2, 0);
    add_record(FCGI_BEGIN_REQUEST, 0, NULL, 0, 0);
    for (size_t piece = 1; piece < 200; piece += 33)
        assert_string_equal(read_stream(piece, false), "values(\x0e\x01"
                                                       "FCGI_MAX_CONNS7\x0d\x01"
                                                       "FCGI_MAX_REQS7\x0f\x01"
                                                       "FCGI_MPXS_CONNS0) "
                                                       "values(\x0e\x01"
                                                       "FCGI_MAX_CONNS7) values() unknown(99) unknown(1) ");
    /* Also between the records of a request, and more of them than fit into one reply. */
    stream.length = 0;
    add_begin(1, FCGI_RESPONDER, 0);
    add_record(FCGI_PARAMS, 1, params, 9, 0);
    add_record(FCGI_GET_VALUES, 0, all, 16, 0);
    add_record(FCGI_PARAMS, 1, params + 9, params_length - 9, 0);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    for (int i = 0; i < 300; i++)
        add_record(12, 0, NULL, 0, 0);
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    read_stream(sizeof stream.bytes, false);
    assert_memory_equal(trace, "begun values(", 13);
    assert_string_equal(trace + strlen(trace) - strlen("unknown(12) request "), "unknown(12) request ");
    assert_string_equal(request.metadata.method, "POST");
    size_t count = 0;
    for (const char *at = trace; (at = strstr(at, "unknown(12)")) != NULL; at++)
        count++;
    assert_int_equal(count, 300);
}

static void records_without_a_request_are_skipped(void **state) {
    (void)state;
    add_record(FCGI_STDIN, 9, "x", 1, 0);
    add_record(FCGI_ABORT_REQUEST, 9, NULL, 0, 0);
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 2, "\xff\xff", 2, 0);
    add_record(FCGI_PARAMS, 1, params, params_length, 0);
    add_record(FCGI_DATA, 1, "x", 1, 0);
    add_record(77, 1, "\x01\x01\x00\x01\x00\x08", 6, 0); /* a record inside a record is ignored */
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    add_record(FCGI_STDIN, 1, "hello", 5, 0);
    add_record(FCGI_STDIN, 2, NULL, 0, 0);
    add_record(FCGI_STDOUT, 1, "x", 1, 0);
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    add_record(FCGI_STDIN, 1, "late", 4, 0);
    for (size_t piece = 1; piece < 300; piece += 50) {
        assert_string_equal(read_stream(piece, true), "begun request ");
        assert_string_equal(request.metadata.method, "POST");
        assert_int_equal(request.length, 5);
    }
}

static void requests_that_cannot_be_served_are_refused(void **state) {
    (void)state;
    add_begin(3, FCGI_AUTHORIZER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 3, params, params_length, 0);
    add_record(FCGI_STDIN, 3, NULL, 0, 0);
    add_begin(4, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_begin(5, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 4, NULL, 0, 0);
    add_record(FCGI_PARAMS, 5, NULL, 0, 0);
    add_record(FCGI_STDIN, 4, NULL, 0, 0);
    for (size_t piece = 1; piece < 200; piece += 23)
        assert_string_equal(read_stream(piece, false), "end(3,3) refused begun end(5,1) refused request ");
}

static void without_memory_a_request_is_refused_and_the_next_one_served(void **state) {
    (void)state;
    struct fastcgi_reply reply = {.length = 0};
    size_t used, at;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 9);
    add_request(2, FCGI_KEEP_CONN, "again", 5, 9);
    fastcgi = (struct fastcgi){.connections = 7};
    trace[0] = '\0';
    assert_int_equal(fastcgi_read(&fastcgi, stream.bytes, stream.length, &at, &reply), FASTCGI_BEGUN);
    fastcgi_overloaded(&fastcgi, &reply);
    assert_true(fastcgi_is_mid_message(&fastcgi)); /* the rest of it is still to come */
    assert_int_equal(fastcgi_read(&fastcgi, stream.bytes + at, stream.length - at, &used, &reply),
                     FASTCGI_BEGUN);
    fastcgi_gather(&fastcgi, &request, 1);
    at += used;
    assert_int_equal(fastcgi_read(&fastcgi, stream.bytes + at, stream.length - at, &used, &reply),
                     FASTCGI_REQUEST);
    trace_replies(&reply);
    assert_string_equal(trace, "end(1,2) ");
    assert_memory_equal(request.body, "again", 5);
}

static void an_abort_ends_the_request(void **state) {
    (void)state;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 1, params, params_length, 0);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 7);
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    for (size_t piece = 1; piece < 200; piece += 23)
        assert_string_equal(read_stream(piece, false),
                            "begun aborted end(1,0) begun request aborted end(1,0) ");
}

static void the_next_request_waits_for_the_answer(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    add_request(1, FCGI_KEEP_CONN, "again", 5, 100);
    for (size_t piece = 1; piece < 800; piece += 23) {
        assert_string_equal(read_stream(piece, true), "begun request begun request ");
        assert_memory_equal(request.body, "again", 5);
        assert_string_equal(read_stream(piece, false), "begun request again ");
        assert_memory_equal(request.body, "hello", 5);
    }
}

static void contradictory_records_are_reported(void **state) {
    (void)state;
    struct {
        int first, second; /* types of the records after the beginning */
        size_t length;
        const char *trace;
    } cases[] = {{FCGI_STDIN, FCGI_STDIN, 1, "begun request lost "}, /* before the end of the parameters */
                 {FCGI_BEGIN_REQUEST, FCGI_STDIN, 8, "begun request lost "},
                 {FCGI_BEGIN_REQUEST, FCGI_STDIN, 7, "begun request lost "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stream.length = 0;
        add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
        add_record(cases[i].first, 1, "\0\1\0\0\0\0\0\0", cases[i].length, 0);
        add_record(cases[i].second, 1, NULL, 0, 0);
        assert_string_equal(read_stream(sizeof stream.bytes, false), cases[i].trace);
        assert_int_equal(request.fault, REQUEST_MALFORMED);
        assert_false(fastcgi.keep);
    }
    stream.length = 0;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    assert_string_equal(read_stream(1000, false), "begun request ");
    assert_int_equal(request.fault, REQUEST_MALFORMED);
    memcpy(stream.bytes, "GET / HTTP/1.1\r\n", 16);
    stream.length = 16;
    for (size_t piece = 1; piece < 20; piece++)
        assert_string_equal(read_stream(piece, false), "lost ");
}

static void an_answer_is_records(void **state) {
    (void)state;
    static const unsigned char wanted[] =
        "\1\7\x12\x34\0\4\0\0log\n\1\7\x12\x34\0\0\0\0" /* FCGI_STDERR and its end */
        "\1\6\x12\x34\0\4\0\0text\1\6\x12\x34\0\0\0\0"  /* FCGI_STDOUT and its end */
        "\1\3\x12\x34\0\x08\0\0\0\0\0\0\0\0\0\0"; /* FCGI_END_REQUEST: status 0, FCGI_REQUEST_COMPLETE */
    unsigned char out[sizeof wanted + FASTCGI_ANSWER_ROOM];
    add_request(0x1234, 0, "hello", 5, 100);
    read_stream(sizeof stream.bytes, false);
    assert_int_equal(fastcgi_answer(&fastcgi, "log\n", 4, "text", 4, out), sizeof wanted - 1);
    assert_memory_equal(out, wanted, sizeof wanted - 1);
    read_stream(sizeof stream.bytes, false);
    assert_int_equal(fastcgi_answer(&fastcgi, NULL, 0, "text", 4, out), sizeof wanted - 1 - 20);
    assert_memory_equal(out, wanted + 20, sizeof wanted - 1 - 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_request_is_the_same_however_it_is_split, reset),
        cmocka_unit_test_setup(a_large_body_in_small_pieces_is_whole, reset),
        cmocka_unit_test_setup(too_much_body_is_refused_before_its_end, reset),
        cmocka_unit_test_setup(long_values_are_not_truncated, reset),
        cmocka_unit_test_setup(pairs_with_false_lengths_are_harmless, reset),
        cmocka_unit_test_setup(management_records_are_answered, reset),
        cmocka_unit_test_setup(records_without_a_request_are_skipped, reset),
        cmocka_unit_test_setup(requests_that_cannot_be_served_are_refused, reset),
        cmocka_unit_test_setup(without_memory_a_request_is_refused_and_the_next_one_served, reset),
        cmocka_unit_test_setup(an_abort_ends_the_request, reset),
        cmocka_unit_test_setup(the_next_request_waits_for_the_answer, reset),
        cmocka_unit_test_setup(contradictory_records_are_reported, reset),
        cmocka_unit_test_setup(an_answer_is_records, reset),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
