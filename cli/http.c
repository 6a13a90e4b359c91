/* Uses the program curl(1), which every host with shell users has. It supplies TLS and certificates that are
 * kept up to date there, and adds nothing to link. */
#include "http.h"

#include "ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_FOUND 127 /* shell convention */
#define REFUSED 7     /* curl(1) */
#define MESSAGE_SIZE 512

/* Files rather than pipes, so that neither side blocks on the other. */
struct exchange {
    FILE *body, *answer, *errors;
};

static void close_file(FILE *file) {
    if (file != NULL)
        fclose(file);
}

__attribute__((noreturn)) static void become_curl(const struct exchange *exchange, const char *url,
                                                  const char *signature) {
    char field[256], seconds[16];
    snprintf(field, sizeof field, RING_SIGNATURE_HEADER ":%s%s", signature != NULL ? " " : "",
             signature != NULL ? signature : "");
    snprintf(seconds, sizeof seconds, "%d", RING_ANSWER_SECONDS);
    /* HTTP/2 is excluded: with it, curl gets no response when lighttpd refuses a path. */
    const char *const arguments[] = {"curl",
                                     "--disable", /* no .curlrc */
                                     "--silent",
                                     "--show-error",
                                     "--globoff",
                                     "--http1.1",
                                     "--max-time",
                                     seconds,
                                     "--proto",
                                     "=http,https",
                                     "--user-agent",
                                     "doorpost",
                                     "--data-binary",
                                     "@-",
                                     "--header",
                                     ("Content-Type: " RING_CONTENT_TYPE),
                                     "--header",
                                     "Expect:",
                                     "--header",
                                     field, /* omitted if empty */
                                     "--write-out",
                                     "\n%{http_code} %{time_total}",
                                     "--url",
                                     url,
                                     NULL};
    if (dup2(fileno(exchange->body), STDIN_FILENO) >= 0 &&
        dup2(fileno(exchange->answer), STDOUT_FILENO) >= 0 &&
        dup2(fileno(exchange->errors), STDERR_FILENO) >= 0)
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(errno == ENOENT ? NOT_FOUND : 126);
}

/* Returns curl's exit status, or -1. */
static int run_curl(const struct exchange *exchange, const char *url, const char *signature) {
    int status;
    pid_t child = fork();
    if (child == 0)
        become_curl(exchange, url, signature);
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The last line of the file was written by --write-out. Everything before it is the body. */
static int read_answer(FILE *file, struct answer *answer) {
    char tail[64];
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    long start = size > (long)sizeof tail - 1 ? size - ((long)sizeof tail - 1) : 0;
    if (size <= 0 || fseek(file, start, SEEK_SET) != 0)
        return -1;
    size_t length = fread(tail, 1, sizeof tail - 1, file);
    tail[length] = '\0';
    char *line = strrchr(tail, '\n');
    if (line == NULL || sscanf(line, "%d %lf", &answer->status, &answer->seconds) != 2)
        return -1;
    size_t body = (size_t)start + (size_t)(line - tail);
    rewind(file);
    answer->length =
        fread(answer->body, 1, body < sizeof answer->body - 1 ? body : sizeof answer->body - 1, file);
    return 0;
}

/* Strips the prefix from a message like "curl: (7) Failed to connect". */
static const char *message(FILE *errors, char text[MESSAGE_SIZE]) {
    rewind(errors);
    text[fread(text, 1, MESSAGE_SIZE - 1, errors)] = '\0';
    text[strcspn(text, "\n")] = '\0';
    const char *end = strncmp(text, "curl: (", 7) == 0 ? strstr(text, ") ") : NULL;
    return end != NULL ? end + 2 : text;
}

/* Advice for each curl exit status (curl(1)) that means no response. */
static const char *advice(int status) {
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {6, "the host name does not resolve: check its spelling and its DNS record"},
        {REFUSED, "nothing listens there: check the port, the firewall, and that the web server is running"},
        {28, "Ring does not wait longer. Either a firewall drops the packets, or the server does not answer: "
             "check that the web server and the worker are running"},
        {35, "this port does not speak TLS 1.2 or later, which Ring requires: check the port"},
        {52, "the server closed the connection: check that the port speaks this scheme"},
        {56, "the server closed the connection: see the web server's error log"},
        {60, "the certificate is not trusted. Ring rejects certificates that are self-signed, expired or for "
             "another name: get one from a public CA (certbot). To test with this one anyway, set "
             "CURL_CA_BUNDLE=CERTIFICATE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].status == status)
            return cases[i].text;
    return "see EXIT CODES in curl(1)";
}

static bool has_scheme(const char *url) {
    return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
}

int http_post(const char *url, const char *body, size_t length, const char *signature, struct answer *answer,
              struct reason *reason) {
    *answer = (struct answer){0};
    if (!has_scheme(url))
        return FAIL(reason, ERROR_SYSTEM, "%.100s is not an HTTP URL: use https://YOUR.HOST/doorpost", url);
    struct exchange exchange = {tmpfile(), tmpfile(), tmpfile()};
    char text[MESSAGE_SIZE];
    int result = 0;
    if (exchange.body == NULL || exchange.answer == NULL || exchange.errors == NULL ||
        fwrite(body, 1, length, exchange.body) != length || fflush(exchange.body) != 0 ||
        fseek(exchange.body, 0, SEEK_SET) != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot write to a temporary file: %s", strerror(errno));
    int status = result == 0 ? run_curl(&exchange, url, signature) : 0;
    if (status == NOT_FOUND)
        result = FAIL(reason, ERROR_SYSTEM, "curl is not installed: install it and try again");
    else if (status < 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot run curl: %s", strerror(errno));
    else if (result == 0 && (read_answer(exchange.answer, answer) != 0 || status != 0))
        result = FAIL(reason, ERROR_SYSTEM, "no answer from %.60s: %.80s: %s", url,
                      message(exchange.errors, text), advice(status));
    answer->refused = status == REFUSED;
    close_file(exchange.body);
    close_file(exchange.answer);
    close_file(exchange.errors);
    return result;
}
