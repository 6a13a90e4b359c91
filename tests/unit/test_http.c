#define _GNU_SOURCE /* strcasestr */
/* The real curl against a server in a thread. */
#include "fake_curl.h"
#include "http.h"
#include "timestamp.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    pthread_t thread;
    int listener;
    char url[64];
    const char *answer; /* NULL: none, until the client goes */
    size_t answer_length;
    int copies; /* of the answer's end, after the answer */
    char request[300000];
    size_t length;
};

static struct server server;
static struct http_response response;
static struct reason reason;

/* The bytes of the request that are expected after its header. */
static size_t body_length(const char *request) {
    const char *field = strcasestr(request, "\r\nContent-Length:");
    return field != NULL ? strtoul(field + 17, NULL, 10) : 0;
}

static void serve_one(int fd) {
    const char *end = NULL;
    size_t wanted = 0;
    server.length = 0;
    while (end == NULL || server.length < wanted) {
        ssize_t got = read(fd, server.request + server.length, sizeof server.request - 1 - server.length);
        if (got <= 0)
            break;
        server.length += (size_t)got;
        server.request[server.length] = '\0';
        if (end == NULL && (end = strstr(server.request, "\r\n\r\n")) != NULL)
            wanted = (size_t)(end + 4 - server.request) + body_length(server.request);
    }
    if (server.answer == NULL) {
        char byte;
        while (read(fd, &byte, 1) > 0)
            continue;
        return;
    }
    ssize_t written = write(fd, server.answer, server.answer_length);
    for (int i = 0; i < server.copies && written > 0; i++)
        written =
            send(fd, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 64, MSG_NOSIGNAL);
}

static void *serve(void *unused) {
    int fd;
    while ((fd = accept(server.listener, NULL, NULL)) >= 0) {
        serve_one(fd);
        close(fd);
    }
    return unused;
}

static int start_server(void **state) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    server.copies = 0;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server.listener, (struct sockaddr *)&address, size) != 0 || listen(server.listener, 8) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &size) != 0)
        return -1;
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d/a?b=c", ntohs(address.sin_port));
    return make_directory(state) != 0 || pthread_create(&server.thread, NULL, serve, NULL) != 0;
}

static int stop_server(void **state) {
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    return remove_directory(state);
}

static int send_to(const char *answer, const struct http_request *request) {
    server.answer = answer;
    server.answer_length = answer != NULL ? strlen(answer) : 0;
    return http_send(request, &response, &reason);
}

static struct http_request post(const char *body, size_t length) {
    return (struct http_request){.method = "POST",
                                 .url = server.url,
                                 .headers = {"Authorization: Bearer to\\ken\"", "Content-Type: text/x"},
                                 .body = body,
                                 .length = length,
                                 .seconds = 60,
                                 .limit = 1000,
                                 .plain = true};
}

static void check_arrives(const char *body, size_t length) {
    struct http_request request = post(body, length);
    if (send_to("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", &request) != 0)
        fail_msg("%s", reason.text);
    http_free(&response);
    char *got = strstr(server.request, "\r\n\r\n") + 4;
    assert_int_equal(server.length - (size_t)(got - server.request), length);
    assert_memory_equal(got, body, length);
}

static void every_byte_of_a_request_arrives(void **state) {
    (void)state;
    char all[256];
    static char large[200000];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    memset(large, '\\', sizeof large);
    check_arrives("@/etc/passwd", 12);
    check_arrives("\"\\\n\r\t\v a=b #", 13);
    check_arrives("", 0);
    check_arrives(all + 1, 255);
    check_arrives(all, 256); /* with a NUL */
    check_arrives(large, sizeof large);
    assert_non_null(strstr(server.request, "POST /a?b=c HTTP/1.1\r\n"));
    assert_non_null(strstr(server.request, "\r\nAuthorization: Bearer to\\ken\"\r\n"));
    assert_non_null(strstr(server.request, "\r\nContent-Type: text/x\r\n"));
    assert_non_null(strstr(server.request, "\r\nUser-Agent: doorpost/"));
    assert_null(strstr(server.request, "\r\nExpect:"));
}

static void methods_without_a_body_work(void **state) {
    (void)state;
    struct http_request request = post(NULL, 0);
    request.method = "DELETE";
    assert_int_equal(send_to("HTTP/1.1 204 No Content\r\n\r\n", &request), 0);
    assert_int_equal(response.status, 204);
    assert_int_equal(response.length, 0);
    assert_string_equal(response.body, "");
    http_free(&response);
    assert_non_null(strstr(server.request, "DELETE /a?b=c HTTP/1.1\r\n"));
    assert_null(strstr(server.request, "Content-Length"));
}

static void a_response_is_read(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    assert_int_equal(
        send_to("HTTP/1.1 103 Early Hints\r\nLocation: /no\r\n\r\n"
                "HTTP/1.1 303 See Other\r\nlocation:  https://a/b?c \r\nCONTENT-TYPE: a/b;c=d\r\n"
                "Retry-After: 17\r\nContent-Length: 29\r\n\r\nHTTP/1.1 200 OK\r\n\r\na\ndoorpost",
                &request),
        0);
    assert_int_equal(response.status, 303);
    assert_string_equal(response.location, "https://a/b?c");
    assert_string_equal(response.content_type, "a/b;c=d");
    assert_int_equal(response.retry_after, 17);
    assert_string_equal(response.body, "HTTP/1.1 200 OK\r\n\r\na\ndoorpost");
    assert_int_equal(response.length, 29);
    http_free(&response);
    assert_int_equal(
        send_to("HTTP/1.1 429 No\r\nRetry-After: Fri, 27 Nov 2026 00:00:00 GMT\r\n\r\n", &request), 0);
    assert_int_equal(response.retry_after, -1);
    assert_string_equal(response.location, "");
    http_free(&response);
}

static void a_long_answer_is_refused(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    assert_int_equal(send_to("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", &request), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "longer than 1000"));
    http_free(&response);
    server.copies = 1 << 20; /* without a length, and never complete in time */
    assert_int_equal(send_to("HTTP/1.1 200 OK\r\n\r\n", &request), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "longer than 1000"));
    http_free(&response);
}

static void an_incomplete_answer_is_none(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    assert_int_equal(send_to("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", &request), ERROR_SYSTEM);
    http_free(&response);
    assert_int_equal(send_to("", &request), ERROR_SYSTEM);
    assert_int_equal(response.failure, 52);
    http_free(&response);
}

static void the_time_is_limited(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    request.seconds = 1;
    assert_int_equal(send_to(NULL, &request), ERROR_TIMEOUT);
    assert_int_equal(response.failure, 28);
    assert_null(strstr(reason.text, "b=c")); /* a query may be a secret */
    http_free(&response);
}

static void a_closed_port_refuses(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    request.url = "http://127.0.0.1:1/";
    assert_int_equal(http_send(&request, &response, &reason), ERROR_SYSTEM);
    assert_true(response.refused);
    http_free(&response);
}

static void only_https_unless_plain(void **state) {
    (void)state;
    static const char *const bad[] = {"ftp://a/", "file:///etc/passwd", "127.0.0.1", "https://a/\r\nx", ""};
    struct http_request request = post("x", 1);
    server.length = 0;
    request.plain = false;
    assert_int_equal(http_send(&request, &response, &reason), ERROR_SYSTEM);
    http_free(&response);
    assert_int_equal(server.length, 0);
    request.plain = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        request.url = bad[i];
        assert_int_equal(http_send(&request, &response, &reason), ERROR_SYSTEM);
        http_free(&response);
    }
    request = post("x", 1);
    request.headers[0] = "A: b\r\nC: d";
    assert_int_equal(http_send(&request, &response, &reason), ERROR_SYSTEM);
    http_free(&response);
}

static void *send_many(void *good) {
    struct http_request request = post("x", 1);
    struct http_response own;
    for (int i = 0; i < 5; i++) {
        if (http_send(&request, &own, NULL) == 0 && own.status == 200 && strcmp(own.body, "ok") == 0)
            ++*(int *)good;
        http_free(&own);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state) {
    (void)state;
    pthread_t threads[4];
    int good[4] = {0};
    server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    server.answer_length = strlen(server.answer);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &good[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 5);
    }
}

static void curl_gets_nothing_but_its_three_descriptors(void **state) {
    struct http_request request = post("a body", 6);
    char path[64];
    size_t length;
    int kept = dup(server.listener); /* which an exec would not close */
    char *old = strdup(getenv("PATH"));
    fake_curl(*state);
    fake_answer(1, 200, "", "ok");
    assert_int_equal(http_send(&request, &response, &reason), 0);
    http_free(&response);
    close(kept);
    setenv("PATH", old, 1);
    free(old);
    assert_string_equal(fake_arguments(1), "--disable --config -\n");
    assert_non_null(strstr(fake_request(1), "data-raw = \"a body\"\n"));
    snprintf(path, sizeof path, "request-1/fds");
    char *fds = read_file(path_in(*state, path), &length);
    assert_string_equal(fds, "0\n1\n2\n3\n"); /* 3 is the directory that ls reads */
    free(fds);
}

static void a_missing_curl_is_told(void **state) {
    struct http_request request = post("x", 1);
    char *old = strdup(getenv("PATH"));
    setenv("PATH", *state, 1);
    assert_int_equal(http_send(&request, &response, &reason), ERROR_SYSTEM);
    setenv("PATH", old, 1);
    free(old);
    assert_non_null(strstr(reason.text, "curl is not installed"));
    http_free(&response);
}

static void a_parent_may_have_ignored_the_end_of_children(void **state) {
    (void)state;
    struct http_request request = post("x", 1);
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(send_to("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &request), 0);
    http_free(&response);
    signal(SIGCHLD, SIG_DFL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_server, stop_server)

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* of the server */
    const struct CMUnitTest tests[] = {
        TEST(every_byte_of_a_request_arrives),
        TEST(methods_without_a_body_work),
        TEST(a_response_is_read),
        TEST(a_long_answer_is_refused),
        TEST(an_incomplete_answer_is_none),
        TEST(the_time_is_limited),
        TEST(a_closed_port_refuses),
        TEST(only_https_unless_plain),
        TEST(threads_do_not_disturb_each_other),
        TEST(curl_gets_nothing_but_its_three_descriptors),
        TEST(a_missing_curl_is_told),
        TEST(a_parent_may_have_ignored_the_end_of_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
