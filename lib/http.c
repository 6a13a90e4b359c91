/* curl reads its whole configuration, secrets and body included, from a pipe, and writes the header fields,
 * the body and a line of our own to another one. No file is involved.
 *
 * May be called by several threads at once: posix_spawn(3) does nothing between fork and exec that is not
 * safe then, and curl gets no descriptor but its three. */
#define _GNU_SOURCE /* pipe2, posix_spawn_file_actions_addclosefrom_np */
#include "http.h"

#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "unknown"
#endif

#define FIELDS_MAX 65536 /* bytes of a response's header */
#define LINE_MAX_BODY 32768
#define GRACE 5 /* seconds after the limit that curl keeps itself */
#define MESSAGE_SIZE 512
#define MARK "\ndoorpost:" /* begins the line that --write-out adds */

enum curl_status { CURL_REFUSED = 7, CURL_TIMEOUT = 28, CURL_TOO_LARGE = 63 }; /* curl(1), EXIT CODES */

extern char **environ;

/* Bytes that are wiped before they are released. */
struct buffer {
    char *bytes; /* NUL-terminated; NULL if nothing was added or memory ran out */
    size_t length, size;
    bool failed;
};

static void buffer_free(struct buffer *buffer) {
    if (buffer->bytes != NULL)
        sodium_memzero(buffer->bytes, buffer->size);
    free(buffer->bytes);
    buffer->bytes = NULL;
}

/* Makes room for `more` bytes and a NUL. realloc(3) would leave a copy. */
static bool buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->failed || buffer->length + more < buffer->size)
        return !buffer->failed;
    size_t size = 2 * buffer->size + more + 1024;
    char *bytes = malloc(size);
    if (bytes == NULL) {
        buffer->failed = true;
        return false;
    }
    if (buffer->bytes != NULL)
        memcpy(bytes, buffer->bytes, buffer->length + 1);
    size_t length = buffer->length;
    buffer_free(buffer);
    *buffer = (struct buffer){.bytes = bytes, .length = length, .size = size};
    return true;
}

static void add(struct buffer *buffer, const char *bytes, size_t length) {
    if (length == 0 || !buffer_reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

static void add_text(struct buffer *buffer, const char *text) {
    add(buffer, text, strlen(text));
}

/* ---- the request, as a configuration (curl(1), --config) ---- */

static void add_quoted(struct buffer *config, const char *name, const char *bytes, size_t length) {
    add_text(config, name);
    add_text(config, " = \"");
    for (size_t i = 0; i < length; i++)
        switch (bytes[i]) {
        case '\\':
            add_text(config, "\\\\");
            break;
        case '"':
            add_text(config, "\\\"");
            break;
        case '\n':
            add_text(config, "\\n");
            break;
        case '\r':
            add_text(config, "\\r");
            break;
        default:
            add(config, bytes + i, 1);
            break;
        }
    add_text(config, "\"\n");
}

static void add_option(struct buffer *config, const char *name, const char *value) {
    add_quoted(config, name, value, strlen(value));
}

static void add_number(struct buffer *config, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    add_option(config, name, text);
}

/* HTTP/2 is excluded: with it, curl gets no response when lighttpd refuses a path. */
static void write_config(const struct http_request *request, struct buffer *config) {
    static const char fixed[] = "silent\nshow-error\ngloboff\nhttp1.1\ntlsv1.2\ninclude\n"
                                "user-agent = \"doorpost/" VERSION "\"\nheader = \"Expect:\"\n"
                                "write-out = \"\\ndoorpost:%{http_code} %{size_header} %{time_total}\"\n";
    add_text(config, fixed);
    add_option(config, "proto", request->plain ? "=http,https" : "=https");
    add_number(config, "max-time", (uint64_t)request->seconds);
    add_number(config, "max-filesize", request->limit);
    if (request->ca != NULL && request->ca[0] != '\0')
        add_option(config, "cacert", request->ca);
    add_option(config, "request", request->method);
    for (size_t i = 0; i < HTTP_HEADERS && request->headers[i] != NULL; i++)
        add_option(config, "header", request->headers[i]);
    add_option(config, "url", request->url);
    if (request->body == NULL)
        return;
    if (request->length <= LINE_MAX_BODY && memchr(request->body, '\0', request->length) == NULL) {
        add_quoted(config, "data-raw", request->body, request->length);
        return;
    }
    /* A line cannot contain a NUL, or have more than 100 KiB. But curl reads "@-" from where it is in its
     * standard input. */
    add_text(config, "data-binary = \"@-\"\n");
    add(config, request->body, request->length);
}

static bool is_line(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            return false;
    return true;
}

static int check_request(const struct http_request *request, struct reason *reason) {
    bool secure = strncasecmp(request->url, "https://", 8) == 0;
    if (request->plain && !secure && strncasecmp(request->url, "http://", 7) != 0)
        return FAIL(reason, ERROR_SYSTEM, "%.100s is not an HTTP URL: use https://YOUR.HOST/doorpost",
                    request->url);
    bool good = (secure || request->plain) && is_line(request->url) && is_line(request->method);
    for (size_t i = 0; i < HTTP_HEADERS && request->headers[i] != NULL; i++)
        good = good && is_line(request->headers[i]) && request->headers[i][0] != '@';
    return good ? 0 : FAIL(reason, ERROR_SYSTEM, "a request is not sent: its URL or a header is not valid");
}

/* ---- running curl ---- */

struct transfer {
    pid_t child;
    int in, out, errors; /* our ends of curl's standard streams; -1: closed */
    struct buffer config, answer;
    size_t written, limit;
    char message[MESSAGE_SIZE]; /* the start of what curl writes to standard error */
    size_t message_length;
    int status; /* curl's exit status, or -1 */
};

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Returns 0 or an error number. */
static int spawn(struct transfer *transfer, const int ends[3]) {
    static const char *const arguments[] = {"curl", "--disable" /* no .curlrc */, "--config", "-", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0)
        return posix_spawn_file_actions_destroy(&actions), ENOMEM;
    /* The mask is inherited: a signal that must not end this thread must not end its request. */
    int error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    for (int i = 0; i < 3 && error == 0; i++)
        error = posix_spawn_file_actions_adddup2(&actions, ends[i], i);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (error == 0)
        error = posix_spawnp(&transfer->child, arguments[0], &actions, &attributes,
                             (char *const *)(uintptr_t)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* A descriptor above 2, so that adddup2 in spawn() does not overwrite one that it still needs (a CGI program
 * may be started with standard streams closed). */
static int raised(int fd) {
    if (fd < 0 || fd > 2)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return higher;
}

static int open_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    ends[0] = raised(ends[0]);
    ends[1] = raised(ends[1]);
    return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

static int start(struct transfer *transfer, struct reason *reason) {
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct sigaction child;
    /* A parent may have left SIGCHLD ignored: then there is no exit status. */
    if (sigaction(SIGCHLD, NULL, &child) == 0 && child.sa_handler == SIG_IGN)
        signal(SIGCHLD, SIG_DFL);
    int error = 0;
    for (int i = 0; i < 3 && error == 0; i++)
        error = open_pipe(pipes[i]) == 0 ? 0 : errno;
    if (error == 0)
        error = spawn(transfer, (const int[]){pipes[0][0], pipes[1][1], pipes[2][1]});
    close_end(&pipes[0][0]);
    close_end(&pipes[1][1]);
    close_end(&pipes[2][1]);
    transfer->in = pipes[0][1];
    transfer->out = pipes[1][0];
    transfer->errors = pipes[2][0];
    if (error == ENOENT)
        return FAIL(reason, ERROR_SYSTEM, "curl is not installed: install it and try again");
    if (error != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot run curl: %s", strerror(error));
    fcntl(transfer->in, F_SETFL, O_NONBLOCK);
    fcntl(transfer->out, F_SETFL, O_NONBLOCK);
    fcntl(transfer->errors, F_SETFL, O_NONBLOCK);
    return 0;
}

/* Writes to a pipe that curl may have closed, without the signal. A thread's own SIGPIPE is pending for that
 * thread alone. */
static ssize_t write_quietly(int fd, const char *bytes, size_t length) {
    sigset_t pipe_signal, old, pending;
    const struct timespec now = {0};
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    bool was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
    ssize_t written = write(fd, bytes, length);
    int error = errno;
    if (written < 0 && error == EPIPE && !was_pending)
        sigtimedwait(&pipe_signal, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return written;
}

static void feed(struct transfer *transfer) {
    ssize_t written = write_quietly(transfer->in, transfer->config.bytes + transfer->written,
                                    transfer->config.length - transfer->written);
    if (written < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    transfer->written += written > 0 ? (size_t)written : 0;
    if (written < 0 || transfer->written == transfer->config.length)
        close_end(&transfer->in);
}

static void drain(struct transfer *transfer) {
    if (!buffer_reserve(&transfer->answer, 16384)) {
        close_end(&transfer->out);
        return;
    }
    ssize_t got = read(transfer->out, transfer->answer.bytes + transfer->answer.length, 16384);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_end(&transfer->out);
        return;
    }
    transfer->answer.length += (size_t)got;
    transfer->answer.bytes[transfer->answer.length] = '\0';
    if (transfer->answer.length > transfer->limit)
        close_end(&transfer->out);
}

static void drain_errors(struct transfer *transfer) {
    char bytes[MESSAGE_SIZE];
    ssize_t got = read(transfer->errors, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        close_end(&transfer->errors);
    size_t room = MESSAGE_SIZE - 1 - transfer->message_length;
    size_t take = got <= 0 ? 0 : (size_t)got < room ? (size_t)got : room;
    memcpy(transfer->message + transfer->message_length, bytes, take);
    transfer->message_length += take;
}

/* Exchanges bytes with curl until it has closed its ends. Returns false if it did not before the deadline. */
static bool pump(struct transfer *transfer, int64_t deadline) {
    while (transfer->out >= 0 || transfer->errors >= 0) {
        struct pollfd watched[] = {{.fd = transfer->in, .events = POLLOUT},
                                   {.fd = transfer->out, .events = POLLIN},
                                   {.fd = transfer->errors, .events = POLLIN}};
        int64_t left = deadline - monotonic_now();
        if (left <= 0)
            return false;
        if (poll(watched, 3, (int)(left / 1000) + 1) < 0 && errno != EINTR)
            return false;
        if (watched[0].revents != 0 && transfer->in >= 0)
            feed(transfer);
        if (watched[1].revents != 0 && transfer->out >= 0)
            drain(transfer);
        if (watched[2].revents != 0 && transfer->errors >= 0)
            drain_errors(transfer);
        if (transfer->answer.failed || transfer->answer.length > transfer->limit)
            return true;
    }
    return true;
}

static void finish(struct transfer *transfer, bool in_time) {
    int status;
    bool stopped = !in_time || transfer->answer.failed || transfer->answer.length > transfer->limit;
    close_end(&transfer->in);
    close_end(&transfer->out);
    close_end(&transfer->errors);
    if (stopped)
        kill(transfer->child, SIGKILL);
    transfer->status = -1;
    pid_t ended;
    while ((ended = waitpid(transfer->child, &status, 0)) < 0 && errno == EINTR)
        continue;
    if (!in_time)
        transfer->status = CURL_TIMEOUT;
    else if (transfer->answer.length > transfer->limit)
        transfer->status = CURL_TOO_LARGE;
    else if (ended == transfer->child && WIFEXITED(status) && !stopped)
        transfer->status = WEXITSTATUS(status);
}

/* ---- the response ---- */

static void copy_field(char *out, size_t size, const char *value, size_t length) {
    if (length >= size) /* part of a URL is not that URL */
        length = 0;
    memcpy(out, value, length);
    out[length] = '\0';
}

static void take_field(struct http_response *response, const char *line, size_t length) {
    const char *colon = memchr(line, ':', length);
    if (colon == NULL)
        return;
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    size_t size = (size_t)(end - value);
    if (memchr(value, '\0', size) != NULL)
        return;
    if (name == 8 && strncasecmp(line, "Location", name) == 0)
        copy_field(response->location, sizeof response->location, value, size);
    else if (name == 12 && strncasecmp(line, "Content-Type", name) == 0)
        copy_field(response->content_type, sizeof response->content_type, value, size);
    else if (name == 11 && strncasecmp(line, "Retry-After", name) == 0 && size > 0 && size < 9 &&
             strspn(value, "0123456789") >= size)
        response->retry_after = atoi(value);
}

/* Reads the header of the last response: those of a proxy and interim ones (RFC 9110, section 15.2) come
 * before. `fields` is the size of them all. */
static void take_fields(struct http_response *response, const char *text, size_t fields) {
    size_t at = 0;
    while (at < fields) {
        const char *end = memchr(text + at, '\n', fields - at);
        size_t length = end != NULL ? (size_t)(end - (text + at)) : fields - at;
        if (length >= 5 && memcmp(text + at, "HTTP/", 5) == 0) {
            response->location[0] = response->content_type[0] = '\0';
            response->retry_after = -1;
        }
        take_field(response, text + at, length);
        at += length + 1;
    }
}

/* Splits what curl wrote. The last line is ours; the body may contain anything. */
static bool take_response(struct buffer *answer, struct http_response *response) {
    char *line = NULL;
    size_t length = answer->length, fields;
    for (size_t i = length; i-- > 0 && length - i < 128 && line == NULL;)
        if (strncmp(answer->bytes + i, MARK, sizeof MARK - 1) == 0)
            line = answer->bytes + i;
    if (line == NULL ||
        sscanf(line + sizeof MARK - 1, "%d %zu %lf", &response->status, &fields, &response->seconds) != 3)
        return false;
    size_t total = (size_t)(line - answer->bytes);
    if (response->status < 200 || response->status > 599 || fields > total)
        return false;
    take_fields(response, answer->bytes, fields);
    response->length = total - fields;
    response->body = malloc(response->length + 1);
    if (response->body == NULL)
        return false;
    memcpy(response->body, answer->bytes + fields, response->length);
    response->body[response->length] = '\0';
    return true;
}

/* Strips the prefix from a message like "curl: (7) Failed to connect". */
static const char *plain_message(struct transfer *transfer) {
    char *text = transfer->message;
    text[transfer->message_length] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    const char *end = strncmp(text, "curl: (", 7) == 0 ? strstr(text, ") ") : NULL;
    return end != NULL ? end + 2 : text;
}

static int fail(struct transfer *transfer, const struct http_request *request, struct http_response *response,
                struct reason *reason) {
    const char *host = strstr(request->url, "://") + 3;
    int origin = (int)((size_t)(host - request->url) + strcspn(host, "/?#"));
    response->failure = transfer->status;
    response->refused = transfer->status == CURL_REFUSED;
    if (transfer->status == CURL_TOO_LARGE)
        return FAIL(reason, ERROR_SYSTEM, "the answer from %.*s is longer than %zu bytes",
                    origin < 60 ? origin : 60, request->url, request->limit);
    const char *message = transfer->status < 0 ? "curl did not end as it should" : plain_message(transfer);
    return FAIL(reason, transfer->status == CURL_TIMEOUT ? ERROR_TIMEOUT : ERROR_SYSTEM,
                "no answer from %.*s: %.120s", origin < 60 ? origin : 60, request->url,
                message[0] != '\0' ? message : "it took too long");
}

static int send_prepared(struct transfer *transfer, const struct http_request *request,
                         struct http_response *response, struct reason *reason) {
    int result = start(transfer, reason);
    if (result == 0) {
        finish(transfer, pump(transfer, monotonic_now() + (request->seconds + GRACE) * SECOND));
        if (transfer->status != 0 || !take_response(&transfer->answer, response))
            result = fail(transfer, request, response, reason);
    }
    close_end(&transfer->in);
    close_end(&transfer->out);
    close_end(&transfer->errors);
    return result;
}

int http_send(const struct http_request *request, struct http_response *response, struct reason *reason) {
    struct transfer transfer = {.in = -1, .out = -1, .errors = -1};
    *response = (struct http_response){.retry_after = -1};
    int result = check_request(request, reason);
    if (result != 0)
        return result;
    transfer.limit = request->limit + FIELDS_MAX;
    write_config(request, &transfer.config);
    if (transfer.config.failed)
        result = FAIL(reason, ERROR_SYSTEM, "no memory for a request");
    else
        result = send_prepared(&transfer, request, response, reason);
    if (result == 0 && response->length > request->limit)
        result = FAIL(reason, ERROR_SYSTEM, "an answer is longer than %zu bytes", request->limit);
    buffer_free(&transfer.config);
    buffer_free(&transfer.answer);
    return result;
}

void http_free(struct http_response *response) {
    if (response->body != NULL)
        sodium_memzero(response->body, response->length);
    free(response->body);
    response->body = NULL;
    response->length = 0;
    sodium_memzero(response->location, sizeof response->location);
}
