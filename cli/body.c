#include "body.h"

#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *body_read(const char *path, size_t *length) {
    bool standard_input = path == NULL || strcmp(path, "-") == 0;
    int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char *body = malloc(BODY_LIMIT + 1);
    ssize_t got = -1;
    *length = 0;
    if (fd >= 0 && body != NULL)
        while (*length < BODY_LIMIT + 1 && (got = read(fd, body + *length, BODY_LIMIT + 1 - *length)) > 0)
            *length += (size_t)got;
    int error = errno;
    if (fd >= 0 && !standard_input)
        close(fd);
    if (got >= 0 && *length <= BODY_LIMIT)
        return body;
    free(body);
    if (got >= 0)
        problem("%s is larger than %d bytes: no delivery is that large",
                standard_input ? "standard input" : path, BODY_LIMIT);
    else
        problem("cannot read %s: %s", standard_input ? "standard input" : path, strerror(error));
    return NULL;
}
