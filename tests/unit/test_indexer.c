/* Bringing the index up to date with the journal: in as many turns as the deadline allows, and past damage.
 */
#include "days.h"

#include "disk.h"
#include "indexer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 20000
#define LINES 1000

static int directory;
static struct index *the_index;
static struct event_parser *parser;
static struct indexer indexer;
static struct chain_state chain_now;
static struct reason reason;

static int set_up(void **state) {
    reset_disk();
    text.length = 0;
    chain_now = chain_start();
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    the_index = index_new(64);
    parser = event_parser_new();
    if (directory < 0 || the_index == NULL || parser == NULL)
        return -1;
    indexer_start(&indexer, parser);
    return index_begin(the_index, directory, &reason);
}

static int tear_down(void **state) {
    index_free(the_index);
    event_parser_free(parser);
    close(directory);
    return remove_directory(state);
}

static const char *body_of(unsigned number) {
    static char body[256];
    snprintf(body, sizeof body,
             "{\"meta\":{\"request_id\":\"request-%u\"},\"data\":{\"id\":\"event-%u\",\"type\":\"test\"}}",
             number, number);
    return body;
}

static size_t add_event(unsigned number) {
    return add_line(&chain_now, 0, body_of(number));
}

static const struct event *event_of(unsigned number) {
    static struct event event;
    snprintf(event.request_id, sizeof event.request_id, "request-%u", number);
    snprintf(event.id, sizeof event.id, "event-%u", number);
    return &event;
}

/* Returns true if the event is in the index, under both identifiers, at this position. */
static bool holds(unsigned number, int32_t day, size_t offset) {
    struct position position = {.day = day, .offset = offset};
    struct identity identity = indexer_identify(the_index, event_of(number));
    int request = index_holds(the_index, identity.request, position, &reason);
    assert_int_equal(index_holds(the_index, identity.event, position, &reason), request);
    return request == 1;
}

static int index_until(int32_t last, struct mark *mark, int64_t left) {
    struct deadline deadline = {.at = monotonic_now() + left};
    return indexer_run(&indexer, the_index, directory, mark, last, true, &deadline, &reason);
}

static void every_event_of_every_day_is_indexed_once(void **state) {
    size_t offsets[4];
    struct mark mark = {.position = {.day = DAY}};
    offsets[0] = add_event(0);
    offsets[1] = add_event(1);
    write_day(*state, DAY);
    offsets[2] = add_event(2);
    offsets[3] = add_event(3);
    size_t end = --text.length; /* with the lock held, no writer is about to add the line break */
    write_day(*state, DAY + 2);
    for (int again = 0; again < 2; again++) {
        mark = (struct mark){.position = {.day = DAY}};
        assert_int_equal(index_until(DAY + 2, &mark, 100 * SECOND), 0);
        for (unsigned i = 0; i < 4; i++)
            assert_true(holds(i, DAY + (i < 2 ? 0 : 2), offsets[i]));
        assert_int_equal(index_count(the_index), 8);
        assert_int_equal(mark.seq, 4);
        assert_int_equal(mark.position.day, DAY + 2);
        assert_int_equal(mark.position.offset, end);
        assert_string_equal(mark.chain, chain_now.recorded);
        assert_int_equal(indexer_highest(&indexer), 4);
    }
}

/* It leaves half a second for the rest; with less than that it stops at the first look at the clock. */
static void progress_at_the_deadline_counts(void **state) {
    struct mark mark = {.position = {.day = DAY}};
    unsigned turns = 0;
    for (unsigned i = 0; i < LINES; i++)
        add_event(i);
    write_day(*state, DAY);
    for (uint64_t before = 0; index_until(DAY, &mark, SECOND / 4) == ERROR_TIMEOUT;
         before = mark.seq, turns++) {
        assert_true(mark.seq > before && mark.seq < before + LINES / 2);
        assert_int_equal(index_count(the_index), 2 * mark.seq);
        assert_string_equal(reason.text, "the index is catching up with the journal: please wait");
    }
    assert_in_range(turns, 2, LINES / 100);
    assert_int_equal(mark.seq, LINES);
    assert_int_equal(index_count(the_index), 2 * LINES);
}

static void unreadable_lines_are_skipped(void **state) {
    struct mark mark = {.position = {.day = DAY}};
    size_t first = add_event(0);
    add_text("damage\n", 7);
    add_line(&chain_now, 0, "{\"no\":\"event\"}");
    size_t second = add_event(1);
    write_day(*state, DAY);
    assert_int_equal(index_until(DAY, &mark, 100 * SECOND), 0);
    assert_true(holds(0, DAY, first));
    assert_true(holds(1, DAY, second));
    assert_int_equal(index_count(the_index), 4);
    assert_int_equal(mark.seq, 3);
}

/* Only a number that the chain proves was given by this journal, and must not be given again. */
static void the_highest_number_is_proven_by_the_chain(void **state) {
    struct mark mark = {.position = {.day = DAY}};
    struct chain_state other = {.seq = 900, .known = true};
    add_event(0);
    add_event(1);
    add_line(&other, 0, body_of(2)); /* inserted by someone else */
    write_day(*state, DAY);
    assert_int_equal(index_until(DAY, &mark, 100 * SECOND), 0);
    assert_int_equal(indexer_highest(&indexer), 2);
    assert_int_equal(index_count(the_index), 6); /* it is indexed */
}

static void an_error_leaves_the_mark_before_it(void **state) {
    struct mark mark = {.position = {.day = DAY}};
    add_event(0);
    write_day(*state, DAY);
    assert_int_equal(mkdir(path_in(*state, "2024-10-05.jsonl"), 0700), 0);
    assert_int_equal(index_until(DAY + 1, &mark, 100 * SECOND), ERROR_SYSTEM);
    assert_int_equal(mark.seq, 1);
    assert_int_equal(mark.position.day, DAY);
}

/* ---- looking for one event in a day ---- */

static int search(unsigned request, unsigned id, size_t *offset, int64_t left) {
    static struct event event;
    struct deadline deadline = {.at = monotonic_now() + left};
    struct position position = {.day = DAY};
    snprintf(event.request_id, sizeof event.request_id, "request-%u", request);
    snprintf(event.id, sizeof event.id, "event-%u", id);
    int result = indexer_search(&indexer, directory, &event, &position, &deadline, &reason);
    *offset = position.offset;
    return result;
}

static void either_identifier_finds_the_line(void **state) {
    size_t offset;
    add_event(0);
    add_text("damage\n", 7);
    size_t wanted = add_line(&chain_now, 0,
                             "{\"meta\":{\"request_id\":\"re\\u0071uest-1\"},\"data\":{\"id\":\"event-1\","
                             "\"type\":\"test\"}}"); /* not found by the quick scan */
    size_t last = add_event(11);
    text.length--; /* the last line may lack its line break */
    write_day(*state, DAY);
    assert_int_equal(search(1, 99, &offset, 100 * SECOND), 1);
    assert_int_equal(offset, wanted);
    assert_int_equal(search(99, 1, &offset, 100 * SECOND), 1);
    assert_int_equal(offset, wanted);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(search(i == 0 ? 11 : 99, i == 0 ? 99 : 11, &offset, 100 * SECOND), 1);
        assert_int_equal(offset, last);
    }
    assert_int_equal(search(99, 99, &offset, 100 * SECOND), 0);
}

static void a_missing_day_does_not_have_the_event(void **state) {
    size_t offset;
    (void)state;
    assert_int_equal(search(1, 1, &offset, 100 * SECOND), 0);
}

static void an_error_or_timeout_is_not_an_absence(void **state) {
    size_t offset;
    struct stat status;
    for (unsigned i = 0; i < LINES; i++)
        add_event(i);
    write_day(*state, DAY);
    assert_int_equal(search(LINES, LINES, &offset, 0), ERROR_TIMEOUT);
    assert_int_equal(search(LINES - 1, LINES - 1, &offset, 100 * SECOND), 1);
    assert_int_equal(stat(path_in(*state, "2024-10-04.jsonl"), &status), 0);
    disk.unreadable = status.st_ino;
    assert_int_equal(search(1, 1, &offset, 100 * SECOND), ERROR_SYSTEM);
}

#define INDEXER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        INDEXER_TEST(every_event_of_every_day_is_indexed_once),
        INDEXER_TEST(progress_at_the_deadline_counts),
        INDEXER_TEST(unreadable_lines_are_skipped),
        INDEXER_TEST(the_highest_number_is_proven_by_the_chain),
        INDEXER_TEST(an_error_leaves_the_mark_before_it),
        INDEXER_TEST(either_identifier_finds_the_line),
        INDEXER_TEST(a_missing_day_does_not_have_the_event),
        INDEXER_TEST(an_error_or_timeout_is_not_an_absence),
    };
    return cmocka_run_group_tests_name("indexer", tests, NULL, NULL);
}
