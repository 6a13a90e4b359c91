/* Suggestions: close names are found, and noise gets no suggestion. */
#include "support.h"

#include "nearest.h"

#include <string.h>

static const char *nearest_to(const char *word, const char *const *names) {
    struct nearest nearest;
    nearest_start(&nearest, word);
    for (; *names != NULL; names++)
        nearest_try(&nearest, *names);
    return nearest.name != NULL ? nearest.name : "nothing";
}

static void a_close_name_is_found(void **state) {
    static const char *const verbs[] = {
        "init", "key", "log", "exec", "check", "prune", "rejected", "verify-signature", NULL};
    static const struct {
        const char *word, *name;
    } cases[] = {{"pruen", "prune"},                             /* swapped */
                 {"prun", "prune"},                              /* left out: a prefix */
                 {"prrune", "prune"},                            /* inserted */
                 {"prone", "prune"},                             /* changed */
                 {"chekc", "check"},   {"rejcetde", "rejected"}, /* two swaps */
                 {"cheeek", "check"},  {"verify", "verify-signature"},
                 {"ex", "exec"},       {"lg", "log"},
                 {"lug", "log"},       {"gol", "nothing"}, /* two changes of a short word */
                 {"ini7", "init"},     {"in77", "nothing"},
                 {"chxxk", "check"},   {"xxxck", "nothing"},
                 {"l", "nothing"},     {"", "nothing"},
                 {"doctor", "nothing"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(nearest_to(cases[i].word, verbs), cases[i].name);
}

static void the_closest_wins_and_ties_go_to_the_first(void **state) {
    (void)state;
    assert_string_equal(nearest_to("retries", (const char *const[]){"entries", "retried", NULL}), "retried");
    assert_string_equal(nearest_to("retries", (const char *const[]){"retried", "retires", NULL}), "retried");
    assert_string_equal(nearest_to("retries", (const char *const[]){"retires", "retried", NULL}), "retires");
    assert_string_equal(nearest_to("json", (const char *const[]){"jsons-all", "jso", NULL}), "jsons-all");
}

/* The distance table has room for 32 letters. */
static void long_words_match_nothing(void **state) {
    static const char long_name[] = "abcdefghijklmnopqrstuvwxyz012345",
                      longer[] = "abcdefghijklmnopqrstuvwxyz0123456";
    (void)state;
    assert_string_equal(
        nearest_to("abcdefghijklmnopqrstuvwxyz012354", (const char *const[]){long_name, NULL}), long_name);
    assert_string_equal(nearest_to(longer, (const char *const[]){longer, long_name, NULL}), "nothing");
    assert_string_equal(nearest_to(long_name, (const char *const[]){longer, NULL}), "nothing");
}

static void the_hint_names_it_or_is_empty(void **state) {
    static const char longest[] = "abcdefghijklmnopqrstuvwxyz012345";
    char hint[NEAREST_SIZE];
    struct nearest nearest;
    (void)state;
    nearest_start(&nearest, "pruen");
    assert_string_equal(nearest_hint(&nearest, "--", hint), "");
    nearest_try(&nearest, "prune");
    assert_string_equal(nearest_hint(&nearest, "--", hint), ": did you mean \"--prune\"?");
    nearest_start(&nearest, longest);
    nearest_try(&nearest, longest);
    assert_string_equal(nearest_hint(&nearest, "--", hint),
                        ": did you mean \"--abcdefghijklmnopqrstuvwxyz012345\"?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_name_is_found),
        cmocka_unit_test(the_closest_wins_and_ties_go_to_the_first),
        cmocka_unit_test(long_words_match_nothing),
        cmocka_unit_test(the_hint_names_it_or_is_empty),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
