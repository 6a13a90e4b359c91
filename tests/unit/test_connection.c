/* A connection's states, over a socket pair: each test plays the web server. */
#include "connection.h"
#include "handler.h"
#include "log.h"
#include "response.h"
#include "stream.h"
#include "support.h"
#include "timestamp.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct connection connection;
static int peer;                       /* our end; -1: closed */
static unsigned char pending[1 << 20]; /* an incomplete record */
static size_t pending_length;

static int open_both(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    connection_start(&connection, ends[0], 7);
    peer = ends[1];
    pending_length = 0;
    stream.length = 0;
    return 0;
}

static void leave(void) {
    close(peer);
    peer = -1;
}

static int close_both(void **state) {
    (void)state;
    if (connection.state != CONNECTION_FREE)
        connection_close(&connection);
    if (peer >= 0)
        leave();
    return 0;
}

/* The worker's next step. */
static void step(void) {
    if (connection_events(&connection) == POLLOUT)
        connection_output(&connection);
    else
        connection_input(&connection);
}

/* Sends `length` bytes of the stream, or all that are left. */
static void send_bytes(size_t length) {
    length = length < stream.length ? length : stream.length;
    assert_int_equal(send(peer, stream.bytes, length, MSG_NOSIGNAL), length);
    memmove(stream.bytes, stream.bytes + length, stream.length - length);
    stream.length -= length;
    step();
}

static void send_all(void) {
    send_bytes(sizeof stream.bytes);
}

static void answer(const char *text) {
    assert_int_equal(connection.state, CONNECTION_READY);
    assert_non_null(connection_serve(&connection));
    assert_int_equal(connection.state, CONNECTION_SERVING);
    connection_answer(&connection, NULL, 0, text, strlen(text));
}

/* What was received, as text, one word a record; "closed" at the end. */
static const char *received(void) {
    static char result[1 << 20];
    size_t at = 0, used = 0;
    ssize_t got;
    while ((got = recv(peer, pending + pending_length, sizeof pending - pending_length, 0)) > 0)
        pending_length += (size_t)got;
    result[0] = '\0';
    while (at + FCGI_HEADER_LEN <= pending_length) {
        const unsigned char *header = pending + at;
        size_t content = (size_t)(header[4] << 8 | header[5]);
        if (at + FCGI_HEADER_LEN + content > pending_length)
            break;
        static const char *const names[] = {[FCGI_END_REQUEST] = "end",
                                            [FCGI_STDOUT] = "out",
                                            [FCGI_STDERR] = "log",
                                            [FCGI_GET_VALUES_RESULT] = "values",
                                            [FCGI_UNKNOWN_TYPE] = "unknown"};
        bool text = header[1] == FCGI_STDOUT || header[1] == FCGI_STDERR;
        used +=
            (size_t)snprintf(result + used, sizeof result - used, "%s(%d%s%.*s) ", names[header[1]],
                             header[3], text ? ":" : "", text ? (int)content : 0, header + FCGI_HEADER_LEN);
        at += FCGI_HEADER_LEN + content + header[6];
    }
    pending_length -= at;
    memmove(pending, pending + at, pending_length);
    if (got == 0)
        snprintf(result + used, sizeof result - used, "closed");
    return result;
}

static bool has_deadline(void) {
    int64_t left = connection_deadline(&connection) - monotonic_now();
    return left > 0 && left <= ANSWER_WITHIN;
}

static void fill_with(int type, int count) {
    for (int i = 0; i < count; i++)
        add_record(type, 0, NULL, 0, 0);
}

/* Leaves minimal room for output to the peer. */
static void shrink_buffers(void) {
    int least = 1;
    assert_int_equal(setsockopt(connection.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
}

/* ---- IDLE ---- */

static void an_idle_connection_waits_until_its_peer_closes(void **state) {
    (void)state;
    assert_int_equal(connection.state, CONNECTION_IDLE);
    assert_int_equal(connection_events(&connection), POLLIN);
    assert_true(connection_deadline(&connection) == INT64_MAX);
    step(); /* nothing was received */
    assert_int_equal(connection.state, CONNECTION_IDLE);
    leave();
    step();
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void management_records_keep_it_idle(void **state) {
    (void)state;
    add_record(FCGI_GET_VALUES, 0, NULL, 0, 3);
    add_record(99, 0, "zz", 2, 0);
    send_bytes(5);
    assert_string_equal(received(), "");
    send_all();
    assert_string_equal(received(), "values(0) unknown(0) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
    assert_true(connection_deadline(&connection) == INT64_MAX);
}

static void unread_replies_stop_input_and_get_a_deadline(void **state) {
    (void)state;
    shrink_buffers();
    fill_with(99, 3000);
    send_all();
    assert_int_equal(connection.state, CONNECTION_IDLE);
    assert_int_equal(connection_events(&connection), POLLOUT);
    assert_true(has_deadline());
    assert_true(connection.output_length <= FASTCGI_REPLY_SIZE);
    size_t waiting = connection.output_length;
    connection_input(&connection); /* reads no more */
    assert_int_equal(connection.output_length, waiting);
    size_t count = 0;
    for (int i = 0; i < 1000 && count < 3000; i++) {
        for (const char *at = received(); (at = strstr(at, "unknown(0)")) != NULL; at++)
            count++;
        step();
    }
    assert_int_equal(count, 3000);
    assert_int_equal(connection_events(&connection), POLLIN);
    assert_true(connection_deadline(&connection) == INT64_MAX);
    shrink_buffers();
    fill_with(99, 3000);
    send_all();
    connection_overdue(&connection);
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void an_unknown_role_is_refused(void **state) {
    (void)state;
    add_begin(3, FCGI_FILTER, FCGI_KEEP_CONN);
    send_all();
    assert_string_equal(received(), "end(3) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
    assert_non_null(strstr(connection.warning, "FCGI_UNKNOWN_ROLE"));
    add_begin(3, FCGI_FILTER, 0);
    send_all();
    assert_string_equal(received(), "end(3) closed");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
}

/* ---- GATHERING ---- */

static void a_request_is_gathered_byte_by_byte_until_it_is_ready(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 9);
    size_t length = stream.length - 255; /* the padding of the last record */
    for (size_t i = 1; i <= length; i++) {
        send_bytes(1);
        assert_int_equal(connection.state, i < 16       ? CONNECTION_IDLE
                                           : i < length ? CONNECTION_GATHERING
                                                        : CONNECTION_READY);
        assert_int_equal(connection_events(&connection), POLLIN);
        assert_true(has_deadline() == (connection.state == CONNECTION_GATHERING));
    }
    const struct request *request = connection_serve(&connection);
    assert_memory_equal(request->body, "hello", 5);
    assert_int_equal(request->fault, REQUEST_FINE);
}

static void an_overdue_request_is_answered(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_bytes(60);
    connection_overdue(&connection);
    assert_int_equal(connection.state, CONNECTION_READY);
    assert_true(connection_deadline(&connection) == INT64_MAX);
    assert_int_equal(connection_serve(&connection)->fault, REQUEST_INCOMPLETE);
    connection_answer(&connection, NULL, 0, "503", 3);
    assert_string_equal(received(), "out(1:503) out(1:) end(1) closed");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    assert_true(has_deadline());
}

static void a_request_ends_if_its_peer_closes(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_bytes(60);
    leave();
    step();
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void an_aborted_request_ends_at_once(void **state) {
    (void)state;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    send_all();
    assert_string_equal(received(), "end(1) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
    add_begin(1, FCGI_RESPONDER, 0);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    send_all();
    assert_string_equal(received(), "end(1) closed");
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void a_second_request_is_refused_and_the_first_continues(void **state) {
    (void)state;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    add_begin(2, FCGI_RESPONDER, 0);
    send_all();
    assert_string_equal(received(), "end(2) ");
    assert_int_equal(connection.state, CONNECTION_GATHERING);
    assert_non_null(strstr(connection.warning, "FCGI_CANT_MPX_CONN"));
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    send_all();
    answer("x");
    assert_string_equal(received(), "out(1:x) out(1:) end(1) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
}

static void replies_during_a_request_do_not_extend_its_deadline(void **state) {
    (void)state;
    add_begin(1, FCGI_RESPONDER, FCGI_KEEP_CONN);
    send_all();
    int64_t deadline = connection_deadline(&connection);
    shrink_buffers();
    fill_with(99, 3000);
    send_all();
    assert_int_equal(connection_events(&connection), POLLOUT);
    assert_true(connection_deadline(&connection) == deadline);
    connection_overdue(&connection); /* the answer waits after them */
    answer("503");
    assert_true(connection_events(&connection) == POLLOUT && has_deadline());
    connection_overdue(&connection);
    assert_int_equal(connection.state, CONNECTION_FREE);
}

/* ---- READY, SERVING ---- */

static void a_ready_request_can_wait_and_be_aborted(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    assert_int_equal(connection.state, CONNECTION_READY);
    assert_true(connection_deadline(&connection) == INT64_MAX);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    send_all();
    assert_string_equal(received(), "end(1) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
}

static void an_abort_while_served_waits_for_the_batch(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    const struct request *request = connection_serve(&connection);
    assert_false(request->aborted);
    assert_true(connection_is_awaited(&connection));
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0, 0);
    send_all();
    assert_true(request->aborted);
    assert_false(connection_is_awaited(&connection));
    assert_string_equal(received(), "");
    assert_int_equal(connection.state, CONNECTION_SERVING);
    connection_answer(&connection, NULL, 0, "200", 3);
    assert_string_equal(received(), "end(1) ");
    assert_int_equal(connection.state, CONNECTION_IDLE);
    add_request(1, FCGI_KEEP_CONN, "again", 5, 100); /* its abort does not apply to this one */
    send_all();
    answer("200");
    assert_string_equal(received(), "out(1:200) out(1:) end(1) ");
}

static void a_peer_closing_while_served_is_noticed_afterwards(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    connection_serve(&connection);
    leave();
    step();
    assert_int_equal(connection.state, CONNECTION_SERVING);
    assert_int_equal(connection_events(&connection), 0);
    connection_answer(&connection, "log\n", 4, "200", 3);
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void a_half_closed_peer_gets_its_answer(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    step();
    answer("200");
    assert_string_equal(received(), "out(1:200) out(1:) end(1) closed");
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void the_next_request_waits_its_turn(void **state) {
    (void)state;
    for (int id = 1; id <= 3; id++)
        add_request(id, id < 3 ? FCGI_KEEP_CONN : 0, "hello", 5, 100);
    add_record(FCGI_STDIN, 9, NULL, 0, 0); /* after the last one, which closes the connection: never read */
    send_all();
    for (int id = 1; id <= 3; id++) {
        assert_true(connection_events(&connection) == 0 || id == 3);
        answer("x");
        if (id < 3) {
            assert_int_equal(connection.state, CONNECTION_IDLE);
            connection_resume(&connection);
        }
    }
    assert_string_equal(received(),
                        "out(1:x) out(1:) end(1) out(2:x) out(2:) end(2) out(3:x) out(3:) end(3) closed");
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void the_log_is_sent_before_the_answer(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    connection_serve(&connection);
    connection_answer(&connection, "line\n", 5, "200", 3);
    assert_string_equal(received(), "log(1:line\n) log(1:) out(1:200) out(1:) end(1) ");
}

static void answers_that_do_not_fit_are_sent_later(void **state) {
    (void)state;
    static char text[RESPONSE_SIZE], log[LOG_HELD];
    shrink_buffers();
    memset(text, 't', sizeof text - 1);
    memset(log, 'l', sizeof log);
    for (int i = 0; i < 200; i++)
        add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    size_t answered = 0, ends = 0;
    assert_true(stream.length > 1 << 15); /* more than a step reads */
    send_all();
    for (int turn = 0; turn < 100000 && ends < 200; turn++) {
        if (connection.state == CONNECTION_READY) {
            connection_serve(&connection);
            connection_answer(&connection, log, sizeof log, text, sizeof text - 1);
            answered++;
            connection_resume(&connection);
            assert_true(connection.output_length <= 2 * (sizeof log + sizeof text));
        }
        if (turn % 3 == 0)
            for (const char *at = received(); (at = strstr(at, "end(1)")) != NULL; at++)
                ends++;
        step();
    }
    assert_int_equal(answered, 200);
    assert_int_equal(ends, 200);
    assert_int_equal(connection.state, CONNECTION_IDLE);
}

static void an_unread_answer_ends_at_its_deadline(void **state) {
    (void)state;
    static char text[RESPONSE_SIZE];
    memset(text, 't', sizeof text - 1);
    shrink_buffers();
    for (int i = 0; i < 3; i++)
        add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_all();
    while (connection.output_length == 0) {
        answer(text);
        connection_resume(&connection);
    }
    assert_int_equal(connection.state, CONNECTION_IDLE); /* data sent ahead is ignored */
    assert_true(has_deadline());
    connection_overdue(&connection);
    assert_int_equal(connection.state, CONNECTION_FREE);
}

/* ---- ENDING, DRAINING ---- */

static void an_ending_connection_closes_when_all_is_sent(void **state) {
    (void)state;
    static char text[RESPONSE_SIZE];
    memset(text, 't', sizeof text - 1);
    shrink_buffers();
    add_begin(1, FCGI_RESPONDER, 0);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    send_all();
    fill_with(99, 200);
    send_all();
    add_record(FCGI_STDIN, 1, NULL, 0, 0);
    stream.length = FCGI_HEADER_LEN;
    while (connection.output_length > 0) {
        received();
        step();
    }
    send_all();
    connection_serve(&connection);
    static char log[LOG_HELD];
    memset(log, 'l', sizeof log);
    connection_answer(&connection, log, sizeof log, text, sizeof text - 1);
    assert_int_equal(connection.state, CONNECTION_ENDING);
    assert_int_equal(connection_events(&connection), POLLOUT);
    assert_true(has_deadline());
    for (int i = 0; i < 100 && connection.state != CONNECTION_FREE; i++) {
        received();
        step();
    }
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void a_draining_connection_discards_input_until_its_deadline(void **state) {
    (void)state;
    static const char body[60000];
    add_begin(1, FCGI_RESPONDER, 0);
    add_record(FCGI_PARAMS, 1, NULL, 0, 0);
    for (int i = 0; i < 4; i++) {
        add_record(FCGI_STDIN, 1, body, sizeof body, 0);
        send_all();
        step();
    }
    answer("413");
    assert_string_equal(received(), "out(1:413) out(1:) end(1) closed");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    int64_t deadline = connection_deadline(&connection);
    assert_true(has_deadline());
    for (int i = 0; i < 20; i++) {
        add_record(FCGI_STDIN, 1, body, sizeof body, 0);
        send_all();
        step();
        step();
    }
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    assert_true(connection_deadline(&connection) == deadline); /* sending does not extend it */
    assert_int_equal(connection_events(&connection), POLLIN);
    connection_overdue(&connection);
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void a_draining_connection_closes_with_its_peer(void **state) {
    (void)state;
    add_request(1, 0, "hello", 5, 100);
    add_request(1, 0, "ahead", 5, 100); /* was read, too */
    send_all();
    answer("200");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    leave();
    step();
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void the_last_records_padding_is_awaited(void **state) {
    (void)state;
    add_request(1, 0, "hello", 5, 100);
    send_bytes(stream.length - 200);
    answer("200");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    assert_string_equal(received(), "out(1:200) out(1:) end(1) closed");
    send_all(); /* fails if the connection is already closed */
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    leave();
    step();
    assert_int_equal(connection.state, CONNECTION_FREE);
}

static void junk_is_logged_and_drained(void **state) {
    (void)state;
    memcpy(stream.bytes, "GET / HTTP/1.1\r\n\r\n", stream.length = 18);
    connection.since -= 10 * ANSWER_WITHIN; /* it has been idle for a long time */
    send_all();
    assert_int_equal(connection.state, CONNECTION_DRAINING);
    assert_non_null(strstr(connection.warning, "not FastCGI"));
    assert_string_equal(received(), "closed");
    assert_true(has_deadline());
}

static void junk_during_a_request_is_answered(void **state) {
    (void)state;
    add_request(1, FCGI_KEEP_CONN, "hello", 5, 100);
    send_bytes(16);
    memset(stream.bytes, 'x', stream.length = 1000);
    send_all();
    assert_int_equal(connection_serve(&connection)->fault, REQUEST_MALFORMED);
    connection_answer(&connection, NULL, 0, "400", 3);
    assert_string_equal(received(), "out(1:400) out(1:) end(1) closed");
    assert_int_equal(connection.state, CONNECTION_DRAINING);
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void) {
    const struct CMUnitTest tests[] = {
        STATE_TEST(an_idle_connection_waits_until_its_peer_closes),
        STATE_TEST(management_records_keep_it_idle),
        STATE_TEST(unread_replies_stop_input_and_get_a_deadline),
        STATE_TEST(an_unknown_role_is_refused),
        STATE_TEST(a_request_is_gathered_byte_by_byte_until_it_is_ready),
        STATE_TEST(an_overdue_request_is_answered),
        STATE_TEST(a_request_ends_if_its_peer_closes),
        STATE_TEST(an_aborted_request_ends_at_once),
        STATE_TEST(a_second_request_is_refused_and_the_first_continues),
        STATE_TEST(replies_during_a_request_do_not_extend_its_deadline),
        STATE_TEST(a_ready_request_can_wait_and_be_aborted),
        STATE_TEST(an_abort_while_served_waits_for_the_batch),
        STATE_TEST(a_peer_closing_while_served_is_noticed_afterwards),
        STATE_TEST(a_half_closed_peer_gets_its_answer),
        STATE_TEST(the_next_request_waits_its_turn),
        STATE_TEST(the_log_is_sent_before_the_answer),
        STATE_TEST(answers_that_do_not_fit_are_sent_later),
        STATE_TEST(an_unread_answer_ends_at_its_deadline),
        STATE_TEST(an_ending_connection_closes_when_all_is_sent),
        STATE_TEST(a_draining_connection_discards_input_until_its_deadline),
        STATE_TEST(a_draining_connection_closes_with_its_peer),
        STATE_TEST(the_last_records_padding_is_awaited),
        STATE_TEST(junk_is_logged_and_drained),
        STATE_TEST(junk_during_a_request_is_answered),
    };
    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
