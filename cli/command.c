#define _GNU_SOURCE /* pipe2, closefrom */
#include "command.h"

#include "terminal.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_FOUND 127 /* as in shells */
#define EXIT_NOT_EXECUTABLE 126
#define READS_MAX 20 /* enough to drain a full pipe to EOF */

/* Returns true if the file is executable. Otherwise sets errno: ENOENT if it does not exist or is not
 * executable for us. */
static bool can_run(const char *path) {
    if (access(path, X_OK) == 0)
        return true;
    if (errno == ENOTDIR || errno == EACCES)
        errno = ENOENT;
    return false;
}

bool command_find(const char *program, char path[COMMAND_PATH_SIZE]) {
    char directory[COMMAND_PATH_SIZE / 2];
    const char *from = getenv("PATH");
    int error = ENOENT;
    bool relative = program[0] != '/' && getcwd(directory, sizeof directory) != NULL;
    if (strchr(program, '/') != NULL) {
        snprintf(path, COMMAND_PATH_SIZE, "%s%s%s", relative ? directory : "", relative ? "/" : "", program);
        return can_run(program);
    }
    while (from != NULL && *from != '\0') {
        size_t length = strcspn(from, ":");
        snprintf(path, COMMAND_PATH_SIZE, "%.*s/%s", (int)length, from, program);
        if (can_run(path))
            return true;
        error = errno != ENOENT ? errno : error;
        from += length + (from[length] == ':');
    }
    snprintf(path, COMMAND_PATH_SIZE, "%s", program);
    errno = error;
    return false;
}

static void set_number(const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    setenv(name, text, 1);
}

static void set_environment(const struct invocation *invocation) {
    const struct event *event = invocation->event;
    setenv("DOORPOST_EVENT_ID", event->id, 1);
    setenv("DOORPOST_REQUEST_ID", event->request_id, 1);
    setenv("DOORPOST_TYPE", event->type, 1);
    setenv("DOORPOST_SUB_TYPE", event->sub_type, 1);
    setenv("DOORPOST_DEVICE_ID", event->device, 1);
    setenv("DOORPOST_ACCOUNT_ID", event->account, 1);
    setenv("DOORPOST_RECEIVED_AT", invocation->received_at, 1);
    set_number("DOORPOST_TIMESTAMP", event->timestamp);
    set_number("DOORPOST_SEQ", (int64_t)invocation->seq);
    set_number("DOORPOST_ATTEMPT", invocation->attempt);
}

__attribute__((noreturn)) static void exec_command(char *const argv[], const struct invocation *invocation,
                                                   int in, int out) {
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
        _exit(EXIT_NOT_EXECUTABLE);
    set_environment(invocation);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static void close_pipe(int ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

int command_start(struct command *command, char *const argv[], const struct invocation *invocation,
                  const char *body, size_t length, int64_t timeout, struct reason *reason) {
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    memset(command, 0, sizeof *command);
    char *copy = malloc(length + 1);
    if (copy == NULL || pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
        (fflush(stdout), command->pid = fork()) < 0) {
        explain(reason, "cannot start a process: %s", strerror(errno));
        close_pipe(in);
        close_pipe(out);
        free(copy);
        return ERROR_SYSTEM;
    }
    if (command->pid == 0)
        exec_command(argv, invocation, in[0], out[1]);
    setpgid(command->pid, command->pid); /* here too: command_stop() may come before the child has done it */
    close(in[0]);
    close(out[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    memcpy(copy, body, length);
    copy[length] = '\n';
    command->in = in[1];
    command->out = out[0];
    command->body = copy;
    command->length = length + 1;
    command->deadline = monotonic_now() + timeout;
    snprintf(command->id, sizeof command->id, "%s",
             plain(invocation->event->id, command->line, sizeof command->line));
    command_pump(command);
    return 0;
}

size_t command_watch(const struct command *command, struct pollfd watched[2]) {
    size_t count = 0;
    if (command->in >= 0)
        watched[count++] = (struct pollfd){.fd = command->in, .events = POLLOUT};
    if (command->out >= 0)
        watched[count++] = (struct pollfd){.fd = command->out, .events = POLLIN};
    return count;
}

static void close_end(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A command need not read its input: if it closes the pipe, the rest is dropped. */
static void feed(struct command *command) {
    while (command->in >= 0 && command->written < command->length) {
        ssize_t put =
            write(command->in, command->body + command->written, command->length - command->written);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0)
            break;
        command->written += (size_t)put;
    }
    close_end(&command->in);
}

static void pass_on(struct command *command) {
    if (command->line_length > 0) {
        printf("%s: ", command->id);
        print_text(command->line, command->line_length);
        putchar('\n');
        command->line_length = 0;
    }
}

/* Keeps the last bytes of the output. */
static void remember(struct command *command, const char *text, size_t length) {
    if (length > sizeof command->tail) {
        text += length - sizeof command->tail;
        length = sizeof command->tail;
    }
    size_t kept = command->tail_length;
    if (kept + length > sizeof command->tail)
        kept = sizeof command->tail - length;
    memmove(command->tail, command->tail + command->tail_length - kept, kept);
    memcpy(command->tail + kept, text, length);
    command->tail_length = kept + length;
}

static void take_output(struct command *command, const char *text, size_t length) {
    remember(command, text, length);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || command->line_length == sizeof command->line)
            pass_on(command);
        if (text[i] != '\n')
            command->line[command->line_length++] = text[i];
    }
}

/* Reads a bounded amount, so that a command that floods does not block the others. */
static void drain(struct command *command) {
    char bytes[4096];
    ssize_t got = 1;
    for (int reads = 0; command->out >= 0 && reads < READS_MAX; reads++) {
        got = read(command->out, bytes, sizeof bytes);
        if (got > 0)
            take_output(command, bytes, (size_t)got);
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            close_end(&command->out);
        else
            break;
    }
    fflush(stdout);
}

void command_pump(struct command *command) {
    feed(command);
    drain(command);
}

void command_stop(struct command *command, int64_t now) {
    if (command->stopped)
        return;
    command->stopped = true;
    command->kill_at = now + COMMAND_KILL_AFTER;
    kill(-command->pid, SIGTERM);
}

int64_t command_tick(struct command *command, int64_t now) {
    if (!command->stopped && now >= command->deadline) {
        command->timed_out = true;
        command_stop(command, now);
    }
    if (command->stopped && now >= command->kill_at) {
        kill(-command->pid, SIGKILL);
        command->kill_at = now + COMMAND_KILL_AFTER;
    }
    return (command->stopped ? command->kill_at : command->deadline) - now;
}

__attribute__((noreturn)) static void discard_to_end(int fd) {
    char bytes[4096];
    sigset_t none;
    sigemptyset(&none);
    int null_fd = open("/dev/null", O_RDWR);
    if (dup2(fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 || dup2(null_fd, STDERR_FILENO) < 0 ||
        fcntl(STDIN_FILENO, F_SETFL, 0) != 0 || chdir("/") != 0)
        _exit(1);
    closefrom(STDERR_FILENO + 1);
    sigprocmask(SIG_SETMASK, &none, NULL);
    while (read(STDIN_FILENO, bytes, sizeof bytes) > 0)
        continue;
    _exit(0);
}

/* Processes that the command left in the background would be killed by SIGPIPE at their next output, even
 * after this process has exited. So a detached process reads the pipe to EOF. */
static void start_detached_reader(int fd) {
    pid_t intermediate = fork();
    if (intermediate == 0) {
        setsid();
        if (fork() == 0)
            discard_to_end(fd);
        _exit(0);
    }
    while (intermediate > 0 && waitpid(intermediate, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void command_end(struct command *command) {
    if (command->stopped) /* its children may still run */
        kill(-command->pid, SIGKILL);
    drain(command);
    pass_on(command);
    fflush(stdout);
    close_end(&command->in);
    if (command->out >= 0)
        start_detached_reader(command->out);
    close_end(&command->out);
    free(command->body);
    command->body = NULL;
}
