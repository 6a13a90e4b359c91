#include "config.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "DOORPOST_CONF", "DOORPOST_KEY_FILE", "DOORPOST_JOURNAL", "DOORPOST_MAX_BODY",  "DOORPOST_MAX_AGE",
    "DOORPOST_LOG",  "DOORPOST_ON_EVENT", "DOORPOST_MAX_AEG", "DOORPOST_DOOR",      "DOORPOST_CLIENT_FILE",
    "DOORPOST_API",  "DOORPOST_OAUTH",    "DOORPOST_CA",      "DOORPOST_DOOR_HOLD", "DOORPOST_DOOR_LOGIN"};

static int clean_environment(void **state) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return make_directory(state);
}

/* Writes an env file and sets DOORPOST_CONF to it. */
static void use_file(const char *directory, const char *text) {
    const char *path = path_in(directory, "doorpost.env");
    write_file(path, text, strlen(text), 0600);
    setenv("DOORPOST_CONF", path, 1);
}

static struct config load(void) {
    struct config config;
    struct reason reason = {""};
    if (config_load(&config, &reason) != 0)
        fail_msg("%s", reason.text);
    return config;
}

static void check_refused(const char *wanted) {
    struct config config;
    struct reason reason = {""};
    assert_int_equal(config_load(&config, &reason), ERROR_SYSTEM);
    if (strstr(reason.text, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason.text, wanted);
}

static void two_settings_are_enough(void **state) {
    (void)state;
    setenv("DOORPOST_KEY_FILE", "/k", 1);
    setenv("DOORPOST_JOURNAL", "/j", 1);
    struct config config = load();
    assert_string_equal(config.key_file, "/k");
    assert_string_equal(config.journal, "/j");
    assert_int_equal(config.max_body, 65536);
    assert_int_equal(config.max_age, 0);
    assert_int_equal(config.log, LOG_PROBLEMS);
    assert_string_equal(config.warning.text, "");
}

static void paths_in_an_env_file_are_relative_to_it(void **state) {
    use_file(*state, "DOORPOST_KEY_FILE=key\nDOORPOST_JOURNAL=/j\n");
    struct config config = load();
    assert_string_equal(config.file, path_in(*state, "doorpost.env"));
    assert_string_equal(config.key_file, path_in(*state, "key"));
    assert_string_equal(config.journal, "/j");
    setenv("DOORPOST_JOURNAL", "journal", 1);
    check_refused("DOORPOST_JOURNAL must be an absolute path");
}

static void each_missing_setting_is_named(void **state) {
    (void)state;
    check_refused("DOORPOST_KEY_FILE is not set");
    setenv("DOORPOST_KEY_FILE", "/k", 1);
    check_refused("DOORPOST_JOURNAL is not set");
    setenv("DOORPOST_JOURNAL", "", 1);
    check_refused("DOORPOST_JOURNAL is not set");
}

static void a_file_is_read_and_the_environment_wins(void **state) {
    use_file(*state,
             "# settings\n; more\n\n  export DOORPOST_KEY_FILE = /file/k \r\nDOORPOST_JOURNAL='/file/j o'\n"
             "DOORPOST_MAX_AGE=\"8\\d\"\nPATH=/bin\nDOORPOST_LOG=all");
    setenv("DOORPOST_JOURNAL", "/environment", 1);
    struct config config = load();
    assert_string_equal(config.key_file, "/file/k");
    assert_string_equal(config.journal, "/environment");
    assert_int_equal(config.max_age, 8 * 86400);
    assert_int_equal(config.log, LOG_ALL);
    unsetenv("DOORPOST_JOURNAL");
    assert_string_equal(load().journal, "/file/j o");
}

static void a_named_file_must_be_there(void **state) {
    setenv("DOORPOST_CONF", path_in(*state, "none"), 1);
    check_refused("cannot read the settings in");
}

static void invalid_lines_are_reported_by_number(void **state) {
    char text[CONFIG_PATH_SIZE + 128];
    use_file(*state, "# one\nDOORPOST_KEY_FILE\n");
    check_refused("line 2: expected KEY=value");
    use_file(*state, "\n\nDOORPOST_KEY_FILE=\"/k\n");
    check_refused("line 3: missing closing quotation mark");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    use_file(*state, text);
    check_refused("line 1: longer than");
}

static void a_byte_order_mark_is_skipped(void **state) {
    static const char *const texts[] = {
        "\xef\xbb\xbf# settings\r\nDOORPOST_KEY_FILE=/k\r\nDOORPOST_JOURNAL=/j\r\nDOORPOST_MAX_AGE=8d\r\n",
        "\xef\xbb\xbf"
        "DOORPOST_MAX_AGE=8d\nDOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL=/j",
        "\xef\xbb\xbf\n\nDOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL=/j\nDOORPOST_MAX_AGE=8d"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        use_file(*state, texts[i]);
        struct config config = load();
        assert_string_equal(config.key_file, "/k");
        assert_string_equal(config.journal, "/j");
        assert_int_equal(config.max_age, 8 * 86400);
    }
}

static void invisible_characters_are_named(void **state) {
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"# one\n\xc2\xa0"
         "DOORPOST_KEY_FILE=/k",
         "line 2: contains the invisible character U+00A0 (no-break space): retype"},
        {"DOORPOST_KEY_FILE=/k\xe2\x80\x8b\n", "line 1: contains the invisible character U+200B"},
        {"DOORPOST_JOURNAL\xc2\xa0=/j\n", "U+00A0"},
        {"# one\n\xef\xbb\xbf"
         "DOORPOST_MAX_AGE=8d\n",
         "line 2: contains the invisible character U+FEFF"},
        {"\xff\xfe"
         "D",
         "is UTF-16 or UTF-32, or contains NUL characters: save it as UTF-8"},
        {"DOORPOST_KEY_FILE=/k # the key\n", "line 1: comment after a value"},
        {"DOORPOST_MAX_AGE='8d' # a week\n", "line 1: comment after a value"},
        {"DOORPOST_ON_EVENT= # none\n", "line 1: comment after a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        use_file(*state, cases[i].text);
        check_refused(cases[i].wanted);
    }
    write_file(path_in(*state, "doorpost.env"), "D\0O\0O\0R\0\n\0", 10, 0600);
    check_refused("is UTF-16");
    write_file(path_in(*state, "doorpost.env"), "D\0O\0", 4, 0600);
    check_refused("is UTF-16");
    write_file(path_in(*state, "doorpost.env"), "# a\nDOORPOST_LOG=all\0\n", 22, 0600);
    check_refused("contains NUL characters");
    write_file(path_in(*state, "doorpost.env"), "DOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL=/j\n\0\0\0", 45,
               0600);
    assert_string_equal(load().journal, "/j");
    use_file(*state, "DOORPOST_KEY_FILE=/k#1\nDOORPOST_JOURNAL=\"/j # 1\" \nOTHER=a # b\n");
    assert_string_equal(load().key_file, "/k#1");
    assert_string_equal(load().journal, "/j # 1");
    setenv("DOORPOST_JOURNAL", "/j\xc2\xa0", 1);
    check_refused("DOORPOST_JOURNAL in the environment contains the invisible character U+00A0");
}

static void ages_may_have_units(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"off", 0}, {"0", 0}, {"90", 90}, {"90s", 90}, {"5m", 300}, {"12h", 43200}, {"8d", 691200}};
    setenv("DOORPOST_KEY_FILE", "/k", 1);
    setenv("DOORPOST_JOURNAL", "/j", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("DOORPOST_MAX_AGE", cases[i].text, 1);
        assert_int_equal(load().max_age, cases[i].seconds);
    }
}

static void invalid_values_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"DOORPOST_MAX_AGE", "-1"},
        {"DOORPOST_MAX_AGE", "8dd"},
        {"DOORPOST_MAX_AGE", "8w"},
        {"DOORPOST_MAX_AGE", "99999999999999999999"},
        {"DOORPOST_MAX_AGE", "999999999999999d"},
        {"DOORPOST_MAX_BODY", "0"},
        {"DOORPOST_MAX_BODY", "64k"},
        {"DOORPOST_MAX_BODY", "131073"},
        {"DOORPOST_MAX_BODY", "-1"},
        {"DOORPOST_LOG", "loud"},
        {"DOORPOST_KEY_FILE", "relative"},
        {"DOORPOST_JOURNAL", "relative"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("DOORPOST_KEY_FILE", "/k", 1);
        setenv("DOORPOST_JOURNAL", "/j", 1);
        setenv(cases[i].name, cases[i].value, 1);
        check_refused(cases[i].name);
        unsetenv(cases[i].name);
    }
}

static void a_misspelt_name_is_warned_about(void **state) {
    static const struct {
        const char *line, *expected;
    } cases[] = {
        {"DOORPOST_MAX_AEG=8d", "DOORPOST_MAX_AEG ignored: did you mean \"DOORPOST_MAX_AGE\"?"},
        {"DOORPOST_ONEVENT=/x", "did you mean \"DOORPOST_ON_EVENT\"?"},
        {"DOORPOST_LOGS=all", "did you mean \"DOORPOST_LOG\"?"},
        {"DOORPOST_CONFIG=/x", "did you mean \"DOORPOST_CONF\"?"},
        {"doorpost_max_body=1", "did you mean \"DOORPOST_MAX_BODY\"?"},
        {"DOORPSOT_MAX_BODY=1", "did you mean \"DOORPOST_MAX_BODY\"?"},
        {"DOORPOST_COLOUR=red", "unknown setting DOORPOST_COLOUR ignored"},
        {"DOORPOST_MAX_AEG=8d\nDOORPOST_COLOUR=red", "DOORPOST_MAX_AEG"},
        {"DOORPOST_COLOUR=red\nDOORPOST_MAX_AEG=8d", "DOORPOST_MAX_AEG"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "DOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL=/j\n%s\n", cases[i].line);
        use_file(*state, text);
        struct config config = load();
        if (strstr(config.warning.text, cases[i].expected) == NULL)
            fail_msg("%s: \"%s\"", cases[i].line, config.warning.text);
    }
    use_file(*state, "DOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL=/j\nPATH=/bin\nTZ=UTC\nDOORPOST_CONF=/etc/x\n");
    assert_string_equal(load().warning.text, "");
    setenv("DOORPOST_MAX_AEG", "8d", 1);
    assert_non_null(strstr(load().warning.text, "did you mean \"DOORPOST_MAX_AGE\"?"));
}

static void a_similar_name_is_suggested_for_a_missing_setting(void **state) {
    use_file(*state, "DOORPOST_KEYFILE=/k\nDOORPOST_JOURNAL=/j\n");
    check_refused("DOORPOST_KEY_FILE is not set: set it to the path of the file with Ring's HMAC signing "
                  "key; unknown setting "
                  "DOORPOST_KEYFILE ignored: did you mean \"DOORPOST_KEY_FILE\"?");
    use_file(*state, "DOORPOST_KEY_FILE=/k\nDOORPOST_JOURNAL_DIR=/j\n");
    check_refused("did you mean \"DOORPOST_JOURNAL\"?");
}

static void a_path_that_is_too_long_is_refused(void **state) {
    (void)state;
    char path[CONFIG_PATH_SIZE + 1];
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    setenv("DOORPOST_KEY_FILE", path, 1);
    check_refused("DOORPOST_KEY_FILE is longer");
}

static void the_door_page_has_settings(void **state) {
    use_file(*state, "DOORPOST_KEY_FILE=key\nDOORPOST_JOURNAL=/j\n");
    struct config config = load();
    assert_string_equal(config.door, "");
    assert_string_equal(config.api, "https://api.amazonvision.com");
    assert_string_equal(config.oauth, "https://oauth.ring.com/oauth/token");
    assert_int_equal(config.door_hold, -1);
    assert_int_equal(config.door_login, LOGIN_PASSWORD);
    use_file(*state,
             "DOORPOST_KEY_FILE=key\nDOORPOST_JOURNAL=/j\nDOORPOST_DOOR=door\nDOORPOST_CLIENT_FILE=/c\n"
             "DOORPOST_API=https://127.0.0.1:8443\nDOORPOST_OAUTH=https://a.b/c\nDOORPOST_CA=ca.pem\n"
             "DOORPOST_DOOR_HOLD=0\nDOORPOST_DOOR_LOGIN=remote-user\n");
    config = load();
    assert_string_equal(config.door, path_in(*state, "door"));
    assert_string_equal(config.client_file, "/c");
    assert_string_equal(config.api, "https://127.0.0.1:8443");
    assert_string_equal(config.oauth, "https://a.b/c");
    assert_string_equal(config.ca, path_in(*state, "ca.pem"));
    assert_int_equal(config.door_hold, 0);
    assert_int_equal(config.door_login, LOGIN_REMOTE_USER);
}

static void nonsense_about_the_door_page_is_refused(void **state) {
    static const char *const urls[] = {"http://a",    "https://",    "https://a/",  "https://a?b",
                                       "https://a#b", "https://a@b", "https://a b", "https:///a",
                                       "a",           "https://a\\b"};
    (void)state;
    setenv("DOORPOST_CONF", "/dev/null", 1);
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        setenv("DOORPOST_API", urls[i], 1);
        check_refused("DOORPOST_API must be a URL that begins with https://");
    }
    unsetenv("DOORPOST_API");
    setenv("DOORPOST_DOOR_HOLD", "1001", 1);
    check_refused("DOORPOST_DOOR_HOLD must be a number of requests from 0 to 1000");
    setenv("DOORPOST_DOOR_HOLD", "-1", 1);
    check_refused("DOORPOST_DOOR_HOLD must be");
    unsetenv("DOORPOST_DOOR_HOLD");
    setenv("DOORPOST_DOOR_LOGIN", "nobody", 1);
    check_refused("DOORPOST_DOOR_LOGIN must be password or remote-user");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clean_environment, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(two_settings_are_enough),
        TEST(each_missing_setting_is_named),
        TEST(paths_in_an_env_file_are_relative_to_it),
        TEST(a_file_is_read_and_the_environment_wins),
        TEST(a_named_file_must_be_there),
        TEST(invalid_lines_are_reported_by_number),
        TEST(a_byte_order_mark_is_skipped),
        TEST(invisible_characters_are_named),
        TEST(ages_may_have_units),
        TEST(invalid_values_are_refused_by_name),
        TEST(a_misspelt_name_is_warned_about),
        TEST(a_similar_name_is_suggested_for_a_missing_setting),
        TEST(a_path_that_is_too_long_is_refused),
        TEST(the_door_page_has_settings),
        TEST(nonsense_about_the_door_page_is_refused),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
