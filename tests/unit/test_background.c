/* The background thread: runs one job at a time, and signals its end once. */
#include "support.h"

#include "background.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static int set_up(void **state) {
    *state = background_start();
    return *state == NULL;
}

static int tear_down(void **state) {
    background_stop(*state);
    return 0;
}

static bool can_be_read(const struct background *background, int milliseconds) {
    struct pollfd file = {.fd = background_fd(background), .events = POLLIN};
    return poll(&file, 1, milliseconds) == 1;
}

/* A job that lasts until a byte is written. */
struct work {
    int let_go[2];
    int turns;
    pthread_t thread;
    sigset_t blocked;
};

static void wait_for_it(void *context) {
    struct work *work = context;
    char byte;
    work->thread = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &work->blocked);
    work->turns += read(work->let_go[0], &byte, 1) == 1;
}

static void the_main_thread_continues_meanwhile(void **state) {
    struct background *background = *state;
    struct work work = {.turns = 0};
    assert_int_equal(pipe(work.let_go), 0);
    assert_false(background_ended(background, false));
    background_begin(background, wait_for_it, &work);
    assert_false(background_ended(background, false));
    assert_false(can_be_read(background, 0));
    assert_int_equal(write(work.let_go[1], "x", 1), 1);
    assert_true(can_be_read(background, -1));
    assert_true(background_ended(background, true));
    assert_int_equal(work.turns, 1);
    assert_false(pthread_equal(work.thread, pthread_self()));
    close(work.let_go[0]);
    close(work.let_go[1]);
}

static void the_end_of_a_job_is_signalled_once(void **state) {
    struct background *background = *state;
    struct work work = {.turns = 0};
    assert_int_equal(pipe(work.let_go), 0);
    for (int turn = 1; turn <= 100; turn++) {
        background_begin(background, wait_for_it, &work);
        assert_int_equal(write(work.let_go[1], "x", 1), 1);
        if (turn % 2 == 0)
            assert_true(background_ended(background, true));
        else
            while (!background_ended(background, false))
                sched_yield();
        assert_int_equal(work.turns, turn);
        assert_false(background_ended(background, false));
        assert_false(can_be_read(background, 0));
    }
    close(work.let_go[0]);
    close(work.let_go[1]);
}

/* Signals must interrupt the main thread's waits. */
static void no_signal_is_delivered_to_the_thread(void **state) {
    static const int signals[] = {SIGALRM, SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    struct work work = {.turns = 0};
    sigset_t mine;
    assert_int_equal(pipe(work.let_go), 0);
    assert_int_equal(write(work.let_go[1], "x", 1), 1);
    background_begin(*state, wait_for_it, &work);
    assert_true(background_ended(*state, true));
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        assert_int_equal(sigismember(&work.blocked, signals[i]), 1);
        assert_int_equal(sigismember(&mine, signals[i]), 0);
    }
    close(work.let_go[0]);
    close(work.let_go[1]);
}

static void stopping_without_a_thread_is_allowed(void **state) {
    (void)state;
    background_stop(NULL);
}

#define BACKGROUND_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        BACKGROUND_TEST(the_main_thread_continues_meanwhile),
        BACKGROUND_TEST(the_end_of_a_job_is_signalled_once),
        BACKGROUND_TEST(no_signal_is_delivered_to_the_thread),
        cmocka_unit_test(stopping_without_a_thread_is_allowed),
    };
    return cmocka_run_group_tests_name("background", tests, NULL, NULL);
}
