/* The command line: options are set, and invalid ones end the program with status 2 and a reason. */
#include "support.h"

#include "apart.h"
#include "options.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

static struct options {
    bool json, force;
    const char *name;
    int64_t number, age;
    struct list list;
} options;

static const struct option_spec table[] = {
    {'j', "json", OPTION_FLAG, NULL, "one JSON object", AT(json)},
    {0, "force", OPTION_FLAG, NULL, "do it", AT(force)},
    {0, "name", OPTION_TEXT, "NAME", "of the consumer", AT(name)},
    {'n', "number", OPTION_NUMBER, "N", "how many", AT(number)},
    {0, "age-of-the-oldest-one", OPTION_DURATION, "LENGTH", "keep so much", AT(age)},
    {'t', "type", OPTION_LIST, "TYPE", "of this type", AT(list)},
    {0}};

static struct verb verb = {.name = "try",
                           .synopsis = "[--json] [FILE]",
                           .what = "Tries.",
                           .operands = {"FILE", "FILE"},
                           .options = table};

#define ARGUMENTS_MAX 80

/* Parses arguments separated by blanks; argv[0] is the verb. */
static int parse(const char *line, char *argv[ARGUMENTS_MAX + 1]) {
    static char text[1024];
    int argc = 0;
    char *rest;
    memset(&options, 0, sizeof options);
    options.number = options.age = -1;
    snprintf(text, sizeof text, "try %s", line);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    argv[argc] = NULL;
    int first = options_parse(argc, argv, &verb, &options);
    return first < argc ? first : -1;
}

static int parse_apart(void *context) {
    char *argv[ARGUMENTS_MAX + 1];
    parse(context, argv);
    return 77; /* no error */
}

/* Checks that it prints `wanted` and exits with that status. */
static void check(const char *line, int status, const char *wanted) {
    char copy[1024], text[1400];
    snprintf(copy, sizeof copy, "%s", line);
    const struct ending *ending = run_apart(parse_apart, copy);
    snprintf(text, sizeof text, "doorpost try: %s\nTry: doorpost try --help\n", wanted);
    assert_string_equal(ending->said, status == STATUS_USAGE ? text : "");
    assert_int_equal(ending->status, status);
}

static void each_way_to_write_an_option_sets_it(void **state) {
    static const char *const lines[] = {"-j -n 5 --name=bell --age-of-the-oldest-one 90d a b",
                                        "a -jn5 --name bell b --age-of-the-oldest-one=90d",
                                        "--number 5 a --na bell --js --ag 90d -- b",
                                        "a b -n 1 -n 5 --name x --name bell -j --age=90d"};
    char *argv[ARGUMENTS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        int first = parse(lines[i], argv);
        assert_true(options.json);
        assert_false(options.force);
        assert_string_equal(options.name, "bell");
        assert_int_equal(options.number, 5);
        assert_int_equal(options.age, 90 * 86400);
        assert_string_equal(argv[first], "a");
        assert_string_equal(argv[first + 1], "b");
        assert_null(argv[first + 2]);
    }
}

static void options_not_given_are_unchanged(void **state) {
    char *argv[ARGUMENTS_MAX + 1];
    (void)state;
    assert_int_equal(parse("", argv), -1);
    assert_false(options.json);
    assert_null(options.name);
    assert_int_equal(options.number, -1);
    assert_int_equal(options.list.count, 0);
}

static void after_a_double_dash_all_are_operands(void **state) {
    char *argv[ARGUMENTS_MAX + 1];
    (void)state;
    int first = parse("-- --json -n", argv);
    assert_string_equal(argv[first], "--json");
    assert_string_equal(argv[first + 1], "-n");
    assert_false(options.json);
}

/* As for `doorpost exec ... COMMAND --json`. */
static void another_programs_options_are_not_parsed(void **state) {
    char *argv[ARGUMENTS_MAX + 1];
    (void)state;
    verb.stops = true;
    int first = parse("--number 5 command --json -x a b c", argv);
    verb.stops = false;
    assert_string_equal(argv[first], "command");
    assert_string_equal(argv[first + 1], "--json");
    assert_int_equal(options.number, 5);
    assert_false(options.json);
}

static void numbers_and_lengths_of_time_have_limits(void **state) {
    static const struct {
        const char *text;
        int64_t number, age; /* -1: refused */
    } cases[] = {{"0", 0, 0},
                 {"007", 7, 7},
                 {"106751991", 106751991, 106751991},
                 {"106751992", -1, -1},
                 {"30s", -1, 30},
                 {"5m", -1, 300},
                 {"12h", -1, 43200},
                 {"90d", -1, 90 * 86400},
                 {"106751991d", -1, INT64_C(106751991) * 86400},
                 {"5x", -1, -1},
                 {"5mm", -1, -1},
                 {"-1", -1, -1},
                 {"+1", -1, -1},
                 {"1.5", -1, -1},
                 {"0x10", -1, -1},
                 {"d", -1, -1},
                 {"99999999999999999999", -1, -1}};
    char *argv[ARGUMENTS_MAX + 1], line[64], wanted[128];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        snprintf(line, sizeof line, "--number=%s", text);
        snprintf(wanted, sizeof wanted, "--number must be a number, not \"%s\"", text);
        if (cases[i].number < 0)
            check(line, STATUS_USAGE, wanted);
        else if (parse(line, argv), true)
            assert_int_equal(options.number, cases[i].number);
        snprintf(line, sizeof line, "--age=%s", text);
        snprintf(wanted, sizeof wanted,
                 "--age-of-the-oldest-one must be a duration such as 30s, 5m, 12h or 90d, not \"%s\"", text);
        if (cases[i].age < 0)
            check(line, STATUS_USAGE, wanted);
        else if (parse(line, argv), true)
            assert_int_equal(options.age, cases[i].age);
    }
}

static void an_empty_value_is_not_a_number(void **state) {
    (void)state;
    check("--number=", STATUS_USAGE, "--number must be a number, not \"\"");
    check("--age=", STATUS_USAGE,
          "--age-of-the-oldest-one must be a duration such as 30s, 5m, 12h or 90d, not \"\"");
}

static void a_list_has_a_maximum_length(void **state) {
    char *argv[ARGUMENTS_MAX + 1], line[1024] = "";
    (void)state;
    for (size_t i = 0; i < LIST_MAX; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "-tt%zu ", i);
    parse(line, argv);
    assert_int_equal(options.list.count, LIST_MAX);
    assert_string_equal(options.list.item[63], "t63");
    strcat(line, "--type x");
    check(line, STATUS_USAGE, "--type can be given at most 64 times");
}

static void an_empty_list_matches_everything(void **state) {
    struct list list = {.count = 0};
    (void)state;
    assert_true(list_has(&list, "a"));
    assert_true(list_has(&list, ""));
    list = (struct list){.count = 2, .item = {"a", "b"}};
    assert_true(list_has(&list, "b"));
    assert_false(list_has(&list, "ab"));
    assert_false(list_has(&list, ""));
}

static void invalid_arguments_are_named(void **state) {
    static const struct {
        const char *line, *wanted;
    } cases[] = {{"--jsno", "invalid option --jsno: did you mean \"--json\"?"},
                 {"--zzzzzz", "invalid option --zzzzzz"},
                 {"--jsno=5", "invalid option --jsno=5: did you mean \"--json\"?"},
                 {"--n 5", "invalid option --n"}, /* --name or --number */
                 {"--json=5", "invalid option --json=5: did you mean \"--json\"?"},
                 {"a -x b", "invalid option -x"},
                 {"a -xj b", "invalid option -x"},
                 {"a -jx b", "invalid option -x"},
                 {"--help=5", "invalid option --help=5: did you mean \"--help\"?"},
                 {"--number", "--number requires a value"},
                 {"-n", "-n requires a value"},
                 {"-jn", "-jn requires a value"},
                 {"a b c", "unexpected argument \"c\""},
                 {"a b c d", "unexpected argument \"c\""},
                 {"a --json b -- c", "unexpected argument \"c\""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].line, STATUS_USAGE, cases[i].wanted);
}

static void help_names_every_option(void **state) {
    static const char *const lines[] = {"--help", "-h", "--hel", "--json -h", "a b --help"};
    char line[64];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        snprintf(line, sizeof line, "%s", lines[i]);
        const struct ending *ending = run_apart(parse_apart, line);
        assert_int_equal(ending->status, STATUS_DONE);
        assert_string_equal(ending->said, "");
        assert_string_equal(ending->out, "usage: doorpost try [--json] [FILE]\n\nTries.\n\n"
                                         "  -j, --json                one JSON object\n"
                                         "      --force               do it\n"
                                         "      --name NAME           of the consumer\n"
                                         "  -n, --number N            how many\n"
                                         "      --age-of-the-oldest-one LENGTH  keep so much\n"
                                         "  -t, --type TYPE           of this type\n"
                                         "  -h, --help                show this help\n");
    }
}

static int say(void *context) {
    problem_tells_time(context != NULL);
    return problem("%s", "bad\x1b[2J\nline");
}

static void error_messages_are_escaped_for_the_terminal(void **state) {
    unsigned year = 0;
    char rest[64] = "";
    (void)state;
    const struct ending *ending = run_apart(say, NULL);
    assert_int_equal(ending->status, STATUS_PROBLEM);
    assert_string_equal(ending->said, "doorpost: bad\\u001b[2J\nline\n");
    ending = run_apart(say, &year);
    assert_int_equal(sscanf(ending->said, "%4u-%*2u-%*2uT%*[0-9:.]Z doorpost: %63[^\n]", &year, rest), 2);
    assert_string_equal(rest, "bad\\u001b[2J");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            error_messages_are_escaped_for_the_terminal), /* first, because no verb is known yet */
        cmocka_unit_test(each_way_to_write_an_option_sets_it),
        cmocka_unit_test(options_not_given_are_unchanged),
        cmocka_unit_test(after_a_double_dash_all_are_operands),
        cmocka_unit_test(another_programs_options_are_not_parsed),
        cmocka_unit_test(numbers_and_lengths_of_time_have_limits),
        cmocka_unit_test(an_empty_value_is_not_a_number),
        cmocka_unit_test(a_list_has_a_maximum_length),
        cmocka_unit_test(an_empty_list_matches_everything),
        cmocka_unit_test(invalid_arguments_are_named),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
