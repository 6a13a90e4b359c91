#include "fake_curl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT                                                                                          \
    "#!/bin/sh\n"                                                                                       \
    "at=${0%/*}/..\n"                                                                                   \
    "n=1; while ! mkdir \"$at/request-$n\" 2>/dev/null; do n=$((n + 1)); done\n"                        \
    "cat >\"$at/request-$n/config\"; echo \"$*\" >\"$at/request-$n/arguments\"\n"                       \
    "ls /proc/self/fd >\"$at/request-$n/fds\"\n"                                                        \
    "if [ -f \"$at/answer-$n\" ]; then cat \"$at/answer-$n\"; else echo 'curl: (7) Nobody there' >&2; " \
    "exit 7; fi\n"

static char root[256];

void fake_curl(const char *directory) {
    char path[5000], bin[300];
    snprintf(root, sizeof root, "%s", directory);
    snprintf(bin, sizeof bin, "%s/bin", directory);
    mkdir(bin, 0700);
    write_file(path_in(bin, "curl"), SCRIPT, sizeof SCRIPT - 1, 0700);
    snprintf(path, sizeof path, "%s:%.4000s", bin, getenv("PATH"));
    setenv("PATH", path, 1);
}

void fake_answer(int number, int status, const char *fields, const char *body) {
    char name[64], text[65536];
    int header = snprintf(text, sizeof text, "HTTP/1.1 %d Status\r\n%s\r\n", status, fields);
    int length = snprintf(text + header, sizeof text - (size_t)header, "%s\ndoorpost:%d %d 0.012", body,
                          status, header);
    snprintf(name, sizeof name, "answer-%d", number);
    write_file(path_in(root, name), text, (size_t)(header + length), 0600);
}

int fake_count(void) {
    int count = 0;
    char path[400];
    struct stat status;
    while (snprintf(path, sizeof path, "%s/request-%d", root, count + 1), stat(path, &status) == 0)
        count++;
    return count;
}

static const char *read_part(int number, const char *part) {
    static char *text;
    char name[64];
    size_t length;
    free(text);
    snprintf(name, sizeof name, "request-%d/%s", number, part);
    return text = read_file(path_in(root, name), &length);
}

const char *fake_request(int number) {
    return read_part(number, "config");
}

const char *fake_arguments(int number) {
    return read_part(number, "arguments");
}

void fake_reset(void) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf %s/request-* %s/answer-*", root, root);
    assert_int_equal(system(command), 0);
}
