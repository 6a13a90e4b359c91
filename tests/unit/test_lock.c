/* The append lock, with a simulated clock: no caller waits past the deadline or gives up before it. */
#include "support.h"

#include "lock.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now, step; /* each look at the clock advances it */
static void (*on_look)(void);

int clock_gettime(clockid_t clock, struct timespec *out) {
    (void)clock;
    now += step;
    *out = (struct timespec){.tv_sec = now / SECOND, .tv_nsec = now % SECOND * 1000};
    if (on_look != NULL)
        on_look();
    return 0;
}

static int fd;
static struct reason reason;

/* A process that holds the lock until `release` is closed. */
static struct {
    pid_t pid;
    int release;
} holder;

static void hold_in_child(void **state) {
    int release[2], held[2];
    char byte;
    assert_int_equal(pipe(release), 0);
    assert_int_equal(pipe(held), 0);
    holder.pid = fork();
    if (holder.pid == 0) {
        struct deadline deadline = {.at = 0};
        close(release[1]);
        int own = open(path_in(*state, "lock"), O_RDWR);
        if (lock_take(own, &deadline, NULL) != 0 || write(held[1], "x", 1) != 1)
            _exit(1);
        while (read(release[0], &byte, 1) > 0)
            continue;
        _exit(0);
    }
    close(release[0]);
    close(held[1]);
    holder.release = release[1];
    assert_int_equal(read(held[0], &byte, 1), 1);
    close(held[0]);
}

static void release_holder(void) {
    int status = -1;
    on_look = NULL;
    close(holder.release);
    while (waitpid(holder.pid, &status, 0) < 0 && errno == EINTR)
        continue;
    assert_int_equal(status, 0);
}

static int set_up(void **state) {
    now = 0;
    step = 0;
    on_look = NULL;
    if (make_directory(state) != 0)
        return -1;
    fd = open(path_in(*state, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0;
}

static int tear_down(void **state) {
    close(fd);
    return remove_directory(state);
}

/* Returns true if the lock excludes another process now. */
static bool excludes(void **state) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fcntl(open(path_in(*state, "lock"), O_RDWR), F_SETLK, &lock) != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

static void a_free_lock_is_taken_at_any_time(void **state) {
    struct deadline past = {.at = -SECOND};
    assert_int_equal(lock_take(fd, &past, &reason), 0);
    assert_true(excludes(state));
    lock_release(fd);
    assert_false(excludes(state));
}

static void a_held_lock_is_awaited_until_the_deadline(void **state) {
    struct deadline deadline = {.at = 4 * SECOND};
    hold_in_child(state);
    step = SECOND;
    assert_int_equal(lock_take(fd, &deadline, &reason), ERROR_TIMEOUT);
    assert_int_equal(now, 4 * SECOND);
    assert_string_equal(reason.text, "timed out waiting for the append lock, which another process holds");
    release_holder();
}

static void a_lock_released_meanwhile_is_taken(void **state) {
    struct deadline deadline = {.at = 4 * SECOND};
    hold_in_child(state);
    on_look = release_holder; /* so this process is already waiting */
    assert_int_equal(lock_take(fd, &deadline, &reason), 0);
    assert_null(on_look);
    assert_true(excludes(state));
}

static void a_stopping_caller_waits_half_a_second_more(void **state) {
    static volatile sig_atomic_t stop_requested;
    static const struct {
        int64_t at;
        sig_atomic_t stop_requested;
        int64_t ends; /* the first look is after one step */
    } cases[] = {{SECOND, 0, SECOND}, {SECOND, 1, 3 * SECOND / 4}, {SECOND / 4, 1, SECOND / 4}};
    hold_in_child(state);
    step = SECOND / 4;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct deadline deadline = {.at = cases[i].at, .stop_requested = &stop_requested};
        now = 0;
        stop_requested = cases[i].stop_requested;
        assert_int_equal(lock_take(fd, &deadline, &reason), ERROR_TIMEOUT);
        assert_int_equal(now, cases[i].ends);
    }
    release_holder();
}

static void no_timer_is_left_running(void **state) {
    struct deadline deadline = {.at = SECOND};
    struct itimerval timer = {.it_value.tv_sec = 1};
    hold_in_child(state);
    step = SECOND;
    assert_int_equal(lock_take(fd, &deadline, &reason), ERROR_TIMEOUT);
    assert_int_equal(getitimer(ITIMER_REAL, &timer), 0);
    assert_int_equal(timer.it_value.tv_sec + timer.it_value.tv_usec + timer.it_interval.tv_usec, 0);
    release_holder();
}

static void what_cannot_be_locked_is_an_error_without_waiting(void **state) {
    struct deadline deadline = {.at = INT64_MAX};
    int read_only = open(path_in(*state, "lock"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(lock_take(read_only, &deadline, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot lock the journal: "));
    close(read_only);
}

#define LOCK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOCK_TEST(a_free_lock_is_taken_at_any_time),
        LOCK_TEST(a_held_lock_is_awaited_until_the_deadline),
        LOCK_TEST(a_lock_released_meanwhile_is_taken),
        LOCK_TEST(a_stopping_caller_waits_half_a_second_more),
        LOCK_TEST(no_timer_is_left_running),
        LOCK_TEST(what_cannot_be_locked_is_an_error_without_waiting),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
