/* doorpost: the operator's tool. One file a verb; this one chooses. */
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

static const struct verb {
    const char *name;
    int (*run)(int argc, char *argv[]);
    const char *summary;
} verbs[] = {
    {"init", verb_init, "make the directories, the key file and the settings"},
    {"doctor", verb_doctor, "check the whole chain, and say what to do about each finding"},
    {"key", verb_key, "list, add and retire signing keys"},
    {"sign", verb_sign, "print the X-Signature of a body"},
    {"verify-signature", verb_verify_signature, "does a signature hold, and if not, why not?"},
    {"trigger", verb_trigger, "send a fresh, signed event, as Ring would"},
    {"log", verb_log, "show what was received; -f follows"},
    {"exec", verb_exec, "run a command for each event"},
    {"stats", verb_stats, "count presses by day, hour and device; delays; rejections"},
    {"check", verb_check, "verify the whole journal; rebuild the index"},
    {"prune", verb_prune, "delete the oldest days"},
    {"rejected", verb_rejected, "show what was signed but unusable, and try it again"},
};

static void print_verbs(FILE *out) {
    fputs("usage: doorpost VERB [OPTION...]\n\n", out);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        fprintf(out, "  %-18s%s\n", verbs[i].name, verbs[i].summary);
    fputs("\nEach verb has --help; doorpost(1) is the manual. Exit status: 0, 1 where a problem was found, 2 "
          "for a "
          "command line\nthat makes no sense.\n",
          out);
}

/* What was printed is there only once it has been written: a full disk is a problem too. */
static int finish(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return problem("cannot write the output: %s", strerror(errno));
}

/* Where it was put into a directory of CGI programs, strangers choose its arguments: a query string becomes
 * arguments (RFC 3875, section 4.4). */
static int refuse_the_web(void) {
    fputs("Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nNot for the web.\n", stdout);
    return problem("this is no CGI program: take doorpost out of the web server's directories");
}

int main(int argc, char *argv[]) {
    process_prepare();
    if (getenv("GATEWAY_INTERFACE") != NULL)
        return refuse_the_web();
    if (sodium_init() < 0)
        return problem("the system gives no randomness");
    if (argc < 2) {
        print_verbs(stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_verbs(stdout);
        return finish(STATUS_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("doorpost " VERSION);
        return finish(STATUS_DONE);
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return finish(verbs[i].run(argc - 1, argv + 1));
    usage_error("there is no verb \"%s\"", argv[1]);
}
