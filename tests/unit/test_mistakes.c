/* Recovers the original of a changed body or key, and never writes more than fits. */
#include "support.h"

#include "mistake.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 512

/* Returns true if the mistakes of the table turn the text into `wanted`. */
static bool is_made(const struct mistake *table, const char *text, size_t length, const char *wanted) {
    char out[ROOM];
    for (const struct mistake *one = table; one->undo != NULL; one++)
        for (int how = one->how; how == one->how || how <= one->last; how++)
            if (one->undo(text, length, how, out, sizeof out) == (ssize_t)strlen(wanted) &&
                memcmp(out, wanted, strlen(wanted)) == 0)
                return true;
    return false;
}

#define SIGNED "{\"b\":\"\xc3\x9c\",\"a\":[1,\"/\"]}"
#define HEAD                                                                                         \
    "{\"seq\":1,\"received_at\":\"2026-11-23T12:00:00.123456Z\",\"key\":\"9f86d081\",\"signature\":" \
    "\"sha256="                                                                                      \
    "a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df\",\"chain\":"                  \
    "\"0123456789abcdef0123456789abcdef\",\"event\":"

static void changes_to_a_body_are_undone(void **state) {
    static const struct {
        const char *text;
        size_t length; /* 0: the length of the string */
        const char *wanted;
    } cases[] = {
        {SIGNED "\n", 0, SIGNED},
        {SIGNED "\r\n\n", 0, SIGNED},
        {SIGNED, 0, SIGNED "\n"},
        {SIGNED, 0, SIGNED "\r\n"},
        {"{\r\n\"a\":1\r\n}", 0, "{\n\"a\":1\n}"},
        {"{\n\"a\":1\n}", 0, "{\r\n\"a\":1\r\n}"},
        {"{\r\n\"a\":1\n}", 0, "{\r\n\"a\":1\r\n}"},
        {"{\r\n\"a\":1\n}", 0, "{\"a\":1}"},
        {"a b\rc\n", 0, "a bc"},
        {" \t\n" SIGNED " \r\n", 0, SIGNED},
        {"\xef\xbb\xbf" SIGNED, 0, SIGNED},
        {SIGNED, 0, "\xef\xbb\xbf" SIGNED},
        {"\xff\xfe{\0\"\0\x3d\xd8\x14\xdd\"\0}\0", 14, "{\"\xf0\x9f\x94\x94\"}"},
        {"\xfe\xff\0{\0\"\xd8\x3d\xdd\x14\0\"\0}", 14, "{\"\xf0\x9f\x94\x94\"}"},
        {"{\0\xdc\0\xac\x20}\0", 8, "{\xc3\x9c\xe2\x82\xac}"},
        {"eyJiIjoiw5wiLCJhIjpbMSwiLyJdfQ==", 0, SIGNED},
        {"eyJiIjoiw5wi\nLCJhIjpbMSwiLyJdfQ", 0, SIGNED},
        {"-_-_", 0, "\xfb\xff\xbf"},
        {"%7B%22a%22%3A%22b+c%2B%22%7D=", 0, "{\"a\":\"b c+\"}"},
        {"payload=%7B%22a%22%3a1%7d&x=y", 0, "{\"a\":1}"},
        {"a%zz%4", 0, "a%zz%4"}, /* no escapes */
        {"POST / HTTP/1.1\r\nHost: x\r\n\r\n" SIGNED, 0, SIGNED},
        {"POST / HTTP/1.1\nHost: x\n\n" SIGNED "\n\n", 0, SIGNED "\n\n"},
        {"--xyz\r\nContent-Type: a/b\r\n\r\n" SIGNED "\r\n--xyz--\r\n", 0, SIGNED},
        {HEAD SIGNED "}\n", 0, SIGNED},
        {HEAD SIGNED "}", 0, SIGNED},
        {"{\"isBase64Encoded\":true,\"body\":\"eyJhIjoxfQ==\"}", 0, "{\"a\":1}"},
        {"{\"body\":\"{\\\"a\\\":1}\"}", 0, "{\"a\":1}"},
        {"\"{\\\"a\\\":1}\"", 0, "{\"a\":1}"},
        {"{ \"b\": \"\\u00dc\", \"a\": [ 1, \"\\/\" ] }", 0, SIGNED},
        {"{\"a\":\"b,:\\\" c\",\"d\":[1,2]}", 0, "{\"a\": \"b,:\\\" c\", \"d\": [1, 2]}"},
        {"{\"data\":{\"type\":1,\"id\":2},\"meta\":{\"x\":1,\"time\":2,\"y\":3}}", 0,
         "{\"meta\":{\"time\":2,\"x\":1,\"y\":3},\"data\":{\"id\":2,\"type\":1}}"},
        {"{\"b\":[{\"d\":1,\"c\":2}],\"a\":null}", 0, "{\"a\":null,\"b\":[{\"c\":2,\"d\":1}]}"},
        {"{\"b\":1,\"a\":2}", 0, "{\"a\": 2, \"b\": 1}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!is_made(body_mistakes, cases[i].text,
                     cases[i].length > 0 ? cases[i].length : strlen(cases[i].text), cases[i].wanted))
            fail_msg("case %zu: nothing makes \"%s\" of it", i, cases[i].wanted);
}

static void changes_to_a_key_are_undone(void **state) {
    static const struct {
        const struct mistake *table;
        const char *text, *wanted;
    } cases[] = {{key_mistakes, "the key", "the key\n"},
                 {key_mistakes, "the key", "the key\r\n"},
                 {key_mistakes, "YWJj", "YWJj="},
                 {key_mistakes, "YWJj", "YWJj=="},
                 {key_mistakes, "YWI", "ab"},
                 {key_mistakes, "-_8=", "\xfb\xff"},
                 {key_mistakes, "-_8", "\xfb\xff"},
                 {key_mistakes, "6b6579", "key"},
                 {key_mistakes, "key", "a2V5"},
                 {key_wrappings, "\"the key\"", "the key"},
                 {key_wrappings, "'the key'", "the key"},
                 {key_wrappings, "`the key`", "the key"},
                 {key_wrappings, "KEY=secret", "secret"},
                 {key_wrappings, "export RING_KEY='secret'", "'secret'"},
                 {key_wrappings, "hmac-key : secret", "secret"},
                 {key_wrappings, "whsec_secret", "secret"},
                 {key_wrappings, "sec ret\tkey", "secretkey"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!is_made(cases[i].table, cases[i].text, strlen(cases[i].text), cases[i].wanted))
            fail_msg("case %zu: nothing makes \"%s\" of \"%s\"", i, cases[i].wanted, cases[i].text);
}

/* Otherwise the key itself would be found under a mistake that was not made. */
static void a_key_that_is_not_wrapped_is_unchanged(void **state) {
    static const char *const keys[] = {"secret",  "\"secret", "\"secret'", "=secret", "whsec_",
                                       "export ", "secret=",  "\"\"",      "a b=c"};
    char out[ROOM];
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (const struct mistake *one = key_wrappings; one->undo != NULL; one++)
            if (one->undo(keys[i], strlen(keys[i]), one->how, out, sizeof out) >= 0 &&
                strchr(keys[i], ' ') == NULL)
                fail_msg("\"%s\" is unwrapped", keys[i]);
}

/* The output buffers have each possible size, on the heap, so that an overrun of one byte is detected. */
static void nothing_is_written_past_the_buffer(void **state) {
    static const char *const texts[] = {"",
                                        "a",
                                        "=",
                                        "%",
                                        "\"",
                                        "\\",
                                        "\"a\"",
                                        "{\n\"a\" : [1, \"\\u00dc\"]\n}\n",
                                        "k=%41+%4",
                                        "--\n\n--",
                                        "--b\r\n\r\n\r\n--b",
                                        "eyJhIjoxfQ==",
                                        "{\"body\":\"eyJhIjoxfQ==\"}",
                                        "export A = \"6b6579\"",
                                        "\xff\xfe{\0}\0",
                                        HEAD "{}}"};
    static const struct mistake *const tables[] = {body_mistakes, key_mistakes, key_wrappings};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t length = strlen(texts[i]);
        char *text = malloc(length);
        memcpy(text, texts[i], length);
        for (size_t size = 0; size < 40; size++) {
            char *out = malloc(size);
            for (size_t table = 0; table < 3; table++)
                for (const struct mistake *one = tables[table]; one->undo != NULL; one++) {
                    ssize_t made = one->undo(text, length, one->how, out, size);
                    assert_true(made >= -1 && made <= (ssize_t)size);
                }
            free(out);
        }
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_to_a_body_are_undone),
        cmocka_unit_test(changes_to_a_key_are_undone),
        cmocka_unit_test(a_key_that_is_not_wrapped_is_unchanged),
        cmocka_unit_test(nothing_is_written_past_the_buffer),
    };
    return cmocka_run_group_tests_name("mistakes", tests, NULL, NULL);
}
