/* Times as people write them, and untrusted text that cannot control the terminal. */
#include "support.h"

#include "terminal.h"

#include "apart.h"
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW (INT64_C(1795435200) * SECOND + 123456) /* 2026-11-23T12:00:00.123456Z, a Monday */
#define MIDNIGHT (INT64_C(1795392000) * SECOND)

static int64_t parsed_at(const char *text, bool utc, int64_t now) {
    int64_t at = -1;
    return when_parse(text, utc, now, &at) == 0 ? at : -1;
}

static int64_t parsed(const char *text, bool utc) {
    return parsed_at(text, utc, NOW);
}

static void a_time_is_read_as_people_write_it(void **state) {
    static const struct {
        const char *text;
        int64_t at;
    } cases[] = {{"now", NOW},
                 {"NOW", NOW},
                 {"  now", NOW},
                 {"today", MIDNIGHT},
                 {"Yesterday", MIDNIGHT - 86400 * SECOND},
                 {"2026-11-23", MIDNIGHT},
                 {"2026-11-23 08:30", MIDNIGHT + 30600 * SECOND},
                 {"2026-11-23T08:30", MIDNIGHT + 30600 * SECOND},
                 {"2026-11-23 08:30:01", MIDNIGHT + 30601 * SECOND},
                 {"2026-11-23T08:30:01.5Z", MIDNIGHT + 30601 * SECOND + 500000},
                 {"@0", 0},
                 {"@1795392000", MIDNIGHT},
                 {"90s", NOW - 90 * SECOND},
                 {"5m", NOW - 300 * SECOND},
                 {"12h", NOW - 43200 * SECOND},
                 {"8d", NOW - 8 * 86400 * SECOND},
                 {"2w", NOW - 14 * 86400 * SECOND},
                 {"1y", NOW - 31556952 * SECOND},
                 {"1 month ago", NOW - 2629746 * SECOND},
                 {"2 hours ago", NOW - 7200 * SECOND},
                 {"2 hours", NOW - 7200 * SECOND},
                 {"2hrs ago", NOW - 7200 * SECOND},
                 {"1 hour", NOW - 3600 * SECOND},
                 {"3 mins", NOW - 180 * SECOND},
                 {"0s", NOW}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(parsed(cases[i].text, true), cases[i].at);
}

static void anything_else_is_not_a_time(void **state) {
    static const char *const texts[] = {"",
                                        " ",
                                        "soon",
                                        "2026-02-30",
                                        "2026-04-31",
                                        "2026-13-01",
                                        "2026-11-23 25:00",
                                        "2026-11-23x",
                                        "2026-11-23 08:30 x",
                                        "@",
                                        "@-1",
                                        "@1795392000000",
                                        "@17953920x",
                                        "5",
                                        "5x",
                                        "-5m",
                                        "5 hours from now",
                                        "5 hours off",
                                        "5 hours agox",
                                        "5 fortnights",
                                        "5 hou",
                                        "1 hourss",
                                        "h",
                                        "ago",
                                        "5 ago",
                                        "now now",
                                        "today 08:00",
                                        "5m ago ago"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (parsed(texts[i], true) != -1)
            fail_msg("\"%s\" is taken for a time", texts[i]);
}

/* New York is at UTC-5 in winter, and at UTC-4 from 2026-03-08, 02:00. */
static void dates_depend_on_the_time_zone_and_ages_do_not(void **state) {
    static const struct {
        const char *text;
        int64_t at; /* of the same text in UTC */
    } cases[] = {{"2026-11-23", 5 * 3600 * SECOND},
                 {"2026-03-08", 5 * 3600 * SECOND},
                 {"2026-03-08 12:00", 4 * 3600 * SECOND},
                 {"2026-07-01 00:00", 4 * 3600 * SECOND},
                 {"2026-11-23T08:30:01Z", 0}, /* specifies UTC */
                 {"@1795392000", 0},
                 {"8d", 0},
                 {"today", 5 * 3600 * SECOND}};
    char text[WHEN_SIZE];
    (void)state;
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    tzset();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(parsed(cases[i].text, false) - parsed(cases[i].text, true), cases[i].at);
    int64_t changed = parsed("2026-03-08 12:00", false); /* the day of the clock change */
    assert_int_equal(parsed_at("today", false, changed), parsed("2026-03-08", false));
    assert_int_equal(parsed_at("yesterday", false, changed), parsed("2026-03-07", false));
    assert_int_equal(parsed_at("today", false, parsed("2026-07-01 12:00", false)),
                     parsed("2026-07-01", false));
    when_format(NOW, false, text);
    assert_string_equal(text, "2026-11-23 07:00:00");
    when_format(NOW, true, text);
    assert_string_equal(text, "2026-11-23 12:00:00Z");
    unsetenv("TZ");
    tzset();
}

static void only_plain_words_are_unchanged(void **state) {
    static const struct {
        const char *text, *shown;
    } cases[] = {{"ava1.ring.device.X-1_/~", "ava1.ring.device.X-1_/~"},
                 {"", ""},
                 {"two words", "\"two words\""},
                 {"a\"b", "\"a\\\"b\""},
                 {"a\tb", "\"a\\u0009b\""},
                 {"\x1b[2J", "\"\\u001b[2J\""},
                 {"T\xc3\x9cR", "\"T\\u00dcR\""},
                 {"\x7f", "\"\\u007f\""}};
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(plain(cases[i].text, out, sizeof out), cases[i].shown);
}

struct shown {
    const char *text;
    size_t length;
};

static int show(void *context) {
    const struct shown *shown = context;
    print_visibly(stdout, shown->text, shown->length);
    return 0;
}

static void control_characters_are_shown_escaped(void **state) {
    static const char text[] = "\xc3\x9c \xf0\x9f\x94\x94\t\n\x1b[2J\r\0\x7f\xc2\x9b\xe2\x80\xae\xff\xc3";
    struct shown shown = {text, sizeof text - 1};
    (void)state;
    assert_string_equal(
        run_apart(show, &shown)->out,
        "\xc3\x9c \xf0\x9f\x94\x94\t\n\\u001b[2J\\u000d\\u0000\\u007f\\u009b\\u202e\\u00ff\\u00c3");
}

/* Standard output is not a terminal here. */
static void piped_output_is_unchanged(void **state) {
    (void)state;
    assert_string_equal(colour(COLOUR_BAD), "");
    assert_int_equal(terminal_width(), 80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_read_as_people_write_it),
        cmocka_unit_test(anything_else_is_not_a_time),
        cmocka_unit_test(dates_depend_on_the_time_zone_and_ages_do_not),
        cmocka_unit_test(only_plain_words_are_unchanged),
        cmocka_unit_test(control_characters_are_shown_escaped),
        cmocka_unit_test(piped_output_is_unchanged),
    };
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
