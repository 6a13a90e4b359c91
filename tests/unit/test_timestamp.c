#include "error.h"
#include "support.h"
#include "timestamp.h"

#include <stdlib.h>
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

static void refuses_invalid_times(void **state) {
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

static void accepts_other_forms_of_utc(void **state) {
    (void)state;
    int64_t z, offset, leap;
    assert_int_equal(timestamp_parse("2016-12-31T23:59:59Z", 20, &z), 0);
    assert_int_equal(timestamp_parse("2016-12-31T23:59:59+00:00", 25, &offset), 0);
    assert_int_equal(timestamp_parse("2016-12-31T23:59:60Z", 20, &leap), 0);
    assert_int_equal(z, offset);
    assert_int_equal(leap, z + SECOND);
}

#define MOMENT INT64_C(1771027373000000) /* 2026-02-14T00:02:53Z */

static void a_senders_time_may_have_many_forms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        {"2026-02-14T00:02:53Z", MOMENT},
        {"2026-02-14t00:02:53z", MOMENT},
        {"2026-02-14 00:02:53Z", MOMENT},
        {"2026-02-14T00:02:53", MOMENT},
        {"2026-02-14T00:02:53-00:00", MOMENT},
        {"2026-02-14T00:02:53+00", MOMENT},
        {"2026-02-14T00:02:53+0000", MOMENT},
        {"2026-02-14T05:47:53+05:45", MOMENT},
        {"2026-02-14T05:47:53+0545", MOMENT},
        {"2026-02-13T19:02:53-05", MOMENT},
        {"2026-02-14T23:59:53+23:57", MOMENT},
        {"2026-02-14T00:02Z", MOMENT - 53 * SECOND},
        {"2026-02-14T00:02", MOMENT - 53 * SECOND},
        {"20260214T000253Z", MOMENT},
        {"20260214T000253,5Z", MOMENT + 500000},
        {"20260214T0002Z", MOMENT - 53 * SECOND},
        {"20260214T0002-0100", MOMENT + 3547 * SECOND},
        {"2026-02-14T000253Z", MOMENT},
        {"20260214T00:02:53Z", MOMENT},
        {"2026-02-14T00:02:53,027Z", MOMENT + 27000},
        {"2026-02-14T00:02:53.1", MOMENT + 100000},
        {"2026-02-14T00:02:53.027052438123456789012345678901234567890+00:00", MOMENT + 27052},
        {"2026-02-13T24:00:00Z", MOMENT - 173 * SECOND},
        {"2026-02-13T24:00:00.000Z", MOMENT - 173 * SECOND},
        {"2026-02-13T24:00", MOMENT - 173 * SECOND},
        {"20260213T2400Z", MOMENT - 173 * SECOND},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
        {"2016-12-31T18:59:60.5-05:00", INT64_C(1483228800500000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000000)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t time = 0;
        if (timestamp_parse_iso8601(cases[i].text, strlen(cases[i].text), &time) != 0)
            fail_msg("cannot read \"%s\"", cases[i].text);
        if (time != cases[i].time)
            fail_msg("\"%s\" is read as %lld", cases[i].text, (long long)time);
    }
}

static void not_everything_is_a_time(void **state) {
    (void)state;
    static const char *const cases[] = {"",
                                        "simulated",
                                        "half past two",
                                        "2026",
                                        "2026-",
                                        "2026-02-14",
                                        "20260214",
                                        "2026-02-14T",
                                        "2026-02-14T00",
                                        "2026-02-14T00:",
                                        "2026-02-14T00:2",
                                        "2026-02-14T00:02:",
                                        "2026-02-14T00:02:5",
                                        "2026-02-14T00:02:53.",
                                        "2026-02-14T00:02:53.Z",
                                        "2026-02-14T00:02:53;5Z",
                                        "2026-02-14T00:02:53Z ",
                                        " 2026-02-14T00:02:53Z",
                                        "2026-02-14  00:02:53Z",
                                        "2026-02-14_00:02:53Z",
                                        "2026-02-30T00:00:00Z",
                                        "2025-02-29T00:00:00Z",
                                        "2026-00-14T00:00:00Z",
                                        "2026-13-14T00:00:00Z",
                                        "20261314T000000Z",
                                        "202602-14T00:00:00Z",
                                        "2026-0214T00:00:00Z",
                                        "2026-02-14T24:00:01Z",
                                        "2026-02-14T24:01Z",
                                        "2026-02-14T24:00:00.1Z",
                                        "2026-02-14T25:00Z",
                                        "2026-02-14T00:60Z",
                                        "2026-02-14T00:00:61Z",
                                        "2026-02-14T00:0253Z",
                                        "2026-02-14T0002:53Z",
                                        "2026-02-14T00:02:53+",
                                        "2026-02-14T00:02:53+1",
                                        "2026-02-14T00:02:53+01:",
                                        "2026-02-14T00:02:53+010",
                                        "2026-02-14T00:02:53+24:00",
                                        "2026-02-14T00:02:53+01:60",
                                        "2026-02-14T00:02:53+01:00:00",
                                        "2026-02-14T00:02:53UTC",
                                        "2026-02-14T00:02:53ZZ",
                                        "2026-02-14T00:02:53Z+00:00",
                                        "-026-02-14T00:02:53Z",
                                        "2026-02-14T-1:02:53Z",
                                        "1771027373"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t time;
        if (timestamp_parse_iso8601(cases[i], strlen(cases[i]), &time) == 0)
            fail_msg("took \"%s\"", cases[i]);
        for (size_t length = 0; length < strlen(cases[i]); length++) { /* exactly sized, for a sanitizer */
            char *copy = malloc(length > 0 ? length : 1);
            memcpy(copy, cases[i], length);
            timestamp_parse_iso8601(copy, length, &time);
            free(copy);
        }
    }
    int64_t time;
    assert_int_equal(timestamp_parse_iso8601("2026-02-14T00:02:53\0", 20, &time), ERROR_INVALID);
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
        cmocka_unit_test(refuses_invalid_times),
        cmocka_unit_test(accepts_other_forms_of_utc),
        cmocka_unit_test(a_senders_time_may_have_many_forms),
        cmocka_unit_test(not_everything_is_a_time),
        cmocka_unit_test(days_are_utc_days),
    };
    return cmocka_run_group_tests_name("timestamp", tests, NULL, NULL);
}
