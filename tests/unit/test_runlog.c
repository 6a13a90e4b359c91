/* The log file of an unattended runner: it stays small, and lines stay whole. */
#include "support.h"

#include "apart.h"
#include "options.h"
#include "runlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 65536
#define NAME "cursors/on-event.log"

static int set_up(void **state) {
    return make_directory(state) != 0 || mkdir(path_in(*state, "cursors"), 0700) != 0;
}

static void redirect(const char *directory, const char *name) {
    dup2(open(path_in(directory, name), O_RDWR | O_APPEND | O_CREAT, 0600), STDERR_FILENO);
}

/* Writes numbered lines of 16 bytes, `size` bytes in all, and limits the file. */
static void write_lines(size_t size) {
    static char text[2 * LIMIT + 1];
    for (size_t at = 0; at < size; at += 16)
        snprintf(text + at, sizeof text - at, "%015zu\n", at / 16);
    if (write(STDERR_FILENO, text, size) == (ssize_t)size)
        runlog_limit();
}

static int fill(void *context) {
    redirect(context, NAME);
    runlog_start(context, "on-event");
    write_lines(LIMIT);
    struct stat status;
    if (!runlog_is_used() || fstat(STDERR_FILENO, &status) != 0 || status.st_size != LIMIT)
        return 1; /* its limit */
    write_lines(16);
    problem("said");
    return 0;
}

static void the_newer_half_stays(void **state) {
    size_t length;
    assert_int_equal(run_apart(fill, *state)->status, 0);
    char *text = read_file(path_in(*state, NAME), &length);
    assert_in_range(length, LIMIT / 2 - 16, LIMIT / 2 + 64);
    assert_memory_equal(text, "000000000002050\n", 16); /* the first whole line of it */
    const char *end = strstr(text, "000000000004095\n000000000000000\n");
    assert_non_null(end);
    assert_non_null(strstr(end, "Z doorpost: said\n")); /* with a timestamp */
    free(text);
}

static int start_with_much(void *context) {
    redirect(context, NAME);
    write_lines(2 * LIMIT); /* not yet seen by this process */
    runlog_start(context, "on-event");
    return 0;
}

static void the_log_of_an_earlier_runner_is_limited_too(void **state) {
    size_t length;
    assert_int_equal(run_apart(start_with_much, *state)->status, 0);
    free(read_file(path_in(*state, NAME), &length));
    assert_in_range(length, LIMIT / 2 - 16, LIMIT / 2);
}

/* If an operator redirects standard error, that file gets everything. */
static int write_elsewhere(void *context) {
    redirect(context, "elsewhere");
    runlog_start(context, "on-event");
    write_lines(2 * LIMIT);
    problem("said");
    return runlog_is_used();
}

static void another_file_is_left_alone(void **state) {
    size_t length;
    write_file(path_in(*state, NAME), "", 0, 0600);
    assert_int_equal(run_apart(write_elsewhere, *state)->status, 0);
    char *text = read_file(path_in(*state, "elsewhere"), &length);
    assert_int_equal(length, 2 * LIMIT + strlen("doorpost: said\n"));
    free(text);
    assert_int_equal(unlink(path_in(*state, NAME)), 0);
    assert_int_equal(symlink("../elsewhere", path_in(*state, NAME)), 0); /* a link is not the file itself */
    assert_int_equal(run_apart(write_elsewhere, *state)->status, 0);
}

#define RUNLOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        RUNLOG_TEST(the_newer_half_stays),
        RUNLOG_TEST(the_log_of_an_earlier_runner_is_limited_too),
        RUNLOG_TEST(another_file_is_left_alone),
    };
    return cmocka_run_group_tests_name("runlog", tests, NULL, NULL);
}
