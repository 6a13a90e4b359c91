/* The journal's lines for people: those that pass the filter, and the last N of them. */
#include "days.h"

#include "apart.h"
#include "disk.h"
#include "lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY 20000
#define MIDNIGHT (DAY * 86400 * SECOND)

static struct chain_state chain_now;
static struct filter everything = {.since = INT64_MIN, .until = INT64_MAX};

static int set_up(void **state) {
    reset_disk();
    text.length = 0;
    chain_now = chain_start();
    return make_directory(state);
}

/* Adds an event with a padded body, received `second` seconds after midnight of day 0. */
static void add_event(int64_t second, unsigned device, unsigned account, const char *type, size_t padding) {
    static char body[16384];
    snprintf(body, sizeof body,
             "{\"meta\":{\"request_id\":\"r%llu\",\"account_id\":\"account-%u\"},\"data\":{\"id\":\"e%llu\","
             "\"type\":\"%s\",\"attributes\":{\"source\":\"device-%u\",\"source_type\":\"devices\","
             "\"timestamp\":1%*s}}}",
             (unsigned long long)chain_now.seq, account, (unsigned long long)chain_now.seq, type, device,
             (int)padding, "");
    add_line(&chain_now, MIDNIGHT + second * SECOND, body);
}

static struct lines *open_lines(void **state) {
    struct lines *lines = lines_open(*state);
    assert_non_null(lines);
    lines_start(lines, (struct position){.day = lines->first});
    return lines;
}

/* The numbers of all lines that pass. */
static const char *passing(struct lines *lines, const struct filter *filter) {
    static char numbers[512];
    int result;
    numbers[0] = '\0';
    while ((result = lines_next(lines, filter)) > 0)
        snprintf(numbers + strlen(numbers), sizeof numbers - strlen(numbers), "%u ",
                 (unsigned)lines->record.seq);
    assert_int_equal(result, 0);
    return numbers;
}

/* ---- which lines ---- */

static void a_line_passes_if_all_conditions_hold(void **state) {
    static const struct {
        struct filter filter;
        const char *passing;
    } cases[] = {
#define ANY .since = INT64_MIN, .until = INT64_MAX
        {{ANY}, "1 2 3 4 5 6 "},
        {{ANY, .devices = {.count = 1, .item = {"device-2"}}}, "2 4 "},
        {{ANY, .devices = {.count = 1, .item = {"device-"}}}, ""},
        {{ANY, .devices = {.count = 2, .item = {"device-3", "device-2"}}}, "2 3 4 "},
        {{ANY, .accounts = {.count = 1, .item = {"account-1"}}}, "1 3 5 "},
        {{ANY, .types = {.count = 1, .item = {"motion_detected"}}}, "4 5 "},
        {{ANY, .devices = {.count = 1, .item = {"device-2"}},
          .types = {.count = 1, .item = {"motion_detected"}}},
         "4 "},
        {{.since = MIDNIGHT + 2 * SECOND, .until = MIDNIGHT + 4 * SECOND}, "2 3 "},
        {{.since = MIDNIGHT + 2 * SECOND + 1, .until = MIDNIGHT + 4 * SECOND + 1}, "3 4 "},
        {{.since = MIDNIGHT + 7 * SECOND, .until = INT64_MAX}, ""},
    };
    add_event(1, 1, 1, "button_press", 0);
    add_event(2, 2, 2, "button_press", 0);
    add_event(3, 3, 1, "button_press", 0);
    write_day(*state, DAY);
    add_event(4, 2, 2, "motion_detected", 0);
    add_event(5, 1, 1, "motion_detected", 0);
    add_event(6, 1, 2, "other", 0);
    write_day(*state, DAY + 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lines *lines = open_lines(state);
        assert_string_equal(passing(lines, &cases[i].filter), cases[i].passing);
        assert_int_equal(lines->passed, strlen(cases[i].passing) / 2);
        assert_int_equal(lines->damaged, 0);
        lines_close(lines);
    }
}

static void an_empty_journal_has_no_lines(void **state) {
    struct lines *lines = lines_open(*state);
    assert_non_null(lines);
    assert_true(lines->empty);
    assert_int_equal(lines_length(lines, (struct position){0}), 0);
    add_event(1, 1, 1, "button_press", 0);
    size_t size = text.length;
    write_day(*state, DAY);
    assert_int_equal(lines_refresh(lines), STATUS_DONE); /* now there is one */
    assert_false(lines->empty);
    assert_int_equal(lines->first, DAY);
    assert_int_equal(lines_length(lines, (struct position){.day = lines->first}), size);
    lines_start(lines, (struct position){.day = lines->first});
    assert_string_equal(passing(lines, &everything), "1 ");
    lines_close(lines);
}

static int read_damaged(void *context) {
    struct lines *lines = lines_open(context);
    lines_start(lines, (struct position){.day = lines->first});
    printf("%s", passing(lines, &everything));
    printf("%u damaged", (unsigned)lines->damaged);
    lines_close(lines);
    return 0;
}

/* Invalid JSON, an unusable event, and a time out of range: none of them can be shown. */
static void damage_is_counted_and_the_first_three_are_reported(void **state) {
    add_event(1, 1, 1, "button_press", 0);
    for (unsigned i = 0; i < 2; i++) {
        add_text("damage\n", 7);
        add_line(&chain_now, MIDNIGHT, "{\"a\":1}");
        add_event(2, 1, 1, "button_press", 0);
        char *month = strstr(text.bytes + text.length - 400, "2024-10-04") + 5;
        memcpy(month, "13", 2);
    }
    add_event(3, 1, 1, "button_press", 0);
    write_day(*state, DAY);
    const struct ending *ending = run_apart(read_damaged, *state);
    assert_int_equal(ending->status, 0);
    assert_string_equal(ending->out, "1 6 6 damaged");
    unsigned reported = 0;
    for (const char *at = ending->said; (at = strstr(at, "skipped a damaged line")) != NULL; at++)
        reported++;
    assert_int_equal(reported, 3);
    assert_non_null(strstr(ending->said, "2024-10-04.jsonl, byte "));
}

static int open_nothing(void *context) {
    return lines_open(context) == NULL ? 0 : 1;
}

static void a_missing_journal_is_named(void **state) {
    (void)state;
    const struct ending *ending = run_apart(open_nothing, (char[]){"/nonexistent/journal"});
    assert_int_equal(ending->status, 0);
    assert_non_null(strstr(ending->said, "cannot open the journal directory /nonexistent/journal: "));
}

/* ---- since ---- */

static void since_skips_earlier_days(void **state) {
    static const struct {
        int64_t since;
        int32_t day;
    } cases[] = {{INT64_MIN, DAY},
                 {-1, DAY},
                 {0, DAY},
                 {MIDNIGHT, DAY},
                 {MIDNIGHT + 86400 * SECOND - 1, DAY},
                 {MIDNIGHT + 86400 * SECOND, DAY + 1},
                 {MIDNIGHT + 86400 * 9 * SECOND, DAY + 9}};
    struct lines lines = {.first = DAY, .last = DAY + 3};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct filter filter = {.since = cases[i].since};
        struct position position;
        assert_int_equal(lines_since(&lines, &filter, &position), STATUS_DONE);
        assert_int_equal(position.day, cases[i].day);
        assert_int_equal(position.offset, 0);
    }
}

static int start_filter(void *context) {
    filter_start(context);
    return 77;
}

static void invalid_times_are_refused(void **state) {
    static const struct {
        const char *since, *until, *said;
    } cases[] = {{"soon", NULL, "--since must be a time such as "},
                 {NULL, "soon", "--until must be a time such as "},
                 {"2026-11-24", "2026-11-23", "--since must be before --until"},
                 {"2026-11-23", "2026-11-23", "--since must be before --until"},
                 {"@100", "@101", NULL},
                 {NULL, NULL, NULL}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct filter filter = {.since_text = cases[i].since, .until_text = cases[i].until, .utc = true};
        const struct ending *ending = run_apart(start_filter, &filter);
        assert_int_equal(ending->status, cases[i].said != NULL ? STATUS_USAGE : 77);
        if (cases[i].said != NULL)
            assert_non_null(strstr(ending->said, cases[i].said));
    }
    struct filter filter = {.since_text = "@100", .until_text = "@101"};
    filter_start(&filter);
    assert_int_equal(filter.since, 100 * SECOND);
    assert_int_equal(filter.until, 101 * SECOND);
}

/* ---- the last N ---- */

#define MOST 100

/* Days of many sizes, larger and smaller than the windows in which they are read from the end. */
static void write_many(void **state) {
    for (unsigned i = 0; i < 60; i++) /* 65536 bytes are about 40 of these */
        add_event(i, i % 7, i % 2, "button_press", i * 370 % 3000);
    write_day(*state, DAY);
    write_day(*state, DAY + 1); /* nothing */
    for (unsigned i = 0; i < 12; i++)
        add_event(86400 * 3 + i, i % 7, i % 2, "button_press", 8000);
    add_text("damage\n", 7);
    write_day(*state, DAY + 3);
    for (unsigned i = 0; i < 3; i++)
        add_event(86400 * 4 + i, i % 7, i % 2, "motion_detected", 0);
    add_text("half a line", 11);
    write_day(*state, DAY + 4);
}

static void the_last_n_start_at_the_nth_from_the_end(void **state) {
    static const struct filter filters[] = {
        {.since = INT64_MIN, .until = INT64_MAX},
        {.since = INT64_MIN, .until = INT64_MAX, .devices = {.count = 1, .item = {"device-3"}}},
        {.since = INT64_MIN, .until = INT64_MAX, .types = {.count = 1, .item = {"motion_detected"}}},
        {.since = INT64_MIN, .until = INT64_MAX, .types = {.count = 1, .item = {"nothing"}}},
        {.since = MIDNIGHT + 20 * SECOND, .until = MIDNIGHT + 86400 * 3 * SECOND + 5 * SECOND},
        {.since = MIDNIGHT + 86400 * 3 * SECOND + 5 * SECOND, .until = INT64_MAX}};
    static struct position places[MOST];
    write_many(state);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        struct lines *lines = open_lines(state);
        size_t count = 0;
        lines->damaged = 3; /* so that nothing is reported here */
        for (; lines_next(lines, &filters[i]) > 0; count++)
            places[count] = lines->position;
        for (size_t n = 0; n <= count + 1; n += n > 2 && n + 12 < count ? 9 : 1) {
            struct position position;
            assert_int_equal(lines_from_end(lines, &filters[i], (int64_t)n, &position), STATUS_DONE);
            lines_start(lines, position);
            bool any = n > 0 && count > 0;
            const struct position *wanted = &places[n < count ? count - n : 0];
            assert_int_equal(lines_next(lines, &filters[i]), any);
            assert_true(!any ||
                        (lines->position.day == wanted->day && lines->position.offset == wanted->offset));
        }
        lines_close(lines);
    }
}

/* With -n 0 -f only new lines are shown. */
static void the_last_zero_lines_start_at_the_end(void **state) {
    struct lines *lines;
    struct position position;
    write_many(state);
    lines = open_lines(state);
    assert_int_equal(lines_from_end(lines, &everything, 0, &position), STATUS_DONE);
    assert_int_equal(position.day, DAY + 4);
    assert_int_equal(position.offset, lines_length(lines, (struct position){.day = DAY + 4}) - 11);
    lines_close(lines);
}

static void the_last_lines_are_found_without_reading_everything(void **state) {
    struct position position;
    for (unsigned i = 0; i < 60; i++)
        add_event(i, 1, 1, "button_press", 15000);
    write_day(*state, DAY);
    struct lines *lines = open_lines(state);
    disk.read = 0;
    assert_int_equal(lines_from_end(lines, &everything, 3, &position), STATUS_DONE);
    assert_true(disk.read < 100000); /* of 900,000 bytes */
    lines_close(lines);
}

#define LINES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        LINES_TEST(a_line_passes_if_all_conditions_hold),
        LINES_TEST(an_empty_journal_has_no_lines),
        LINES_TEST(damage_is_counted_and_the_first_three_are_reported),
        LINES_TEST(a_missing_journal_is_named),
        cmocka_unit_test(since_skips_earlier_days),
        cmocka_unit_test(invalid_times_are_refused),
        LINES_TEST(the_last_n_start_at_the_nth_from_the_end),
        LINES_TEST(the_last_zero_lines_start_at_the_end),
        LINES_TEST(the_last_lines_are_found_without_reading_everything),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
