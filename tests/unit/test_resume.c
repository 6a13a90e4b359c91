/* Where a consumer resumes: at its position if that is verified, else at the first line that it has not run.
 */
#include "days.h"

#include "resume.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY 20000
#define MIDNIGHT (DAY * 86400 * SECOND)
#define BODY "{\"a\":1}"

static int directory;
static struct cursor cursor;
static struct reason reason;
static struct chain_state chain_now;
static struct mark marks[16]; /* after each line number */

static int set_up(void **state) {
    memset(&cursor, 0, sizeof cursor);
    text.length = 0;
    chain_now = chain_start();
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0;
}

static int tear_down(void **state) {
    close(directory);
    return remove_directory(state);
}

/* Writes a day with `lines` more lines, received one second apart. */
static void add_day(void **state, int32_t day, unsigned lines) {
    struct record record;
    for (; lines > 0; lines--) {
        size_t begins =
            add_line(&chain_now, MIDNIGHT + (day * 86400 + (int64_t)chain_now.seq) * SECOND, BODY);
        assert_int_equal(record_parse(text.bytes + begins, text.length - begins - 1, &record), 0);
        marks[record.seq] = mark_of(&record, (struct position){.day = DAY + day, .offset = text.length});
    }
    write_day(*state, DAY + day);
}

/* Checks that the mark is the one after line `seq`; 0: before all. */
static void check_mark(struct mark mark, unsigned seq) {
    assert_int_equal(mark.seq, seq);
    assert_int_equal(mark.position.day, marks[seq].position.day);
    assert_int_equal(mark.position.offset, marks[seq].position.offset);
    assert_string_equal(mark.chain, marks[seq].chain);
    assert_string_equal(mark.received_at, marks[seq].received_at);
}

static struct resume find(struct mark was) {
    struct resume resume;
    cursor.mark = was;
    assert_int_equal(resume_find(directory, &cursor, &resume, &reason), 0);
    return resume;
}

/* ---- is a line new? ---- */

static void a_line_is_new_by_its_number_or_its_time(void **state) {
#define EARLIER "2024-10-04T00:00:01.000000Z"
#define THEN "2024-10-04T00:00:05.000000Z"
#define LATER "2024-10-04T00:00:09.000000Z"
    static const struct {
        uint64_t was;
        const char *received_at;
        bool holds, reused;
        uint64_t seq;
        const char *at;
        int32_t day;
        bool is_new;
    } cases[] = {{5, THEN, true, false, 6, EARLIER, 0, true},  {5, THEN, true, false, 5, THEN, 0, false},
                 {5, THEN, true, false, 3, EARLIER, 1, false}, /* it was moved to a later day */
                 {5, THEN, true, false, 3, LATER, 1, true},    /* its number was given again */
                 {5, "", true, false, 3, LATER, 0, true},      {5, THEN, false, false, 6, EARLIER, 0, true},
                 {5, THEN, false, false, 5, LATER, 0, false}, /* the numbers are usable */
                 {5, THEN, false, true, 5, LATER, 0, true},   /* they are not */
                 {5, THEN, false, true, 5, THEN, 0, false},    {5, THEN, false, true, 1, EARLIER, 0, false},
                 {5, THEN, false, true, 9, EARLIER, 0, true},  {5, "", false, true, 3, EARLIER, -1, false},
                 {5, "", false, true, 3, EARLIER, 0, true}, /* better run twice than never */
                 {0, "", false, false, 1, EARLIER, -9, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resume resume = {.was = {.seq = cases[i].was, .position = {.day = DAY}},
                                .holds = cases[i].holds,
                                .reused = cases[i].reused};
        struct record record = {.seq = cases[i].seq, .received_at = cases[i].at};
        strcpy(resume.was.received_at, cases[i].received_at);
        assert_int_equal(resume_is_new(&resume, &record, DAY + cases[i].day), cases[i].is_new);
    }
}

/* ---- where to resume ---- */

static void a_verified_position_is_used(void **state) {
    add_day(state, 0, 3);
    add_day(state, 1, 3);
    for (unsigned seq = 1; seq <= 6; seq++) {
        struct resume resume = find(marks[seq]);
        assert_true(resume.holds);
        check_mark(resume.mark, seq);
        assert_int_equal(resume.first, DAY);
    }
}

static void in_an_empty_journal_there_is_nothing_to_find(void **state) {
    struct mark mark;
    (void)state;
    struct resume resume = find((struct mark){.position = {.day = DAY, .offset = 0}});
    assert_true(resume.holds);
    assert_int_equal(resume.first, 0);
    assert_int_equal(resume_at(directory, 5, &mark, &reason), 0);
    assert_int_equal(mark.position.day, 0);
}

static void a_moved_line_is_found_by_its_number(void **state) {
    struct reason said;
    add_day(state, 0, 3);
    add_day(state, 1, 3);
    struct mark moved = marks[2];
    moved.position.offset += 7;
    struct resume resume = find(moved);
    assert_false(resume.holds);
    assert_false(resume.reused);
    assert_int_equal(resume.next, 3);
    check_mark(resume.mark, 2);
    resume_explain(&resume, "bell", &said);
    assert_non_null(strstr(said.text, "the position of bell is invalid: event 2 does not end at byte "));
    assert_non_null(strstr(said.text, "it continues from event 3"));

    moved = marks[6]; /* all were run */
    moved.position.offset += 7;
    resume = find(moved);
    assert_int_equal(resume.next, 0);
    check_mark(resume.mark, 6);
    resume_explain(&resume, "bell", &said);
    assert_non_null(strstr(said.text, "there is nothing newer, so it continues with new events"));
}

static void deleting_a_day_already_run_is_harmless(void **state) {
    add_day(state, 0, 3);
    add_day(state, 1, 3);
    assert_int_equal(unlink(path_in(*state, "2024-10-04.jsonl")), 0);
    struct resume resume = find(marks[3]);
    assert_true(resume.holds);
    assert_int_equal(resume.next, 4);
    resume = find(marks[2]); /* number 3 was deleted before it was run */
    assert_false(resume.holds);
    assert_int_equal(resume.next, 4);
}

static void numbers_that_were_given_again_are_recognized_by_the_time(void **state) {
    struct reason said;
    add_day(state, 0, 4);
    struct mark was = marks[3];
    chain_now = chain_start(); /* the journal was restored from a copy with two lines, and continued */
    add_day(state, 0, 2);
    add_day(state, 1, 4);
    struct resume resume = find(was);
    assert_false(resume.holds);
    assert_true(resume.reused);
    assert_int_equal(resume.next, 3);
    assert_int_equal(resume.mark.seq, 2);
    resume_explain(&resume, "bell", &said);
    assert_non_null(strstr(said.text, "numbers were reused, so it continues from event 3 by time"));

    was.seq = 12; /* the journal ends before it */
    resume = find(was);
    assert_true(resume.reused);
    assert_int_equal(resume.next, 3);
}

static void a_journal_that_cannot_be_read_is_an_error(void **state) {
    struct resume resume;
    struct mark mark;
    struct position position = {.day = DAY};
    (void)state;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(resume_find(nothing, &cursor, &resume, &reason), ERROR_SYSTEM);
    assert_int_equal(resume_at(nothing, 1, &mark, &reason), ERROR_SYSTEM);
    assert_int_equal(resume_seek(nothing, 1, &position, NULL, NULL, &reason), ERROR_SYSTEM);
    close(nothing);
}

static void a_starting_position_is_found_by_number(void **state) {
    static const struct {
        uint64_t seq;
        unsigned after;
    } cases[] = {{0, 0}, {1, 0}, {2, 1}, {4, 3}, {5, 4}, {6, 5}, {7, 6}, {99, 6}};
    struct mark mark;
    add_day(state, 0, 3);
    add_day(state, 2, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(resume_at(directory, cases[i].seq, &mark, &reason), 0);
        check_mark(mark, cases[i].after);
    }
}

/* ---- one line ---- */

static int is_wanted(void *context, const struct record *record, struct reason *out) {
    const char *wanted = context;
    (void)out;
    return memcmp(record->chain, wanted, CHAIN_SIZE - 1) == 0;
}

static void one_line_is_found_whatever_day_it_is_in(void **state) {
    struct position position;
    add_day(state, 0, 3);
    add_day(state, 1, 3);
    assert_int_equal(rename(path_in(*state, "2024-10-05.jsonl"), path_in(*state, "2024-10-09.jsonl")), 0);
    static const int32_t looked_for[] = {0, 1, 5, 99};
    for (size_t i = 0; i < sizeof looked_for / sizeof *looked_for; i++)
        for (uint64_t seq = 1; seq <= 6; seq++) {
            position = (struct position){.day = DAY + looked_for[i]};
            assert_int_equal(resume_seek(directory, seq, &position, is_wanted, marks[seq].chain, &reason), 1);
            assert_int_equal(position.day, DAY + (seq <= 3 ? 0 : 5));
            assert_int_equal(position.offset, seq % 3 == 1 ? 0 : marks[seq - 1].position.offset);
        }
}

static void another_line_with_the_number_is_not_used(void **state) {
    struct position position = {.day = DAY, .offset = 42};
    add_day(state, 0, 3);
    assert_int_equal(resume_seek(directory, 2, &position, is_wanted, marks[3].chain, &reason), 0);
    assert_int_equal(resume_seek(directory, 4, &position, is_wanted, marks[3].chain, &reason), 0);
    assert_int_equal(position.offset, 42);

    /* The search continues after it: another day has the same number. */
    chain_now = chain_start();
    add_day(state, 1, 1);
    add_day(state, 2, 2);
    assert_int_equal(resume_seek(directory, 3, &position, is_wanted, marks[3].chain, &reason), 1);
    assert_int_equal(position.day, DAY + 2);

    /* Or later in the same day. */
    chain_now = chain_start();
    add_line(&chain_now, 0, BODY);
    add_line(&chain_now, 0, BODY);
    chain_now = chain_start();
    add_day(state, 3, 2);
    assert_int_equal(resume_seek(directory, 2, &position, is_wanted, marks[2].chain, &reason), 1);
    assert_int_equal(position.day, DAY + 3);
    assert_int_equal(position.offset, marks[1].position.offset);
}

#define RESUME_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_new_by_its_number_or_its_time),
        RESUME_TEST(a_verified_position_is_used),
        RESUME_TEST(in_an_empty_journal_there_is_nothing_to_find),
        RESUME_TEST(a_moved_line_is_found_by_its_number),
        RESUME_TEST(deleting_a_day_already_run_is_harmless),
        RESUME_TEST(numbers_that_were_given_again_are_recognized_by_the_time),
        RESUME_TEST(a_journal_that_cannot_be_read_is_an_error),
        RESUME_TEST(a_starting_position_is_found_by_number),
        RESUME_TEST(one_line_is_found_whatever_day_it_is_in),
        RESUME_TEST(another_line_with_the_number_is_not_used),
    };
    return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
