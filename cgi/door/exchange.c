/* The answer's header fields are CGI's (RFC 3875, section 6); FastCGI carries the same text in records. */
#define _GNU_SOURCE /* strcasestr */
#include "exchange.h"

#include "intake.h"
#include "log.h"
#include "output.h"
#include "page.h"
#include "percent.h"
#include "quote.h"
#include "timestamp.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_SIZE 8192
#define CGI_WITHIN (30 * SECOND) /* for the web server to send the body, and again to take the answer */
#define DRAIN_MAX (1 << 20)      /* bytes of a body that is not read, before the connection is closed */

/* Referrer-Policy: with no-referrer, browsers send "Origin: null" with our own forms (Fetch, section 3.2). */
#define SECURITY_FIELDS                                                                                  \
    "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action " \
    "'self'\r\n"                                                                                         \
    "X-Content-Type-Options: nosniff\r\n"                                                                \
    "Referrer-Policy: same-origin\r\n"                                                                   \
    "Cross-Origin-Resource-Policy: same-origin\r\n"

/* ---- the request ---- */

const char *exchange_variable(const struct exchange *exchange, const char *name) {
    const FCGX_Request *request = exchange->gateway;
    if (exchange->finished)
        return "";
    const char *value = request != NULL ? FCGX_GetParam(name, request->envp) : getenv(name);
    return value != NULL ? value : "";
}

void exchange_begin(struct exchange *exchange, struct page *page, void *gateway) {
    *exchange = (struct exchange){.page = page, .gateway = gateway, .since = monotonic_now()};
    exchange->method = exchange_variable(exchange, "REQUEST_METHOD");
    exchange->query = exchange_variable(exchange, "QUERY_STRING");
    size_t length = exchange->query[0] == '/' ? strcspn(exchange->query + 1, "/&") : 0;
    if (length >= sizeof exchange->route) /* no route is that long: it is not found */
        length = sizeof exchange->route - 1;
    if (length > 0)
        memcpy(exchange->route, exchange->query + 1, length);
}

/* A repeated member is as good as none: programs differ in which one they take. */
static bool find(const char *text, size_t length, const char *name, char *out, size_t size) {
    const char *end = text + length, *found = NULL;
    size_t found_length = 0;
    while (text != NULL && text < end) {
        const char *stop = memchr(text, '&', (size_t)(end - text));
        size_t member = stop != NULL ? (size_t)(stop - text) : (size_t)(end - text);
        const char *equals = memchr(text, '=', member);
        size_t key = equals != NULL ? (size_t)(equals - text) : member;
        char decoded[64];
        if (percent_decode(text, key, 1, decoded, sizeof decoded) >= 0 && strcmp(decoded, name) == 0) {
            if (found != NULL)
                return false;
            found = equals != NULL ? equals + 1 : text + member;
            found_length = equals != NULL ? member - key - 1 : 0;
        }
        text += member + 1;
    }
    return found != NULL && percent_decode(found, found_length, 1, out, size) >= 0;
}

bool exchange_query(const struct exchange *exchange, const char *name, char *out, size_t size) {
    return find(exchange->query, strlen(exchange->query), name, out, size);
}

bool exchange_form(const struct exchange *exchange, const char *name, char *out, size_t size) {
    return exchange->body != NULL && find(exchange->body, exchange->length, name, out, size);
}

bool exchange_operand(const struct exchange *exchange, char *out, size_t size) {
    const char *rest = exchange->query[0] == '/' ? exchange->query + 1 + strlen(exchange->route) : "";
    return rest[0] == '/' && percent_decode(rest + 1, strcspn(rest + 1, "&"), 0, out, size) >= 0;
}

/* ---- the body ---- */

/* Standard input may be a socket that never reaches its end. */
static size_t read_input(char *out, size_t length) {
    int64_t deadline = monotonic_now() + CGI_WITHIN;
    size_t filled = 0;
    while (filled < length) {
        int64_t left = deadline - monotonic_now();
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (left <= 0 || poll(&input, 1, (int)(left / 1000) + 1) == 0)
            break;
        ssize_t got = read(STDIN_FILENO, out + filled, length - filled);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            break;
        filled += got > 0 ? (size_t)got : 0;
    }
    return filled;
}

static size_t read_some(const struct exchange *exchange, char *out, size_t length) {
    FCGX_Request *request = exchange->gateway;
    if (request == NULL)
        return read_input(out, length);
    /* One at a time, because FCGX_GetStr() waits until all are there, however slowly they come. */
    int64_t deadline = monotonic_now() + CGI_WITHIN;
    size_t filled = 0;
    for (int next; filled < length && monotonic_now() < deadline; filled++) {
        if ((next = FCGX_GetChar(request->in)) < 0)
            break;
        out[filled] = (char)next;
    }
    return filled;
}

int exchange_body(struct exchange *exchange) {
    long length = intake_length(exchange_variable(exchange, "CONTENT_LENGTH"));
    if (length == LENGTH_ABSENT)
        exchange_error(exchange, 411, "length", "The length of the body is not announced.");
    else if (length == LENGTH_INVALID)
        exchange_error(exchange, 400, "length", "The length of the body is not a number.");
    else if (length > BODY_MAX)
        exchange_error(exchange, 413, "length", "The body is too large.");
    else if ((exchange->body = malloc((size_t)length + 1)) == NULL)
        exchange_error(exchange, 503, "memory", "No memory is left. Try again.");
    if (exchange->body == NULL)
        return -1;
    exchange->length = read_some(exchange, exchange->body, (size_t)length);
    exchange->body[exchange->length] = '\0';
    if (exchange->length == (size_t)length)
        return 0;
    exchange_error(exchange, 400, "length", "The body ends before its announced length.");
    return -1;
}

/* Reads what is left of the body: a web server that is still sending it could miss the answer, and on a kept
 * connection the next request follows it. Returns false if there is too much. */
static bool drain(const struct exchange *exchange) {
    char bytes[4096];
    long length = intake_length(exchange_variable(exchange, "CONTENT_LENGTH"));
    bool cgi = exchange->gateway == NULL;
    size_t left = !cgi ? DRAIN_MAX : length > 0 && exchange->body == NULL ? (size_t)length : 0;
    while (left > 0) {
        size_t wanted = left < sizeof bytes ? left : sizeof bytes;
        size_t got = read_some(exchange, bytes, wanted);
        if (got < wanted)
            return true;
        left -= got;
    }
    return cgi;
}

/* ---- the answer ---- */

/* RFC 9110, section 15. */
static const char *reason_phrase(int status) {
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"},
                   {201, "Created"},
                   {202, "Accepted"},
                   {204, "No Content"},
                   {303, "See Other"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {411, "Length Required"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {429, "Too Many Requests"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"}};
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Status";
}

static void put(const struct exchange *exchange, const char *text, size_t length) {
    FCGX_Request *request = exchange->gateway;
    if (request == NULL)
        output_write(text, length, monotonic_now() + CGI_WITHIN);
    else if (length <= INT_MAX)
        FCGX_PutStr(text, (int)length, request->out); /* an error closes the connection at the end */
}

void exchange_answer(struct exchange *exchange, int status, const char *type, const char *fields,
                     const void *body, size_t length) {
    char head[HEAD_SIZE], content[256] = "";
    bool has_body = status != 204 && status != 304;
    if (exchange->status != 0)
        return;
    if (has_body && type != NULL)
        snprintf(content, sizeof content, "Content-Type: %s\r\n", type);
    if (has_body)
        snprintf(content + strlen(content), sizeof content - strlen(content), "Content-Length: %zu\r\n",
                 length);
    bool cached = strcasestr(fields, "Cache-Control:") != NULL;
    int used = snprintf(head, sizeof head, "Status: %d %s\r\n%s%s%s" SECURITY_FIELDS "\r\n", status,
                        reason_phrase(status), content, cached ? "" : "Cache-Control: no-store\r\n", fields);
    if (used < 0 || (size_t)used >= sizeof head) {
        exchange_error(exchange, 503, "fields", "The answer's header is too long.");
        return;
    }
    exchange->status = status;
    put(exchange, head, (size_t)used);
    if (has_body && strcmp(exchange->method, "HEAD") != 0)
        put(exchange, body, length);
}

void exchange_error(struct exchange *exchange, int status, const char *word, const char *message) {
    char quoted[1024], body[1200];
    quote(quoted, sizeof quoted, message, strlen(message));
    int length = snprintf(body, sizeof body, "{\"error\":\"%s\",\"message\":%s}\n", word, quoted);
    if (status >= 500 && exchange->cause.text[0] == '\0')
        explain(&exchange->cause, "%s", message);
    const char *fields = status == 429                    ? "Retry-After: 2\r\n"
                         : status == 503 || status == 504 ? "Retry-After: 30\r\n"
                                                          : "";
    exchange_answer(exchange, status, "application/json", fields, body, (size_t)length);
}

/* spawn-fcgi leaves /dev/null as standard error: the web server gets the lines of the log in another way
 * (FastCGI 1.0, section 5.3). */
static void pass_log(FCGX_Request *request) {
    char lines[LOG_HELD];
    size_t length = log_take(lines, sizeof lines);
    if (length > 0)
        FCGX_PutStr(lines, (int)length, request->err);
}

/* What was asked for, if it can be a name here: strangers choose it. */
static const char *log_name(const struct exchange *exchange) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    if (exchange->route[0] == '\0')
        return "page";
    return strspn(exchange->route, letters) == strlen(exchange->route) ? exchange->route : "unknown";
}

static void write_log(const struct exchange *exchange) {
    enum log_level level = exchange->page->ready ? exchange->page->config.log : LOG_PROBLEMS;
    struct log_answer answer = {.status = exchange->status,
                                .disposition = log_name(exchange),
                                .cause = exchange->cause.text,
                                .client = exchange_variable(exchange, "REMOTE_ADDR"),
                                .batch = 1,
                                .duration = monotonic_now() - exchange->since};
    if (exchange->cause.text[0] != '\0' || level == LOG_ALL)
        log_answer(level, &answer);
}

void exchange_finish(struct exchange *exchange) {
    FCGX_Request *request = exchange->gateway;
    if (exchange->finished)
        return;
    write_log(exchange);
    if (request == NULL) {
        dup2(STDIN_FILENO, STDOUT_FILENO); /* so that no file opened later gets the number */
        drain(exchange);
    } else {
        pass_log(request);
        if (request->keepConnection && (FCGX_FFlush(request->out) != 0 || !drain(exchange)))
            request->keepConnection = 0;
        FCGX_Finish_r(request);
    }
    exchange->finished = true;
    exchange->query = "";
    exchange->method = "";
}

void exchange_end(struct exchange *exchange) {
    if (exchange->status == 0)
        exchange_error(exchange, 503, "unavailable", "The request was not answered.");
    exchange_finish(exchange);
    if (exchange->body != NULL)
        sodium_memzero(exchange->body, exchange->length);
    free(exchange->body);
}
