#include "secret.h"

#include "keys.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static char *secret_alloc(void) {
    char *text = sodium_malloc(KEY_FILE_SIZE + 1);
    if (text == NULL)
        problem("out of memory for a key");
    return text;
}

char *secret_read_fd(int fd, const char *name, size_t *length) {
    char *text = secret_alloc();
    ssize_t got = 0;
    *length = 0;
    while (text != NULL && *length < KEY_FILE_SIZE + 1 &&
           (got = read(fd, text + *length, KEY_FILE_SIZE + 1 - *length)) > 0)
        *length += (size_t)got;
    if (text != NULL && (got < 0 || *length > KEY_FILE_SIZE)) {
        problem("cannot read %s: %s", name, got < 0 ? strerror(errno) : "it is too large for a key file");
        sodium_free(text);
        text = NULL;
    }
    if (text != NULL)
        text[*length] = '\0';
    return text;
}

char *secret_read(const char *path, size_t *length) {
    if (strcmp(path, "-") == 0)
        return secret_read_fd(STDIN_FILENO, "standard input", length);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        problem("cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = secret_read_fd(fd, path, length);
    close(fd);
    return text;
}

char *secret_ask(const char *prompt, size_t *length) {
    struct termios before, silent;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    char *text = secret_alloc();
    char c;
    *length = 0;
    if (text == NULL)
        return NULL;
    if (terminal) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        silent.c_lflag |= ECHONL;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
        fputs(prompt, stderr);
    }
    while (*length < KEY_FILE_SIZE && read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
        text[(*length)++] = c;
    text[*length] = '\0';
    if (terminal)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return text;
}

static int write_and_sync(int fd, const char *text, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, text + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return fsync(fd);
}

int secret_write(int directory, const char *name, const char *path, const char *text, size_t length,
                 const struct ownership *ownership) {
    char temporary[NAME_MAX + 8];
    snprintf(temporary, sizeof temporary, "%s.new", name);
    unlinkat(directory, temporary, 0);
    int fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return problem("cannot write %s: %s", path, strerror(errno));
    bool written = ((ownership->uid == geteuid() && ownership->gid == getegid()) ||
                    fchown(fd, ownership->uid, ownership->gid) == 0) &&
                   fchmod(fd, ownership->mode) == 0 && write_and_sync(fd, text, length) == 0;
    int error = errno;
    close(fd);
    if (written && renameat(directory, temporary, directory, name) == 0)
        return fsync(directory) == 0 ? STATUS_DONE
                                     : problem("cannot sync the directory of %s: %s", path, strerror(errno));
    error = written ? errno : error;
    unlinkat(directory, temporary, 0);
    return problem("cannot write %s: %s", path, strerror(error));
}
