/* A walk through the days: in order, to the end of the last one, and on when more is appended. */
#include "days.h"

#include "disk.h"
#include "walk.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 20000
#define BODY "{\"a\":1}"

static int directory;
static struct walk walk;
static struct reason reason;
static struct chain_state chain_now;

static int set_up(void **state) {
    reset_disk();
    text.length = 0;
    chain_now = chain_start();
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0;
}

static int tear_down(void **state) {
    walk_end(&walk);
    close(directory);
    return remove_directory(state);
}

/* Writes a day with `lines` more lines; the last one lacks `missing` bytes. */
static void add_day(void **state, int32_t day, unsigned lines, size_t missing) {
    while (lines-- > 0)
        add_line(&chain_now, 0, BODY);
    text.length -= missing;
    write_day(*state, DAY + day);
}

static void start(int32_t day, int32_t last) {
    walk_start(&walk, directory, (struct position){.day = DAY + day}, chain_start());
    walk_until(&walk, DAY + last);
}

/* Reads to the end, and records each line as day.seq, "x" if it is damaged, "u" if the chain breaks. */
static const char *rest_of_it(void) {
    static char lines[256];
    struct record record;
    struct position position;
    enum scan scan;
    int result;
    lines[0] = '\0';
    while ((result = walk_next(&walk, &scan, &record, &position, &reason)) > 0)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%d.%u%s ", (int)position.day - DAY,
                 scan == SCAN_DAMAGED ? 0 : (unsigned)record.seq,
                 scan == SCAN_DAMAGED     ? "x"
                 : scan == SCAN_UNCHAINED ? "u"
                                          : "");
    assert_int_equal(result, 0);
    return lines;
}

static void days_follow_each_other_in_one_chain(void **state) {
    add_day(state, 0, 2, 0);
    add_day(state, 1, 0, 0); /* an empty one */
    add_day(state, 5, 2, 0);
    add_day(state, 6, 1, 0);
    start(0, 6);
    assert_string_equal(rest_of_it(), "0.1 0.2 5.3 5.4 6.5 ");
    assert_int_equal(walk_position(&walk).day, DAY + 6);
    assert_string_equal(walk_chain(&walk).recorded, chain_now.recorded);
}

static void a_walk_covers_the_requested_range(void **state) {
    for (int32_t day = 0; day < 4; day++)
        add_day(state, day, 2, 0);
    start(1, 2);
    assert_string_equal(rest_of_it(), "1.3u 1.4 2.5 2.6 ");
    walk_end(&walk);
    struct record record;
    struct position position;
    enum scan scan;
    start(0, 0);
    assert_int_equal(walk_next(&walk, &scan, &record, &position, &reason), 1);
    struct position second = walk_position(&walk);
    struct chain_state chain = walk_chain(&walk);
    walk_end(&walk);
    walk_start(&walk, directory, second, chain);
    walk_until(&walk, DAY + 1);
    assert_string_equal(rest_of_it(), "0.2 1.3 1.4 ");
}

static void a_walk_continues_when_lines_are_appended(void **state) {
    start(0, 0);
    assert_string_equal(rest_of_it(), ""); /* the file does not exist */
    add_day(state, 0, 1, 0);
    assert_string_equal(rest_of_it(), "0.1 ");
    chain_now = chain_start();
    add_day(state, 0, 3, 0); /* the same line, and two more */
    assert_string_equal(rest_of_it(), "0.2 0.3 ");
    add_day(state, 2, 1, 0);
    assert_string_equal(rest_of_it(), ""); /* it does not know yet of the newer day */
    walk_until(&walk, DAY + 2);
    assert_string_equal(rest_of_it(), "2.4 ");
    add_day(state, 4, 1, 0);
    walk_until(&walk, DAY + 4);
    walk_until(&walk, DAY + 3); /* never moves back */
    assert_string_equal(rest_of_it(), "4.5 ");
}

/* The last day may still be written to; an earlier one is not. */
static void a_partial_line_is_awaited_only_in_the_last_day(void **state) {
    add_day(state, 0, 2, 1); /* its line break is missing */
    add_day(state, 1, 2, 1);
    start(0, 1);
    assert_string_equal(rest_of_it(), "0.1 0.2 1.3 ");
    walk_until(&walk, DAY + 2);
    assert_string_equal(rest_of_it(), "1.4 ");
    walk_end(&walk);
    start(0, 1);
    walk_close(&walk);
    assert_string_equal(rest_of_it(), "0.1 0.2 1.3 1.4 ");
}

static void a_torn_line_of_an_earlier_day_is_skipped(void **state) {
    add_day(state, 0, 2, 5);
    add_day(state, 1, 1, 0);
    start(0, 1);
    assert_string_equal(rest_of_it(), "0.1 1.3u ");
}

static void a_damaged_line_is_returned_with_its_position(void **state) {
    add_line(&chain_now, 0, BODY);
    size_t damaged = add_text("damage\n", 7);
    write_day(*state, DAY);
    struct record record;
    struct position position;
    enum scan scan;
    start(0, 0);
    assert_int_equal(walk_next(&walk, &scan, &record, &position, &reason), 1);
    assert_int_equal(walk_next(&walk, &scan, &record, &position, &reason), 1);
    assert_int_equal(scan, SCAN_DAMAGED);
    assert_int_equal(position.day, DAY);
    assert_int_equal(position.offset, damaged);
}

static void an_unopenable_day_is_an_error_until_it_opens(void **state) {
    struct record record;
    struct position position;
    enum scan scan;
    add_day(state, 0, 1, 0);
    assert_int_equal(mkdir(path_in(*state, "2024-10-05.jsonl"), 0700), 0);
    add_day(state, 2, 1, 0);
    start(0, 2);
    assert_int_equal(walk_next(&walk, &scan, &record, &position, &reason), 1);
    for (int again = 0; again < 2; again++)
        assert_int_equal(walk_next(&walk, &scan, &record, &position, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "2024-10-05.jsonl is not a regular file"));
    assert_int_equal(rmdir(path_in(*state, "2024-10-05.jsonl")), 0);
    assert_string_equal(rest_of_it(), "2.2 ");
}

#define WALK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WALK_TEST(days_follow_each_other_in_one_chain),
        WALK_TEST(a_walk_covers_the_requested_range),
        WALK_TEST(a_walk_continues_when_lines_are_appended),
        WALK_TEST(a_partial_line_is_awaited_only_in_the_last_day),
        WALK_TEST(a_torn_line_of_an_earlier_day_is_skipped),
        WALK_TEST(a_damaged_line_is_returned_with_its_position),
        WALK_TEST(an_unopenable_day_is_an_error_until_it_opens),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
