/* Verbs accept options in any order, long options may be abbreviated, and every verb has --help. */
#include "options.h"

#include "nearest.h"
#include "terminal.h"
#include "timestamp.h"
#include "verbs.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 32
#define LONG_ONLY 256 /* first getopt_long() value for options without a letter */
#define LONG_HELP (LONG_ONLY + OPTIONS_MAX)
#define HELP_COLUMN 28

static const char *running = ""; /* the verb */

static bool tells_time;

void problem_tells_time(bool tells) {
    tells_time = tells;
}

int problem(const char *format, ...) {
    char now[TIMESTAMP_SIZE], text[4096];
    va_list arguments;
    fflush(stdout);
    if (tells_time) {
        timestamp_format(timestamp_now(), now);
        fprintf(stderr, "%s ", now);
    }
    fprintf(stderr, "doorpost%s%s: ", running[0] != '\0' ? " " : "", running);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_visibly(stderr, text, strlen(text));
    fputc('\n', stderr);
    return STATUS_PROBLEM;
}

void usage_error(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problem("%s", text);
    fprintf(stderr, "Try: doorpost%s%s --help\n", running[0] != '\0' ? " " : "", running);
    exit(STATUS_USAGE);
}

bool list_has(const struct list *list, const char *text) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i], text) == 0)
            return true;
    return list->count == 0;
}

static void print_help(const struct verb *verb) {
    printf("usage: doorpost %s %s\n\n%s\n\n", verb->name, verb->synopsis, verb->what);
    for (const struct option_spec *option = verb->options; option->name != NULL; option++) {
        char left[64], letter[8] = "    ";
        if (option->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
        printf("%-*s%s%s\n", HELP_COLUMN, left, strlen(left) >= HELP_COLUMN ? "  " : "", option->help);
    }
    printf("  %-*s%s\n", HELP_COLUMN - 2, "-h, --help", "show this help");
}

static void set(void *options, const struct option_spec *option, const char *argument) {
    void *value = (char *)options + option->member;
    struct list *list = value;
    int64_t *number = value;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)value = true;
        break;
    case OPTION_TEXT:
        *(const char **)value = argument;
        break;
    case OPTION_NUMBER:
        if (strspn(argument, "0123456789") != strlen(argument) || duration_parse(argument, number) != 0)
            usage_error("--%s must be a number, not \"%s\"", option->name, argument);
        break;
    case OPTION_DURATION:
        if (duration_parse(argument, number) != 0)
            usage_error("--%s must be a duration such as 30s, 5m, 12h or 90d, not \"%s\"", option->name,
                        argument);
        break;
    case OPTION_LIST:
        if (list->count == LIST_MAX)
            usage_error("--%s can be given at most %d times", option->name, LIST_MAX);
        list->item[list->count++] = argument;
        break;
    }
}

/* `text` is an unknown option, an ambiguous abbreviation, or a flag with a value. */
__attribute__((noreturn)) static void refuse(const char *text, const struct option_spec options[]) {
    struct nearest nearest;
    char name[64], hint[NEAREST_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    nearest_start(&nearest, name + strspn(name, "-"));
    nearest_try(&nearest, "help");
    for (; options->name != NULL; options++)
        nearest_try(&nearest, options->name);
    usage_error("invalid option %s%s", text, nearest_hint(&nearest, "--", hint));
}

int options_parse(int argc, char *argv[], const struct verb *verb, void *values) {
    const struct option_spec *options = verb->options;
    struct option parsed[OPTIONS_MAX + 2] = {{"help", no_argument, NULL, LONG_HELP}};
    char letters[3 * OPTIONS_MAX] = "";
    size_t count = 0, used = 0;
    int chosen, operands = 0;
    running = verb->name;
    if (verb->stops)
        letters[used++] = '+';
    letters[used++] = ':'; /* makes getopt_long(3) return ':' if an argument is missing */
    letters[used++] = 'h';
    for (; count < OPTIONS_MAX && options[count].name != NULL; count++) {
        int has = options[count].kind == OPTION_FLAG ? no_argument : required_argument;
        parsed[count + 1] = (struct option){options[count].name, has, NULL, LONG_ONLY + (int)count};
        if (options[count].letter != 0) {
            letters[used++] = options[count].letter;
            if (has == required_argument)
                letters[used++] = ':';
        }
    }
    optind = 0; /* GNU: start over, with the verb as argv[0] */
    opterr = 0;
    while ((chosen = getopt_long(argc, argv, letters, parsed, NULL)) != -1) {
        size_t i = 0;
        if (chosen == 'h' || chosen == LONG_HELP) {
            print_help(verb);
            exit(STATUS_DONE);
        }
        while (i < count && chosen != LONG_ONLY + (int)i &&
               !(options[i].letter != 0 && chosen == options[i].letter))
            i++;
        if (chosen == ':')
            usage_error("%s requires a value", argv[optind - 1]);
        if (i ==
            count) /* the letter may be in the middle of an argument that getopt_long() has not finished */
            refuse(optopt > 0 && optopt < LONG_ONLY ? (char[]){'-', (char)optopt, '\0'} : argv[optind - 1],
                   options);
        set(values, &options[i], optarg);
    }
    while (verb->operands[operands] != NULL)
        operands++;
    if (!verb->stops && argc - optind > operands)
        usage_error("unexpected argument \"%s\"", argv[optind + operands]);
    return optind;
}
