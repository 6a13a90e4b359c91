/* What is run when: order, retries, what the cursor is moved over. With a clock of the test's own. */
#include "support.h"

#include <string.h>

#include "retry.h"
#include "schedule.h"

#define NOON (INT64_C(1771070400) * SECOND)

static struct cursor cursor;

static struct place place_of(uint64_t seq) {
    return (struct place){.day = 20000, .offset = seq * 100};
}

static void add(struct schedule *schedule, uint64_t seq, uint64_t order) {
    schedule_add(schedule, &cursor, seq, place_of(seq), place_of(seq + 1), order);
}

static int set_up(void **state) {
    memset(&cursor, 0, sizeof cursor);
    *state = schedule_new(RETRIES);
    return *state == NULL;
}

static int tear_down(void **state) {
    schedule_free(*state);
    return 0;
}

static void events_of_one_device_run_in_order(void **state) {
    struct schedule *schedule = *state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        add(schedule, seq, seq % 2);
    struct item *first = schedule_next(schedule, NOON), *second = schedule_next(schedule, NOON);
    assert_int_equal(first->seq, 1);
    assert_int_equal(second->seq, 2);
    assert_null(schedule_next(schedule, NOON));
    schedule_finish(schedule, second, RESULT_DONE, NOON);
    assert_int_equal(schedule_next(schedule, NOON)->seq, 4);
    assert_null(schedule_next(schedule, NOON));
    schedule_finish(schedule, first, RESULT_DONE, NOON);
    assert_int_equal(schedule_next(schedule, NOON)->seq, 3);
}

static void a_failure_is_tried_again_by_the_schedule(void **state) {
    static const int seconds[] = {1, 5, 30, 120, 600, 3600};
    struct schedule *schedule = *state;
    int64_t now = NOON;
    add(schedule, 1, 7);
    add(schedule, 2, 7); /* of the same device: waits as long */
    for (int attempt = 0; attempt < 6; attempt++) {
        struct item *item = schedule_next(schedule, now);
        assert_int_equal(item->seq, 1);
        assert_int_equal(item->attempts, attempt + 1);
        assert_false(schedule_finish(schedule, item, RESULT_FAILED, now));
        assert_int_equal(schedule_wait(schedule, now), seconds[attempt] * SECOND);
        assert_null(schedule_next(schedule, now + seconds[attempt] * SECOND - 1));
        now += seconds[attempt] * SECOND;
    }
    struct item *last = schedule_next(schedule, now);
    assert_int_equal(last->attempts, 7);
    assert_true(schedule_finish(schedule, last, RESULT_FAILED, now));
    assert_int_equal(schedule_next(schedule, now)->seq, 2);
}

static void what_is_hopeless_is_given_up_at_once(void **state) {
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    assert_true(schedule_finish(schedule, schedule_next(schedule, NOON), RESULT_HOPELESS, NOON));
    assert_int_equal(schedule_left(schedule), 0);
}

static void an_interrupted_run_does_not_count(void **state) {
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    assert_false(schedule_finish(schedule, schedule_next(schedule, NOON), RESULT_INTERRUPTED, NOON));
    struct item *again = schedule_next(schedule, NOON);
    assert_int_equal(again->attempts, 1);
    assert_int_equal(schedule_left(schedule), 1);
}

static void the_cursor_moves_over_what_is_finished_alone(void **state) {
    struct schedule *schedule = *state;
    struct item *item[7];
    for (uint64_t seq = 1; seq <= 6; seq++)
        add(schedule, seq, seq);
    schedule_skip(schedule, 7, place_of(7), place_of(8));
    for (int i = 1; i <= 6; i++)
        item[i] = schedule_next(schedule, NOON);
    schedule_finish(schedule, item[1], RESULT_DONE, NOON);
    schedule_finish(schedule, item[3], RESULT_DONE, NOON);
    schedule_finish(schedule, item[4], RESULT_DONE, NOON);
    schedule_finish(schedule, item[5], RESULT_FAILED, NOON);
    assert_true(schedule_save(schedule, &cursor));
    assert_false(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.seq, 1);
    assert_int_equal(cursor.place.offset, 200);
    assert_int_equal(cursor.done_count, 2);
    assert_int_equal(cursor.done[0].first, 3);
    assert_int_equal(cursor.done[0].last, 4);
    assert_int_equal(cursor.done[1].first, 7);
    assert_int_equal(cursor.retry_count, 1);
    assert_int_equal(cursor.retry[0].seq, 5);
    assert_int_equal(cursor.retry[0].due, NOON / SECOND + 1);

    /* And another process takes it up there. */
    struct schedule *other = schedule_new(RETRIES);
    for (uint64_t seq = 2; seq <= 7; seq++)
        schedule_add(other, &cursor, seq, place_of(seq), place_of(seq + 1), seq);
    assert_int_equal(schedule_left(other), 3);
    assert_int_equal(schedule_next(other, NOON)->seq, 2);
    assert_int_equal(schedule_next(other, NOON)->seq, 6);
    assert_null(schedule_next(other, NOON));
    assert_int_equal(schedule_next(other, NOON + SECOND)->attempts, 2);
    schedule_free(other);
}

static void a_full_schedule_goes_round(void **state) {
    struct schedule *schedule = *state;
    uint64_t seq = 1;
    for (int round = 0; round < 3; round++) {
        while (!schedule_is_full(schedule)) {
            add(schedule, seq, seq);
            seq++;
        }
        struct item *item;
        for (int i = 0; i < 2000 && (item = schedule_next(schedule, NOON)) != NULL; i++)
            schedule_finish(schedule, item, RESULT_DONE, NOON);
        assert_int_equal(schedule_left(schedule), SCHEDULE_MAX - 2000);
        assert_true(schedule_save(schedule, &cursor));
        assert_int_equal(cursor.seq, 2000 * (round + 1));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_of_one_device_run_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_tried_again_by_the_schedule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_hopeless_is_given_up_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_interrupted_run_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cursor_moves_over_what_is_finished_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_schedule_goes_round, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
