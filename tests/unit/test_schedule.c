/* What is run when: order, retries, and what the cursor moves past. With a simulated clock. */
#include "support.h"

#include <string.h>

#include "ring.h"
#include "schedule.h"

#define NOON (INT64_C(1771070400) * SECOND)

static struct cursor cursor;

static struct position place_of(uint64_t seq) {
    return (struct position){.day = 20000, .offset = seq * 100};
}

static struct item item_of(uint64_t seq, uint64_t order) {
    return (struct item){.seq = seq, .position = place_of(seq), .order = order};
}

static struct mark end_of(uint64_t seq) {
    return (struct mark){.position = place_of(seq + 1), .seq = seq};
}

static void add(struct schedule *schedule, uint64_t seq, uint64_t order) {
    struct item item = item_of(seq, order);
    struct mark end = end_of(seq);
    schedule_add(schedule, &cursor, &item, &end);
}

static void pass_over(struct schedule *schedule, uint64_t seq) {
    struct mark end = end_of(seq);
    schedule_skip(schedule, seq, &end);
}

static int set_up(void **state) {
    memset(&cursor, 0, sizeof cursor);
    *state = schedule_new();
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

static void a_failure_is_retried_by_the_schedule(void **state) {
    static const int seconds[] = {1, 5, 30, 120, 600, 3600};
    struct schedule *schedule = *state;
    int64_t now = NOON;
    add(schedule, 1, 7);
    add(schedule, 2, 7); /* of the same device: waits as long */
    for (int attempt = 0; attempt < 6; attempt++) {
        struct item *item = schedule_next(schedule, now);
        assert_int_equal(item->seq, 1);
        assert_int_equal(item->attempts, attempt + 1);
        schedule_finish(schedule, item, RESULT_FAILED, now);
        assert_int_equal(schedule_wait(schedule, now), seconds[attempt] * SECOND);
        assert_null(schedule_next(schedule, now + seconds[attempt] * SECOND - 1));
        now += seconds[attempt] * SECOND;
    }
    struct item *last = schedule_next(schedule, now);
    assert_int_equal(last->attempts, 7);
    schedule_finish(schedule, last, RESULT_GIVEN_UP, now);
    assert_int_equal(schedule_next(schedule, now)->seq, 2);
}

static void an_event_given_up_is_over(void **state) {
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    schedule_finish(schedule, schedule_next(schedule, NOON), RESULT_GIVEN_UP, NOON);
    assert_int_equal(schedule_left(schedule), 0);
}

static void an_interrupted_run_does_not_count(void **state) {
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    schedule_finish(schedule, schedule_next(schedule, NOON), RESULT_INTERRUPTED, NOON);
    struct item *again = schedule_next(schedule, NOON);
    assert_int_equal(again->attempts, 1);
    assert_int_equal(schedule_left(schedule), 1);
}

static void an_event_that_cannot_run_is_postponed_up_to_a_minute(void **state) {
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct schedule *schedule = *state;
    int64_t now = NOON;
    add(schedule, 1, 1);
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++, now += seconds[i - 1] * SECOND) {
        struct item *item = schedule_next(schedule, now);
        assert_int_equal(item->attempts, 1);
        schedule_finish(schedule, item, RESULT_POSTPONED, now);
        assert_int_equal(schedule_wait(schedule, now), seconds[i] * SECOND);
    }
    schedule_save(schedule, &cursor);
    assert_int_equal(cursor.retry_count, 0);
}

/* The clock may be set back during the run, or have been ahead when the cursor was saved. */
static void no_retry_waits_longer_than_its_delay(void **state) {
    static const int seconds[] = {1, 5, 30, 120, 600, 3600, 3600};
    static const int64_t dues[] = {NOON / SECOND + INT64_C(315360000), INT64_C(999999999999999999)};
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    schedule_finish(schedule, schedule_next(schedule, NOON), RESULT_FAILED, NOON);
    int64_t before = NOON - INT64_C(315360000) * SECOND;
    assert_int_equal(schedule_wait(schedule, before), SECOND);
    assert_null(schedule_next(schedule, before));
    assert_non_null(schedule_next(schedule, before + SECOND));
    for (int attempts = 1; attempts <= 7; attempts++) {
        struct schedule *other = schedule_new();
        cursor.retry_count = 1;
        cursor.retry[0].seq = 1;
        cursor.retry[0].attempts = attempts;
        cursor.retry[0].due = dues[attempts % 2];
        add(other, 1, 1);
        assert_null(schedule_next(other, NOON));
        assert_int_equal(schedule_wait(other, NOON), seconds[attempts - 1] * SECOND);
        assert_int_equal(schedule_next(other, NOON + seconds[attempts - 1] * SECOND)->attempts, attempts + 1);
        schedule_save(other, &cursor); /* an attempt in progress keeps the count of those before */
        schedule_free(other);
    }
}

static void the_cursor_stays_before_unverifiable_lines(void **state) {
    struct schedule *schedule = *state;
    pass_over(schedule, 1);
    pass_over(schedule, 0); /* a damaged line */
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 1);
    assert_int_equal(cursor.done_count, 0);
    pass_over(schedule, 3);
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 3);
    schedule_clear(schedule, &(struct mark){.seq = 2});
    assert_false(schedule_save(schedule, &cursor));
    add(schedule, 4, 1);
    assert_int_equal(schedule_find(schedule, &(struct item){.seq = 4})->seq, 4);
    assert_null(schedule_find(schedule, &(struct item){.seq = 4, .identity = 1}));
    assert_null(schedule_find(schedule, &(struct item){.seq = 3}));
}

static void the_cursor_moves_past_finished_events_only(void **state) {
    struct schedule *schedule = *state;
    struct item *item[7];
    for (uint64_t seq = 1; seq <= 6; seq++)
        add(schedule, seq, seq);
    pass_over(schedule, 7);
    for (int i = 1; i <= 6; i++)
        item[i] = schedule_next(schedule, NOON);
    schedule_finish(schedule, item[1], RESULT_DONE, NOON);
    schedule_finish(schedule, item[3], RESULT_DONE, NOON);
    schedule_finish(schedule, item[4], RESULT_DONE, NOON);
    schedule_finish(schedule, item[5], RESULT_FAILED, NOON);
    assert_true(schedule_save(schedule, &cursor));
    assert_false(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 1);
    assert_int_equal(cursor.mark.position.offset, 200);
    assert_int_equal(cursor.done_count, 2);
    assert_int_equal(cursor.done[0].first, 3);
    assert_int_equal(cursor.done[0].last, 4);
    assert_int_equal(cursor.done[1].first, 7);
    assert_int_equal(cursor.retry_count, 1);
    assert_int_equal(cursor.retry[0].seq, 5);
    assert_int_equal(cursor.retry[0].due, NOON / SECOND + 1);

    /* And another process continues there. */
    struct schedule *other = schedule_new();
    for (uint64_t seq = 2; seq <= 7; seq++)
        add(other, seq, seq);
    assert_int_equal(schedule_left(other), 3);
    assert_int_equal(schedule_next(other, NOON)->seq, 2);
    assert_int_equal(schedule_next(other, NOON)->seq, 6);
    assert_null(schedule_next(other, NOON));
    assert_int_equal(schedule_next(other, NOON + SECOND)->attempts, 2);
    schedule_free(other);
}

static void a_full_schedule_wraps_around(void **state) {
    struct schedule *schedule = *state;
    uint64_t seq = 1;
    for (int round = 0; round < 3; round++) {
        while (!schedule_is_full(schedule)) {
            add(schedule, seq, seq);
            seq++;
        }
        struct item *item;
        for (int i = 0; i < 500 && (item = schedule_next(schedule, NOON)) != NULL; i++)
            schedule_finish(schedule, item, RESULT_DONE, NOON);
        assert_int_equal(schedule_left(schedule), SCHEDULE_MAX - 500);
        assert_true(schedule_save(schedule, &cursor));
        assert_int_equal(cursor.mark.seq, 500 * (round + 1));
    }
}

/* However many there are, and however many others fail too. */
static void failures_never_delay_other_events(void **state) {
    struct schedule *schedule = *state;
    uint64_t last = 20 * SCHEDULE_MAX, ran = 0;
    for (uint64_t seq = 1; seq <= last; seq++) {
        schedule_defer(schedule, NOON);
        schedule_release_deferred(schedule);
        assert_false(schedule_is_full(schedule));
        add(schedule, seq, seq % 4 != 0 ? seq : seq % 64);
        for (struct item *item; (item = schedule_next(schedule, NOON)) != NULL;) {
            bool fails = item->order % 4 == 0 && item->order < 64;
            ran += !fails;
            schedule_finish(schedule, item, fails ? RESULT_FAILED : RESULT_DONE, NOON);
        }
    }
    assert_int_equal(ran, last - last / 4);
    assert_int_equal(schedule_left(schedule), last / 4);
    assert_true(schedule_save(schedule, &cursor));
    assert_true(cursor.mark.seq > last - SCHEDULE_MAX);

    /* Then those run too, each device's in order. */
    uint64_t before[64] = {0};
    int64_t now = NOON;
    while (schedule_left(schedule) > 0) {
        struct item *item = schedule_next(schedule, now);
        now += item == NULL ? SECOND : 0;
        if (item == NULL)
            continue;
        assert_true(item->seq > before[item->order]);
        before[item->order] = item->seq;
        schedule_finish(schedule, item, RESULT_DONE, now);
    }
    assert_int_equal(queues_count(schedule_queues(schedule)), 0);
}

/* The cursor stays before a deferred event until that is on the disk, whatever happens to it. */
static void the_cursor_waits_for_deferred_events(void **state) {
    struct schedule *schedule = *state;
    add(schedule, 1, 1);
    add(schedule, 2, 2);
    struct item *first = schedule_next(schedule, NOON), *second = schedule_next(schedule, NOON);
    schedule_finish(schedule, second, RESULT_FAILED, NOON);
    add(schedule, 3, 1);
    for (uint64_t seq = 4; !schedule_is_full(schedule); seq++)
        pass_over(schedule, seq);
    schedule_defer(schedule, NOON + 2 * SECOND);
    assert_int_equal(queues_count(schedule_queues(schedule)), 2); /* what failed is due, and could run */
    assert_true(schedule_is_full(schedule));
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 0);
    first = schedule_find(schedule, &(struct item){.seq = 1, .order = 1});
    schedule_finish(schedule, first, RESULT_FAILED, NOON + 2 * SECOND);
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 0);
    assert_int_equal(cursor.retry_count, 2);
    assert_int_equal(cursor.retry[0].attempts, 1);
    assert_int_equal(schedule_next(schedule, NOON + 3 * SECOND)->seq, 1);
    first = schedule_find(schedule, &(struct item){.seq = 1, .order = 1});
    schedule_finish(schedule, first, RESULT_DONE, NOON + 4 * SECOND);
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, 1);
    schedule_release_deferred(schedule);
    schedule_finish(schedule, schedule_next(schedule, NOON + 4 * SECOND), RESULT_DONE, NOON);
    schedule_finish(schedule, schedule_next(schedule, NOON + 4 * SECOND), RESULT_DONE, NOON);
    assert_int_equal(schedule_left(schedule), 0);
    assert_true(schedule_save(schedule, &cursor));
    assert_int_equal(cursor.mark.seq, SCHEDULE_MAX);
}

static void the_clock_may_be_set_back_while_events_are_deferred(void **state) {
    struct schedule *schedule = *state;
    struct queues *queues = schedule_queues(schedule);
    assert_true(queues_reserve(queues, 3000));
    for (uint64_t seq = 1; seq <= 3000; seq++) {
        struct item item = item_of(seq, seq);
        item.attempts = 1 + (int)(seq % 3);
        item.due = NOON + INT64_C(315360000) * SECOND;
        queues_add(queues, &item, NOON);
    }
    assert_int_equal(schedule_wait(schedule, NOON), SECOND);
    int64_t before = NOON - INT64_C(315360000) * SECOND;
    assert_null(schedule_next(schedule, before));
    assert_int_equal(schedule_wait(schedule, before), SECOND);
    size_t ran = 0;
    for (; schedule_next(schedule, before + 30 * SECOND) != NULL; ran++)
        continue;
    assert_int_equal(ran, 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_of_one_device_run_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_retried_by_the_schedule, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_given_up_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_interrupted_run_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_that_cannot_run_is_postponed_up_to_a_minute, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_retry_waits_longer_than_its_delay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cursor_stays_before_unverifiable_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cursor_moves_past_finished_events_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_schedule_wraps_around, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_never_delay_other_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cursor_waits_for_deferred_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_clock_may_be_set_back_while_events_are_deferred, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
