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
        problem("no memory for a key");
    return text;
}

char *secret_read(const char *path, size_t *length) {
    bool standard_input = strcmp(path, "-") == 0;
    int file = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char *text = file < 0 ? NULL : secret_alloc();
    ssize_t got = 0;
    *length = 0;
    if (file < 0)
        problem("cannot read %s: %s", path, strerror(errno));
    while (text != NULL && *length < KEY_FILE_SIZE + 1 &&
           (got = read(file, text + *length, KEY_FILE_SIZE + 1 - *length)) > 0)
        *length += (size_t)got;
    if (text != NULL && (got < 0 || *length > KEY_FILE_SIZE)) {
        problem("cannot read %s: %s", path, got < 0 ? strerror(errno) : "it is too large for a key file");
        sodium_free(text);
        text = NULL;
    }
    if (text != NULL)
        text[*length] = '\0';
    if (file >= 0 && !standard_input)
        close(file);
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

static int write_and_sync(int file, const char *text, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t put = write(file, text + done, length - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return fsync(file);
}

int secret_sync_name(const char *path) {
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        slash[slash == directory] = '\0';
    int file = open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = file >= 0 ? fsync(file) : -1;
    int error = errno;
    if (file >= 0)
        close(file);
    errno = error;
    return result;
}

int secret_write(const char *path, const char *text, size_t length, unsigned mode) {
    char beside[PATH_MAX];
    struct stat status;
    snprintf(beside, sizeof beside, "%s.new", path);
    bool replaces = stat(path, &status) == 0;
    unlink(beside);
    int file = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return problem("cannot write %s: %s", beside, strerror(errno));
    bool written = (!replaces || (status.st_uid == geteuid() && status.st_gid == getegid()) ||
                    fchown(file, status.st_uid, status.st_gid) == 0) &&
                   fchmod(file, mode) == 0 && write_and_sync(file, text, length) == 0;
    int error = errno;
    close(file);
    if (written && rename(beside, path) == 0)
        return secret_sync_name(path) == 0
                   ? STATUS_DONE
                   : problem("cannot sync the directory of %s: %s", path, strerror(errno));
    error = written ? errno : error;
    unlink(beside);
    return problem("cannot write %s: %s", path, strerror(error));
}
