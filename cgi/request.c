/* libfcgi decodes and encodes the FastCGI records; the connection itself stays ours, because libfcgi would
 * wait for one and, at the end, for the peer to close it. */
#include "request.h"

#include "timestamp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int request_start_fastcgi(struct request *request, int file, int64_t accepted_at) {
    request->accepted_at = accepted_at;
    request->file = file;
    /* libfcgi has no call that takes a connection which is already accepted, but it goes on with one that it
     * kept open from an earlier request. No listening socket is named: it shall accept none of its own. */
    FCGX_InitRequest(&request->fcgi, -1, 0);
    request->fcgi.ipcFd = file;
    request->fcgi.keepConnection = 1;
    return FCGX_Accept_r(&request->fcgi) == 0 ? 0 : -1;
}

void request_start_cgi(struct request *request, int64_t accepted_at) {
    request->accepted_at = accepted_at;
    request->file = -1;
}

int64_t request_accepted_at(const struct request *request) {
    return request->accepted_at;
}

const char *request_parameter(const struct request *request, const char *name) {
    return request->file < 0 ? getenv(name) : FCGX_GetParam(name, request->fcgi.envp);
}

static ssize_t read_standard_input(char *out, size_t length, int64_t deadline) {
    size_t filled = 0;
    while (filled < length) {
        int64_t left = deadline - monotonic_now();
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (left <= 0 || poll(&input, 1, (int)(left / 1000) + 1) == 0)
            return -1;
        ssize_t got = read(STDIN_FILENO, out + filled, length - filled);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        filled += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)filled;
}

void request_discard(struct request *request, int64_t deadline) {
    char bytes[4096];
    if (request->file < 0)
        while (read_standard_input(bytes, sizeof bytes, deadline) == (ssize_t)sizeof bytes)
            continue;
}

ssize_t request_read(struct request *request, char *out, size_t length, int64_t deadline) {
    if (request->file < 0)
        return read_standard_input(out, length, deadline);
    int got = FCGX_GetStr(out, (int)length, request->fcgi.in);
    return FCGX_GetError(request->fcgi.in) == 0 ? got : -1;
}

static void write_standard_output(const char *answer, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, answer, length);
        if (written < 0 && errno != EINTR)
            return;
        answer += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

/* The web server waits for the end of the output: it must not be kept waiting by what follows the answer. The
 * descriptor stays taken, by something that it does no harm to hold. */
static void end_standard_output(void) {
    dup2(STDIN_FILENO, STDOUT_FILENO);
}

int request_answer(struct request *request, const char *answer, size_t length) {
    if (request->file < 0) {
        write_standard_output(answer, length);
        end_standard_output();
        return -1;
    }
    FCGX_PutStr(answer, (int)length, request->fcgi.out);
    FCGX_FClose(request->fcgi.err);
    FCGX_FClose(request->fcgi.out);
    FCGX_Free(&request->fcgi, 0);
    request->fcgi.ipcFd = -1;
    return request->file;
}
