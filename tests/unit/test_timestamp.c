#include "error.h"
#include "support.h"
#include "timestamp.h"

#include <string.h>

static void formats_microseconds(void **state) {
    (void)state;
    char text[TIMESTAMP_SIZE];
    timestamp_format(INT64_C(1795435200123456), text);
    assert_string_equal(text, "2026-11-23T12:00:00.123456Z");
    timestamp_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
    timestamp_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
}

static void reads_what_it_writes(void **state) {
    (void)state;
    for (int64_t time = INT64_C(-86400000001); time < INT64_C(4102444800000000);
         time += INT64_C(97777777777777)) {
        char text[TIMESTAMP_SIZE];
        int64_t again;
        timestamp_format(time, text);
        assert_int_equal(timestamp_parse(text, strlen(text), &again), 0);
        assert_int_equal(again, time);
    }
}

static void reads_0_to_9_fractional_digits(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t fraction;
    } cases[] = {{"", 0},
                 {".1", 100000},
                 {".12", 120000},
                 {".123", 123000},
                 {".1234", 123400},
                 {".12345", 123450},
                 {".123456", 123456},
                 {".1234567", 123456},
                 {".12345678", 123456},
                 {".027052438", 27052}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64] = "2026-02-14T00:02:53";
        int64_t time;
        strcat(text, cases[i].text);
        strcat(text, "Z");
        assert_int_equal(timestamp_parse(text, strlen(text), &time), 0);
        assert_int_equal(time, INT64_C(1771027373000000) + cases[i].fraction);
    }
}

static void refuses_what_is_no_time(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-02-14",
        "2026-02-14T00:02:53",
        "2026-02-14T00:02:53.Z",
        "2026-02-14T00:02:53.1234567890Z",
        "2026-02-30T00:02:53Z",
        "2026-13-01T00:02:53Z",
        "2026-00-01T00:02:53Z",
        "2026-02-14T24:00:00Z",
        "2026-02-14T00:60:00Z",
        "2026-02-14T00:00:61Z",
        "2026-02-14T00:02:53+02:00",
        "2026-02-14T00:02:53Zz",
        "2026-02-14 00:02:53Z",
        "20260214T000253Z",
        "+026-02-14T00:02:53Z",
        "2026-02-14T00:02:5",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t time;
        if (timestamp_parse(cases[i], strlen(cases[i]), &time) == 0)
            fail_msg("took \"%s\"", cases[i]);
    }
}

static void takes_the_other_ways_to_say_utc(void **state) {
    (void)state;
    int64_t z, offset, leap;
    assert_int_equal(timestamp_parse("2016-12-31T23:59:59Z", 20, &z), 0);
    assert_int_equal(timestamp_parse("2016-12-31T23:59:59+00:00", 25, &offset), 0);
    assert_int_equal(timestamp_parse("2016-12-31T23:59:60Z", 20, &leap), 0);
    assert_int_equal(z, offset);
    assert_int_equal(leap, z + SECOND);
}

static void days_are_utc_days(void **state) {
    (void)state;
    char name[DAY_SIZE];
    int32_t day;
    assert_int_equal(day_parse("2026-11-23", 10, &day), 0);
    day_format(day, name);
    assert_string_equal(name, "2026-11-23");
    assert_int_equal(timestamp_day(INT64_C(1795391999999999)), day - 1);
    assert_int_equal(timestamp_day(INT64_C(1795392000000000)), day);
    assert_int_equal(timestamp_day(-1), -1);
    assert_int_equal(day_parse("2026-11-31", 10, &day), ERROR_INVALID);
    assert_int_equal(day_parse("2026-11-23x", 11, &day), ERROR_INVALID);
    assert_int_equal(day_parse("2024-02-29", 10, &day), 0);
    assert_int_equal(day_parse("2026-02-29", 10, &day), ERROR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_microseconds),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(reads_0_to_9_fractional_digits),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(takes_the_other_ways_to_say_utc),
        cmocka_unit_test(days_are_utc_days),
    };
    return cmocka_run_group_tests_name("timestamp", tests, NULL, NULL);
}
