/* The journal as the door page reads it: back from its end, across days and damage. */
#include "days.h"

#include "feed.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 20000
#define LIST_SIZE 128

static struct feed *feed;
static struct chain_state chain;
static struct reason reason;

static int set_up(void **state) {
    text.length = 0;
    chain = chain_start();
    if (make_directory(state) != 0)
        return -1;
    feed = feed_new(*state);
    return feed == NULL;
}

static int tear_down(void **state) {
    feed_free(feed);
    return remove_directory(state);
}

static void add_presses(unsigned first, unsigned last) {
    for (unsigned number = first; number <= last; number++) {
        char body[SAMPLE_SIZE];
        body[make_press(number, body)] = '\0';
        add_line(&chain, DAY * 86400 * SECOND, body);
    }
}

static void write_presses(void **state, int32_t day, unsigned first, unsigned last) {
    add_presses(first, last);
    write_day(*state, day);
}

static uint64_t refreshed_end(void) {
    assert_int_equal(feed_refresh(feed, &reason), 0);
    return feed_end(feed);
}

static bool note(void *context, const struct record *record, const struct event *event) {
    char *list = context;
    assert_true(event->id[0] != '\0');
    size_t length = strlen(list);
    length += (size_t)snprintf(list + length, LIST_SIZE - length, "%" PRIu64 " ", record->seq);
    return length < 100;
}

/* The numbers of the lines after `after`, newest first. */
static const char *read_after(uint64_t after) {
    static char list[LIST_SIZE];
    const struct feed_reader reader = {.visit = note, .context = list};
    uint64_t end;
    list[0] = '\0';
    assert_int_equal(feed_read(feed, after, &reader, &end, &reason), 0);
    assert_true(end >= after);
    return list;
}

static void a_journal_without_lines_has_no_end(void **state) {
    (void)state;
    assert_int_equal(refreshed_end(), 0);
    assert_string_equal(read_after(0), "");
}

static void a_missing_journal_is_an_error(void **state) {
    assert_int_equal(rmdir(*state), 0);
    assert_int_equal(feed_refresh(feed, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot open journal"));
    assert_int_equal(mkdir(*state, 0700), 0);
    write_presses(state, DAY, 1, 1);
    assert_int_equal(refreshed_end(), 1);
}

static void lines_are_read_back_to_the_given_one(void **state) {
    write_presses(state, DAY, 1, 5);
    assert_int_equal(refreshed_end(), 5);
    assert_string_equal(read_after(0), "5 4 3 2 1 ");
    assert_string_equal(read_after(3), "5 4 ");
    assert_string_equal(read_after(5), "");
    assert_string_equal(read_after(9), "");
}

static void earlier_days_are_read_too(void **state) {
    write_presses(state, DAY, 1, 2);
    write_presses(state, DAY + 7, 3, 4);
    assert_int_equal(refreshed_end(), 4);
    assert_string_equal(read_after(0), "4 3 2 1 ");
    assert_string_equal(read_after(1), "4 3 2 ");
}

static void an_empty_new_day_hides_nothing(void **state) {
    write_presses(state, DAY, 1, 2);
    assert_int_equal(refreshed_end(), 2);
    write_day(*state, DAY + 1);
    assert_int_equal(refreshed_end(), 2);
    assert_string_equal(read_after(0), "2 1 ");
}

static void a_page_that_opens_on_an_empty_new_day_sees_the_day_before(void **state) {
    write_presses(state, DAY, 1, 2);
    write_day(*state, DAY + 1);
    assert_int_equal(refreshed_end(), 2);
    assert_string_equal(read_after(0), "2 1 ");
}

static void damage_is_skipped(void **state) {
    add_presses(1, 2);
    add_text("what is this?\n", 14);
    add_presses(3, 4);
    write_day(*state, DAY);
    assert_int_equal(refreshed_end(), 4);
    assert_string_equal(read_after(0), "4 3 2 1 ");
}

static void a_partial_line_is_not_read_until_it_is_complete(void **state) {
    add_presses(1, 3);
    struct text whole = text;
    text.length -= 10;
    write_day(*state, DAY);
    assert_int_equal(refreshed_end(), 2);
    assert_string_equal(read_after(1), "2 ");
    text = whole;
    write_day(*state, DAY);
    assert_int_equal(refreshed_end(), 3);
}

static void the_reader_is_ended_by_its_visitor(void **state) {
    write_presses(state, DAY, 1, 99);
    assert_int_equal(refreshed_end(), 99);
    assert_in_range(strlen(read_after(0)), 100, 104);
}

static void one_event_is_found_by_its_number(void **state) {
    struct event event;
    write_presses(state, DAY, 1, 9);
    assert_int_equal(refreshed_end(), 9);
    assert_int_equal(feed_find(feed, 4, &event, &reason), 1);
    assert_int_equal(feed_find(feed, 10, &event, &reason), 0);
    assert_int_equal(feed_find(feed, 0, &event, &reason), 0);
}

static void a_journal_that_is_replaced_is_read_from_its_end(void **state) {
    char aside[512];
    write_presses(state, DAY, 1, 9);
    assert_int_equal(refreshed_end(), 9);
    snprintf(aside, sizeof aside, "%s.aside", (char *)*state);
    assert_int_equal(rename(*state, aside), 0);
    assert_int_equal(mkdir(*state, 0700), 0);
    chain = chain_start();
    write_presses(state, DAY, 20, 21);
    assert_int_equal(refreshed_end(), 2);
    assert_string_equal(read_after(0), "2 1 ");
    void *old = strdup(aside);
    assert_int_equal(remove_directory(&old), 0);
}

static void a_wait_ends_when_there_is_more(void **state) {
    atomic_bool ending = false;
    write_presses(state, DAY, 1, 1);
    assert_int_equal(refreshed_end(), 1);
    assert_int_equal(feed_wait(feed, 0, INT64_MAX / 2, &ending), 1);   /* there is already */
    assert_int_equal(feed_wait(feed, 1, monotonic_now(), &ending), 1); /* the deadline */
    ending = true;
    assert_int_equal(feed_wait(feed, 1, INT64_MAX / 2, &ending), 1);
}

#define FEED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FEED_TEST(a_journal_without_lines_has_no_end),
        FEED_TEST(a_missing_journal_is_an_error),
        FEED_TEST(lines_are_read_back_to_the_given_one),
        FEED_TEST(earlier_days_are_read_too),
        FEED_TEST(an_empty_new_day_hides_nothing),
        FEED_TEST(a_page_that_opens_on_an_empty_new_day_sees_the_day_before),
        FEED_TEST(damage_is_skipped),
        FEED_TEST(a_partial_line_is_not_read_until_it_is_complete),
        FEED_TEST(the_reader_is_ended_by_its_visitor),
        FEED_TEST(one_event_is_found_by_its_number),
        FEED_TEST(a_journal_that_is_replaced_is_read_from_its_end),
        FEED_TEST(a_wait_ends_when_there_is_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
