/* How long an event waits, whatever the clock says, and how often it was tried. */
#include "support.h"

#include "item.h"
#include "ring.h"

#define NOON (INT64_C(1771070400) * SECOND)
#define A_YEAR (INT64_C(31536000) * SECOND)

static void an_event_never_tried_does_not_wait(void **state) {
    struct item item = {.due = NOON + A_YEAR};
    (void)state;
    assert_true(item_time_left(&item, NOON) <= 0);
}

static void nothing_waits_longer_than_its_delay(void **state) {
    static const struct {
        int attempts;
        int64_t wait, due, left; /* relative to NOON */
    } cases[] = {{1, 0, SECOND, SECOND},
                 {1, 0, A_YEAR, SECOND},
                 {3, 0, 29 * SECOND, 29 * SECOND},
                 {3, 0, A_YEAR, 30 * SECOND},
                 {6, 0, A_YEAR, 3600 * SECOND},
                 {7, 0, A_YEAR, 3600 * SECOND}, /* there is no seventh delay */
                 {1000000, 0, A_YEAR, 3600 * SECOND},
                 {0, 16 * SECOND, A_YEAR, 16 * SECOND},
                 {6, 2 * SECOND, A_YEAR, 2 * SECOND}, /* it was postponed, and postponements count */
                 {1, 0, 0, 0},
                 {1, 0, -A_YEAR, -A_YEAR}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item item = {.attempts = cases[i].attempts, .wait = cases[i].wait, .due = NOON + cases[i].due};
        assert_int_equal(item_time_left(&item, NOON), cases[i].left);
    }
}

static void a_running_attempt_has_not_ended(void **state) {
    static const enum item_state states[] = {ITEM_WAITING, ITEM_RUNNING, ITEM_DEFERRED, ITEM_DONE};
    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct item item = {.attempts = 3, .state = states[i]};
        assert_int_equal(item_tried(&item), states[i] == ITEM_RUNNING ? 2 : 3);
    }
}

/* Ring's schedule, and the retention that follows from it. */
static void a_delivery_can_be_as_late_as_all_retries_and_three_days(void **state) {
    int64_t seconds = 0;
    (void)state;
    for (int i = 0; i < RING_RETRIES; i++) {
        assert_true(i == 0 || ring_retry_after[i] > ring_retry_after[i - 1]);
        seconds += ring_retry_after[i];
    }
    assert_int_equal(seconds, 1 + 5 + 30 + 120 + 600 + 3600);
    assert_true(RING_LATEST_SECONDS >= 3600 + 72 * 3600);
    assert_true(RING_LATEST_DAYS * 86400 >= seconds + 72 * 3600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_never_tried_does_not_wait),
        cmocka_unit_test(nothing_waits_longer_than_its_delay),
        cmocka_unit_test(a_running_attempt_has_not_ended),
        cmocka_unit_test(a_delivery_can_be_as_late_as_all_retries_and_three_days),
    };
    return cmocka_run_group_tests_name("item", tests, NULL, NULL);
}
