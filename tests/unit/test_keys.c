#include "keys.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BASE64 "ZG9vcnBvc3Qtc2FtcGxlLXNpZ25pbmcta2V5LTMyYnk="
#define TEXT "retired-signing-key-of-last-year"

static struct reason reason;

static int load(const char *directory, struct keys *keys, const char *text, size_t length, unsigned mode) {
    const char *path = path_in(directory, "keys");
    unlink(path);
    write_file(path, text, length, mode);
    return keys_load(keys, path, &reason);
}

static void check_refused(const char *directory, const char *text, size_t length, unsigned mode,
                          const char *wanted) {
    struct keys *keys = keys_alloc();
    assert_int_equal(load(directory, keys, text, length, mode), ERROR_SYSTEM);
    assert_int_equal(keys_count(keys), 0);
    if (strstr(reason.text, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason.text, wanted);
    keys_free(keys);
}

static void each_line_has_two_readings(void **state) {
    struct keys *keys = keys_alloc();
    assert_int_equal(load(*state, keys, BASE64 "\n", sizeof BASE64, 0600), 0);
    assert_int_equal(keys_count(keys), 2);
    /* printf %s KEY | sha256sum, and the same of the decoded bytes */
    assert_string_equal(keys_fingerprint(keys, 0), "69ffb5b9");
    assert_string_not_equal(keys_fingerprint(keys, 0), keys_fingerprint(keys, 1));
    keys_free(keys);
}

static void text_that_is_not_base64_has_one(void **state) {
    struct keys *keys = keys_alloc();
    assert_int_equal(load(*state, keys, TEXT, sizeof TEXT - 1, 0600), 0);
    assert_int_equal(keys_count(keys), 1);
    keys_free(keys);
}

static void several_lines_are_a_rotation(void **state) {
    static const char text[] = "\xef\xbb\xbf# new\r\n\t" BASE64 " \r\n\n  # old\n" TEXT "\n" TEXT "\n";
    struct keys *keys = keys_alloc();
    assert_int_equal(load(*state, keys, text, sizeof text - 1, 0640), 0);
    assert_int_equal(keys_count(keys), 3); /* the repeated line counts once */
    assert_string_equal(keys_fingerprint(keys, 0), "69ffb5b9");
    keys_free(keys);
}

static void a_missing_file_is_refused(void **state) {
    struct keys *keys = keys_alloc();
    assert_int_equal(keys_load(keys, path_in(*state, "none"), &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot read the key file"));
    assert_int_equal(keys_load(keys, *state, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "not a regular file"));
    keys_free(keys);
}

static void files_without_a_key_are_refused(void **state) {
    check_refused(*state, "", 0, 0600, "contains no key");
    check_refused(*state, "\n \n# " BASE64 "\n", sizeof BASE64 + 5, 0600, "contains no key");
}

static void short_keys_are_refused_by_line(void **state) {
    check_refused(*state, "# c\n" BASE64 "\nfifteen-bytes-k\n", sizeof BASE64 + 20, 0600,
                  "line 3: the key is shorter than 16");
    assert_null(strstr(reason.text, "fifteen")); /* even a bad key is not revealed */
}

static void files_open_to_others_are_refused(void **state) {
    check_refused(*state, BASE64, sizeof BASE64 - 1, 0604, "accessible to all users");
    check_refused(*state, BASE64, sizeof BASE64 - 1, 0602, "accessible to all users");
    check_refused(*state, BASE64, sizeof BASE64 - 1, 0666, "chmod");
}

static void impossible_keys_are_refused(void **state) {
    static char big[20000];
    memset(big, 'k', sizeof big);
    check_refused(*state, BASE64 "\0x", sizeof BASE64 + 1, 0600, "U+0000 (NUL, probably UTF-16)");
    check_refused(*state, big, 2000, 0600, "too long for a signing key");
    check_refused(*state, big, sizeof big, 0600, "larger than");
    char many[2048] = "";
    for (int i = 0; i < 40; i++)
        snprintf(many + strlen(many), 64, "text-key-number-%04d-\n", i);
    check_refused(*state, many, strlen(many), 0600, "more than 16 keys");
}

static void a_comment_after_a_key_is_not_part_of_it(void **state) {
    static const char text[] = BASE64 "\t # staging and production\r\n" TEXT "#1\n";
    struct keys *keys = keys_alloc();
    assert_int_equal(load(*state, keys, text, sizeof text - 1, 0600), 0);
    assert_int_equal(keys_count(keys), 3);
    assert_string_equal(keys_fingerprint(keys, 0), "69ffb5b9");
    assert_string_equal(keys_fingerprint(keys, 2),
                        "293eac95"); /* a # without a preceding blank is an ordinary character */
    keys_free(keys);
    check_refused(*state, TEXT " # or not", sizeof TEXT + 8, 0600, "line 1: # after a blank");
}

static void other_text_after_a_key_is_refused(void **state) {
    static const char *const cases[] = {BASE64 "#staging", BASE64 " ; staging", BASE64 "\t// staging",
                                        BASE64 ";",        BASE64 "\",",        BASE64 " " BASE64,
                                        BASE64 "," BASE64, BASE64 BASE64};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(*state, cases[i], strlen(cases[i]), 0600, "line 1: text after the key");
    struct keys *keys = keys_alloc();
    static const char text[] = "c2hvcnQ=;a-key-of-some-other-kind==\n";
    assert_int_equal(load(*state, keys, text, sizeof text - 1, 0600), 0);
    keys_free(keys);
}

static void invisible_characters_are_named(void **state) {
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {BASE64 "\xc2\xa0\n", "line 1: the key contains the invisible character U+00A0 (no-break space)"},
        {"# old\n\xe2\x80\x8b" BASE64, "line 2: the key contains the invisible character U+200B"},
        {"\xef\xbb\xbf" BASE64 "\n\xef\xbb\xbf" TEXT,
         "line 2: the key contains the invisible character U+FEFF"},
        {"retired-signing\xe2\x80\x91key\xe2\x81\xa0-of-last-year", "U+2060"},
        {BASE64 "\r" TEXT, "U+000D (control)"},
        {"\xc2\xa0# a comment", "U+00A0"},
        {BASE64 "\xa0\n", "U+00A0 (no-break space): paste"},
        {"\xef\xbb\xbf\xef\xbb\xbf" BASE64, "U+FEFF (byte order mark): paste"},
        {BASE64 "\xf3\xa0\x81\x81", "U+E0041 (tag)"},
        {BASE64 "\xe3\x85\xa4", "U+3164 (filler)"},
        {"\xff\xfeZ", "is UTF-16 or UTF-32: save it as UTF-8"},
        {"\xfe\xff", "is UTF-16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(*state, cases[i].text, strlen(cases[i].text), 0600, cases[i].wanted);
    check_refused(*state, "Z\0G\0", 4, 0600, "is UTF-16");
    check_refused(*state, "# a\nZ\0G\0\n\0", 10, 0600,
                  "line 2: the key contains the invisible character U+0000 (NUL, probably");
    struct keys *keys = keys_alloc();
    const char *umlauts = "schl\xc3\xbcssel-f\xc3\xbcr-die-t\xc3\xbcr # \xc2\xa0";
    assert_int_equal(load(*state, keys, umlauts, strlen(umlauts) - 5, 0600), 0);
    keys_free(keys);
}

static void a_changed_file_is_read_again(void **state) {
    struct keys *keys = keys_alloc();
    assert_int_equal(load(*state, keys, TEXT, sizeof TEXT - 1, 0600), 0);
    char before[FINGERPRINT_SIZE];
    strcpy(before, keys_fingerprint(keys, 0));
    /* changed in place, immediately, with the same size: the timestamps may be equal */
    char other[] = TEXT;
    other[0] = 'R';
    write_file(path_in(*state, "keys"), other, sizeof other - 1, 0600);
    assert_int_equal(keys_load(keys, path_in(*state, "keys"), &reason), 0);
    assert_string_not_equal(keys_fingerprint(keys, 0), before);
    unlink(path_in(*state, "keys"));
    assert_int_equal(keys_load(keys, path_in(*state, "keys"), &reason), ERROR_SYSTEM);
    assert_int_equal(keys_count(keys), 0);
    keys_free(keys);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_line_has_two_readings),
        TEST(text_that_is_not_base64_has_one),
        TEST(several_lines_are_a_rotation),
        TEST(a_missing_file_is_refused),
        TEST(files_without_a_key_are_refused),
        TEST(short_keys_are_refused_by_line),
        TEST(files_open_to_others_are_refused),
        TEST(impossible_keys_are_refused),
        TEST(a_comment_after_a_key_is_not_part_of_it),
        TEST(other_text_after_a_key_is_refused),
        TEST(invisible_characters_are_named),
        TEST(a_changed_file_is_read_again),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
