/* Counters never decrease, have a bounded number of labels, and ignore a damaged file. */
#include "support.h"

#include "counters.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory;
static struct counters counters;
static struct reason reason;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0 || !counters_start(&counters);
}

static int tear_down(void **state) {
    counters_end(&counters);
    close(directory);
    return remove_directory(state);
}

static int64_t count_of(struct json_object *counts, const char *name) {
    struct json_object *count;
    return json_object_object_get_ex(counts, name, &count) ? json_object_get_int64(count) : -1;
}

/* A line of an event with this type, device and time; received at 1000 s. */
static const struct lines *line(int32_t day, const char *type, const char *device, int64_t timestamp) {
    static struct lines lines;
    lines.position.day = day;
    lines.received_at = 1000 * SECOND;
    lines.event.timestamp = timestamp;
    snprintf(lines.event.type, sizeof lines.event.type, "%s", type);
    snprintf(lines.event.device, sizeof lines.event.device, "%s", device);
    return &lines;
}

static void events_are_counted_by_type_except_tests_and_earlier_days(void **state) {
    (void)state;
    counters.through = 5;
    assert_true(counters_add(&counters, line(6, "button_press", "front", 0)));
    assert_true(counters_add(&counters, line(7, "button_press", "front", 0)));
    assert_true(counters_add(&counters, line(6, "motion_detected", "front", 0)));
    assert_true(counters_add(&counters, line(5, "button_press", "front", 0)));
    assert_true(counters_add(&counters, line(6, "button_press", EVENT_TEST_DEVICE, 0)));
    assert_int_equal(count_of(counters.types, "button_press"), 2);
    assert_int_equal(count_of(counters.types, "motion_detected"), 1);
    assert_int_equal(counters.delays, 0);
    assert_true(counters_add_rejection(&counters, &(struct rejection){.day = 5, .reason = "stale"}));
    assert_int_equal(count_of(counters.reasons, "stale"), -1);
    assert_true(counters_add_rejection(&counters, &(struct rejection){.day = 6, .reason = "stale"}));
    assert_int_equal(count_of(counters.reasons, "stale"), 1);
}

/* Two clocks may disagree, and a sender may give any time. */
static void a_delay_is_never_negative_and_needs_a_time(void **state) {
    static const struct {
        int64_t timestamp; /* milliseconds */
        bool known;
        double seconds;
    } cases[] = {{999000, true, 1},    {998750, true, 1.25}, {1000000, true, 0}, {1000001, true, 0},
                 {INT64_MAX, true, 0}, {0, false, 0},        {-1, false, 0},     {INT64_MIN, false, 0}};
    double seconds, sum = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(counters_delay(line(6, "x", "", cases[i].timestamp), &seconds), cases[i].known);
        if (cases[i].known)
            assert_true(seconds == cases[i].seconds);
        assert_true(counters_add(&counters, line(6, "x", "", cases[i].timestamp)));
        sum += cases[i].seconds;
    }
    assert_int_equal(counters.delays, 5);
    assert_true(counters.delay_sum == sum);
}

static void the_number_of_labels_is_limited(void **state) {
    char name[16];
    (void)state;
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < 5; i++) {
            snprintf(name, sizeof name, "name-%u", i);
            assert_true(counters_count(counters.types, name, 3));
        }
    assert_int_equal(count_of(counters.types, "name-2"), 2);
    assert_int_equal(count_of(counters.types, "name-3"), -1);
    assert_int_equal(count_of(counters.types, "other"), 4);
}

static void counters_are_read_back_as_written(void **state) {
    (void)state;
    counters.through = 20780;
    counters.delays = 3;
    counters.delay_sum = 41.5;
    assert_true(counters_count(counters.types, "a \"type\"\n", 100));
    assert_true(counters_count(counters.reasons, "stale", 100));
    assert_int_equal(counters_write(directory, &counters, &reason), 0);
    counters_end(&counters);
    assert_true(counters_start(&counters));
    assert_int_equal(counters_read(directory, &counters, &reason), 0);
    assert_int_equal(counters.through, 20780);
    assert_int_equal(counters.delays, 3);
    assert_true(counters.delay_sum == 41.5);
    assert_int_equal(count_of(counters.types, "a \"type\"\n"), 1);
    assert_int_equal(count_of(counters.reasons, "stale"), 1);
}

static void without_a_file_counting_starts_at_the_first_day(void **state) {
    (void)state;
    assert_int_equal(counters_read(directory, &counters, &reason), 0);
    assert_int_equal(counters.through, -1);
    assert_true(counters_add(&counters, line(0, "button_press", "front", 0)));
    assert_int_equal(count_of(counters.types, "button_press"), 1);
}

#define FILE_OF(through, events, rejected, delays, seconds)                                       \
    "{\"through\":" through ",\"events\":" events ",\"rejected\":" rejected ",\"delays\":" delays \
    ",\"delay_seconds\":" seconds "}\n"
#define THROUGH "\"2026-08-24\""

static void a_damaged_file_is_reported_and_ignored(void **state) {
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{FILE_OF(THROUGH, "{\"a\":5}", "{}", "5", "1.5"), true},
                 {FILE_OF(THROUGH, "{}", "{}", "0", "0"), true},
                 {FILE_OF(THROUGH, "{\"a\":5,\"b\":-1}", "{}", "5", "1.5"), false},
                 {FILE_OF(THROUGH, "{\"a\":\"5\"}", "{}", "5", "1.5"), false},
                 {FILE_OF(THROUGH, "{\"a\":5.5}", "{}", "5", "1.5"), false},
                 {FILE_OF(THROUGH, "[]", "{}", "5", "1.5"), false},
                 {FILE_OF(THROUGH, "{}", "null", "5", "1.5"), false},
                 {FILE_OF(THROUGH, "{}", "{}", "-5", "1.5"), false},
                 {FILE_OF(THROUGH, "{}", "{}", "5", "-1.5"), false},
                 {FILE_OF(THROUGH, "{}", "{}", "5", "1e999"), false},
                 {FILE_OF(THROUGH, "{}", "{}", "5", "NaN"), false},
                 {FILE_OF(THROUGH, "{}", "{}", "\"5\"", "1.5"), false},
                 {FILE_OF("\"2026-08-32\"", "{}", "{}", "5", "1.5"), false},
                 {FILE_OF("20260824", "{}", "{}", "5", "1.5"), false},
                 {"{\"through\":\"2026-08-24\"}\n", false},
                 {"[]\n", false},
                 {"5", false},
                 {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path_in(*state, "counted"), cases[i].text, strlen(cases[i].text), 0600);
        counters_end(&counters);
        assert_true(counters_start(&counters));
        assert_int_equal(counters_read(directory, &counters, &reason), cases[i].good ? 0 : ERROR_DAMAGED);
        if (!cases[i].good)
            assert_non_null(strstr(reason.text, "counted is damaged: delete it"));
    }
    assert_int_equal(unlink(path_in(*state, "counted")), 0);
    assert_int_equal(mkdir(path_in(*state, "counted"), 0700), 0);
    assert_true(counters_read(directory, &counters, &reason) < 0);
}

/* A hundred names and `other`: a full file. */
static void a_file_with_too_many_labels_is_damaged(void **state) {
    for (unsigned names = 101; names <= 102; names++) {
        char text[4096] = "", all[4400];
        for (unsigned i = 0; i < names; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"n%u\":1", i > 0 ? "," : "", i);
        int length = snprintf(all, sizeof all,
                              "{\"through\":" THROUGH ",\"events\":{%s},\"rejected\":{},\"delays\":0,"
                              "\"delay_seconds\":0}\n",
                              text);
        write_file(path_in(*state, "counted"), all, (size_t)length, 0600);
        assert_int_equal(counters_read(directory, &counters, &reason), names == 101 ? 0 : ERROR_DAMAGED);
    }
}

#define COUNTERS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        COUNTERS_TEST(events_are_counted_by_type_except_tests_and_earlier_days),
        COUNTERS_TEST(a_delay_is_never_negative_and_needs_a_time),
        COUNTERS_TEST(the_number_of_labels_is_limited),
        COUNTERS_TEST(counters_are_read_back_as_written),
        COUNTERS_TEST(without_a_file_counting_starts_at_the_first_day),
        COUNTERS_TEST(a_damaged_file_is_reported_and_ignored),
        COUNTERS_TEST(a_file_with_too_many_labels_is_damaged),
    };
    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
