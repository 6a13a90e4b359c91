/* doorpost: the operator's tool. Each verb has its own file; this one dispatches. */
#include "nearest.h"
#include "options.h"
#include "process.h"
#include "verbs.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef VERSION
#define VERSION "unknown"
#endif

static void print_verbs(FILE *out) {
    fputs("usage: doorpost VERB [OPTION...]\n\n", out);
    for (size_t i = 0; verbs[i] != NULL; i++)
        fprintf(out, "  %-18s%s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\n"
          "See `doorpost help VERB`, VERB --help, or doorpost(1). Exit status: 0, 1 if a problem was found, "
          "2 for an\n"
          "invalid command line.\n",
          out);
}

/* Output counts only once it has been written, so a full disk is an error too. */
static int finish(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return problem("cannot write the output: %s", strerror(errno));
}

/* In a directory of CGI programs, strangers choose the arguments: a query string becomes arguments (RFC 3875,
 * section 4.4). */
static int refuse_the_web(void) {
    fputs("Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nNot for the web.\n", stdout);
    return problem("doorpost is not a CGI program: remove it from the web server's directories");
}

static const char *const helps[] = {"help", "--help", "-h", NULL};
static const char *const versions[] = {"version", "--version", "-V", NULL};

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; verbs[i] != NULL; i++)
        if (strcmp(name, verbs[i]->name) == 0)
            return verbs[i];
    return NULL;
}

__attribute__((noreturn)) static void refuse_verb(const char *name) {
    struct nearest nearest;
    char hint[NEAREST_SIZE];
    nearest_start(&nearest, name);
    for (size_t i = 0; verbs[i] != NULL; i++)
        nearest_try(&nearest, verbs[i]->name);
    nearest_try(&nearest, helps[0]);
    nearest_try(&nearest, versions[0]);
    usage_error("unknown verb \"%.100s\"%s", name, nearest_hint(&nearest, "", hint));
}

static bool is_one_of(const char *text, const char *const *words) {
    while (*words != NULL && strcmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

/* The index of the verb. The argument after an option in `with_value` is a value. After any other option, a
 * word that is not a verb may also be a value. If no argument is a verb, returns the index of the first that
 * may be an attempt at one, or argc. */
static int verb_index(int argc, char *const argv[]) {
    static const char *const with_value[] = {"-c", "--conf", "-J", "--journal", "-K", "--key-file", NULL};
    int candidate = argc;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            i += is_one_of(argv[i], with_value) ? 1 : 0;
            continue;
        }
        if (find_verb(argv[i]) != NULL)
            return i;
        candidate = candidate == argc ? i : candidate;
        if (argv[i - 1][0] != '-')
            break;
    }
    return candidate;
}

/* Runs the verb, moving any options before it to after it. */
static int run_verb(const struct verb *verb, int argc, char *argv[], int at) {
    char *name = argv[at];
    memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
    argv[1] = name;
    return finish(verb->run(argc - 1, argv + 1));
}

static int help(int argc, char *argv[]) {
    char option[] = "--help";
    char *arguments[] = {argc > 0 ? argv[0] : NULL, option, NULL};
    if (argc == 0 || is_one_of(argv[0], helps) || is_one_of(argv[0], versions)) {
        print_verbs(stdout);
        return finish(STATUS_DONE);
    }
    const struct verb *verb = find_verb(argv[0]);
    if (verb == NULL)
        refuse_verb(argv[0]);
    return verb->run(2, arguments);
}

int main(int argc, char *argv[]) {
    process_prepare();
    if (getenv("GATEWAY_INTERFACE") != NULL)
        return refuse_the_web();
    if (sodium_init() < 0)
        return problem("cannot get random numbers from the system");
    if (argc < 2) {
        print_verbs(stderr);
        return STATUS_USAGE;
    }
    if (is_one_of(argv[1], helps))
        return help(argc - 2, argv + 2);
    if (is_one_of(argv[1], versions)) {
        puts("doorpost " VERSION);
        return finish(STATUS_DONE);
    }
    int at = verb_index(argc, argv);
    if (at == argc)
        usage_error("no verb given: %s is an option", argv[1]);
    const struct verb *verb = find_verb(argv[at]);
    if (verb == NULL)
        refuse_verb(argv[at]);
    return run_verb(verb, argc, argv, at);
}
