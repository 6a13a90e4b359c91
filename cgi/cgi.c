/* The body is what CONTENT_LENGTH says and not a byte more (RFC 3875, section 4.2): standard input may be a
 * socket that nobody ends. Without a length, which a chunked body does not have, it goes to its end. */
#include "cgi.h"

#include "log.h"
#include "ring.h"
#include "timestamp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads until `length` bytes are there or the input ends. Returns how many, or -1 if it failed or took too
 * long. */
static ssize_t read_input(char *out, size_t length, int64_t deadline, size_t *filled) {
    for (*filled = 0; *filled < length;) {
        int64_t left = deadline - monotonic_now();
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (left <= 0 || poll(&input, 1, (int)(left / 1000) + 1) == 0)
            return -1;
        ssize_t got = read(STDIN_FILENO, out + *filled, length - *filled);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        *filled += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)*filled;
}

/* How much of the body decides. */
static size_t length_to_read(const struct request *request) {
    const char *method = request->metadata.method;
    long told = intake_length(request->metadata.content_length);
    if (method == NULL || strcmp(method, "POST") != 0 || told == LENGTH_INVALID || told > BODY_LIMIT)
        return 0;
    return told == LENGTH_ABSENT ? BODY_LIMIT : (size_t)told;
}

static void read_body(struct request *request) {
    int64_t deadline = request->since + ANSWER_WITHIN;
    size_t wanted = length_to_read(request);
    bool told = intake_length(request->metadata.content_length) != LENGTH_ABSENT;
    char more;
    size_t filled;
    ssize_t got = read_input(request->body, wanted, deadline, &request->length);
    if (got == BODY_LIMIT && !told && read_input(&more, 1, deadline, &filled) > 0)
        request->length++;
    /* Nothing came where nothing was announced, and the web server has left its end open: that is no body. */
    if (got < 0 && (told || request->length > 0))
        request->fault = REQUEST_INCOMPLETE;
}

/* A web server that is still sending a body when we end could miss the answer. */
static void discard_rest(const struct request *request) {
    static char bytes[65536];
    long told = intake_length(request->metadata.content_length);
    int64_t deadline = request->since + ANSWER_WITHIN;
    for (size_t left = told > 0 && request->length == 0 ? (size_t)told : 0, got; left > 0; left -= got)
        if (read_input(bytes, left < sizeof bytes ? left : sizeof bytes, deadline, &got) <= 0)
            return;
}

/* In parts that a pipe takes without blocking once it can be written to (PIPE_BUF). */
static void write_output(const char *text, size_t length) {
    int64_t deadline = monotonic_now() + ANSWER_WITHIN;
    while (length > 0) {
        struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};
        int64_t left = deadline - monotonic_now();
        if (left <= 0 || poll(&output, 1, (int)(left / 1000) + 1) == 0)
            return;
        ssize_t written = write(STDOUT_FILENO, text, length < PIPE_BUF ? length : PIPE_BUF);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return;
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

/* The web server waits for the end of the output: it must not be kept waiting by what follows the answer. The
 * descriptor stays taken, by something that it does no harm to hold. */
static void answer(void *context, void *request, const char *text, size_t length) {
    (void)context;
    write_output(text, length);
    dup2(STDIN_FILENO, STDOUT_FILENO);
    discard_rest(request);
}

int cgi_serve(struct handler *handler) {
    static struct request request;
    static const struct handler_answers answers = {.send = answer};
    request.since = monotonic_now();
    request.metadata = (struct request_metadata){.method = getenv("REQUEST_METHOD"),
                                                 .content_length = getenv("CONTENT_LENGTH"),
                                                 .signature = getenv(RING_SIGNATURE_VARIABLE),
                                                 .client = getenv("REMOTE_ADDR")};
    if (request.metadata.method == NULL) {
        fputs("doorpost.cgi is started by a web server, as CGI or FastCGI; see its README for how to set it "
              "up\n",
              stderr);
        return 2;
    }
    read_body(&request);
    handler_take(handler, &request, &request);
    handler_finish(handler, false, &answers);
    return EXIT_SUCCESS;
}

void cgi_give_up(const char *cause) {
    static const char text[] =
        "Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
        "Retry-After: 30\r\n\r\n{\"status\":\"unavailable\"}\n";
    log_error(cause);
    write_output(text, sizeof text - 1);
}
