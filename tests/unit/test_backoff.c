/* A persistent error is logged once an hour, and retried after a delay that doubles up to a minute or a
 * limit. */
#include "support.h"

#include "apart.h"
#include "backoff.h"
#include "timestamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now;

int clock_gettime(clockid_t clock, struct timespec *out) {
    (void)clock;
    *out = (struct timespec){.tv_sec = now / SECOND, .tv_nsec = now % SECOND * 1000};
    return 0;
}

static int fail_repeatedly(void *context) {
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct backoff backoff = {0};
    struct reason reason = {"the disk is full"};
    (void)context;
    now = 5000 * SECOND;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
            backoff_start(&backoff, &reason, ": waiting");
            if (backoff.again != now + seconds[i] * SECOND)
                return 1 + (int)i;
            now = backoff.again;
        }
        backoff_clear(&backoff);
        if (backoff.again != 0)
            return 100;
    }
    return 0;
}

static void the_delay_doubles_up_to_a_minute_until_success(void **state) {
    (void)state;
    const struct ending *ending = run_apart(fail_repeatedly, NULL);
    assert_int_equal(ending->status, 0);
    assert_string_equal(ending->said, "doorpost: the disk is full: waiting\n");
}

static int fail_with_a_limit(void *context) {
    static const int seconds[] = {1, 2, 4, 5, 5};
    struct backoff backoff = {.longest = 5 * SECOND};
    struct reason reason = {"the database is away"};
    (void)context;
    now = 5000 * SECOND;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        backoff_start(&backoff, &reason, "");
        if (backoff.again != now + seconds[i] * SECOND)
            return 1 + (int)i;
        now = backoff.again;
    }
    backoff_clear(&backoff);
    return backoff.longest == 5 * SECOND ? 0 : 100;
}

static void or_up_to_a_limit_of_its_own(void **state) {
    (void)state;
    assert_int_equal(run_apart(fail_with_a_limit, NULL)->status, 0);
}

static int report_at_times(void *context) {
    static const struct {
        int64_t at;
        const char *reason;
    } cases[] = {{0, "one"},    {1, "one"},    {3599, "one"}, {3600, "one"},
                 {3601, "one"}, {3602, "two"}, {3603, "one"}};
    struct backoff backoff = {0};
    char consequence[16];
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reason reason;
        now = cases[i].at * SECOND;
        explain(&reason, "%s", cases[i].reason);
        snprintf(consequence, sizeof consequence, ": at %d", (int)cases[i].at);
        backoff_report(&backoff, &reason, consequence);
    }
    return 0;
}

static void the_same_error_is_logged_hourly_and_another_at_once(void **state) {
    (void)state;
    assert_string_equal(
        run_apart(report_at_times, NULL)->said,
        "doorpost: one: at 0\ndoorpost: one: at 3600\ndoorpost: two: at 3602\ndoorpost: one: at 3603\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_delay_doubles_up_to_a_minute_until_success),
        cmocka_unit_test(or_up_to_a_limit_of_its_own),
        cmocka_unit_test(the_same_error_is_logged_hourly_and_another_at_once),
    };
    return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
