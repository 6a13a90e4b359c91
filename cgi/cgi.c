/* Reads exactly CONTENT_LENGTH bytes of body and no more (RFC 3875, section 4.2), because standard input may
 * be a socket that never reaches EOF. Without CONTENT_LENGTH, as for a chunked body, reads to EOF. */
#include "cgi.h"

#include "log.h"
#include "output.h"
#include "ring.h"
#include "timestamp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads `length` bytes or to EOF. Returns the number read, or -1 on a read error or timeout. */
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

/* Returns how many body bytes are needed to decide the request. */
static size_t length_to_read(const struct request *request) {
    const char *method = request->metadata.method;
    long announced = intake_length(request->metadata.content_length);
    if (method == NULL || strcmp(method, "POST") != 0 || announced == LENGTH_INVALID ||
        announced > BODY_LIMIT)
        return 0;
    return announced == LENGTH_ABSENT ? BODY_LIMIT : (size_t)announced;
}

static void read_body(struct request *request) {
    int64_t deadline = request->since + ANSWER_WITHIN;
    size_t wanted = length_to_read(request);
    bool has_length = intake_length(request->metadata.content_length) != LENGTH_ABSENT;
    char more;
    size_t filled;
    ssize_t got = read_input(request->body, wanted, deadline, &request->length);
    if (got == BODY_LIMIT && !has_length && read_input(&more, 1, deadline, &filled) > 0)
        request->length++;
    /* No length was given, no byte came, and the web server left its end open: treat it as an empty body. */
    if (got < 0 && (has_length || request->length > 0))
        request->fault = REQUEST_INCOMPLETE;
}

/* Drains the body: a web server still sending it when we exit could miss the answer. */
static void discard_rest(const struct request *request) {
    static char bytes[65536];
    long announced = intake_length(request->metadata.content_length);
    int64_t deadline = request->since + ANSWER_WITHIN;
    for (size_t left = announced > 0 && request->length == 0 ? (size_t)announced : 0, got; left > 0;
         left -= got)
        if (read_input(bytes, left < sizeof bytes ? left : sizeof bytes, deadline, &got) <= 0)
            return;
}

/* The web server waits for EOF on our output, so close it before doing anything else. dup2() keeps descriptor
 * 1 occupied, so that no file opened later gets it. */
static void answer(void *context, void *request, const char *text, size_t length) {
    (void)context;
    output_write(text, length, monotonic_now() + ANSWER_WITHIN);
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
        fputs("doorpost.cgi must be run by a web server, as CGI or FastCGI; see README.md for the setup\n",
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
    output_write(text, sizeof text - 1, monotonic_now() + ANSWER_WITHIN);
}
