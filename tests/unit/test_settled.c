/* A consumer reads only lines that are complete and on disk, of the journal that has the name. */
#include "apart.h"
#include "days.h"
#include "disk.h"

#include "settled.h"
#include "timestamp.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 20000
#define NAME "bell"

static struct settled *settled;
static struct settled_line line;
static struct chain_state chain;
static struct reason reason;
static char journal[256], other[256];

static int set_up(void **state) {
    text.length = 0;
    chain = chain_start();
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    snprintf(journal, sizeof journal, "%s/journal", (char *)*state);
    snprintf(other, sizeof other, "%s/other", (char *)*state);
    settled = malloc(sizeof *settled);
    return settled == NULL || mkdir(journal, 0700) != 0 || mkdir(other, 0700) != 0;
}

static int tear_down(void **state) {
    settled_close(settled);
    free(settled);
    return remove_directory(state);
}

static void add_lines(unsigned count) {
    for (; count > 0; count--)
        add_line(&chain, DAY * 86400 * SECOND, "{\"a\":1}");
}

static void write_lines(const char *directory, unsigned count) {
    chain = chain_start();
    add_lines(count);
    write_day(directory, DAY);
}

/* Appends the first `length` bytes of what add_lines() added, and keeps the rest. */
static void append(size_t length) {
    FILE *file = fopen(path_in(journal, "2024-10-04.jsonl"), "a");
    assert_non_null(file);
    assert_int_equal(fwrite(text.bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    text.length -= length;
    memmove(text.bytes, text.bytes + length, text.length);
}

static void open_journal(void) {
    assert_int_equal(settled_open(settled, journal, NAME, CURSOR_LOCK_RUNNER, &reason), 0);
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
}

/* Reads to the end. Returns the number of lines. */
static unsigned read_all(void) {
    unsigned count = 0;
    int result;
    while ((result = settled_next(settled, &line, &reason)) > 0)
        count++;
    assert_int_equal(result, 0);
    assert_false(settled_has_more(settled));
    return count;
}

static void replace_directory(void) {
    char away[sizeof journal + 8];
    snprintf(away, sizeof away, "%s.away", journal);
    assert_int_equal(rename(journal, away), 0);
    assert_int_equal(rename(other, journal), 0);
}

static int lock_in(const char *directory) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int lock = cursor_open_lock(fd, NAME, &reason);
    assert_true(fd >= 0 && lock >= 0);
    assert_int_equal(cursor_lock(lock, CURSOR_LOCK_RUNNER, false, &reason), 0);
    close(fd);
    return lock;
}

/* ---- lines ---- */

static void only_complete_lines_are_read(void **state) {
    (void)state;
    write_lines(journal, 2);
    open_journal();
    assert_int_equal(read_all(), 2);
    assert_int_equal(line.record.seq, 2);
    assert_int_equal(line.end.seq, 2);
    add_lines(2);
    append(text.length - 5);
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
    assert_int_equal(read_all(), 1);
    append(text.length);
    assert_int_equal(read_all(), 0); /* not before the next check */
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
    assert_int_equal(read_all(), 1);
    assert_int_equal(settled->read.seq, 4);
}

static void an_empty_journal_has_no_lines(void **state) {
    (void)state;
    open_journal();
    assert_false(settled->any);
    assert_int_equal(read_all(), 0);
}

static void reading_starts_after_a_mark(void **state) {
    (void)state;
    write_lines(journal, 5);
    open_journal();
    assert_int_equal(settled_next(settled, &line, &reason), 1);
    assert_int_equal(settled_next(settled, &line, &reason), 1);
    struct mark second = line.end;
    assert_int_equal(read_all(), 3);
    settled_start(settled, &second, DAY);
    assert_int_equal(read_all(), 3);
    settled_start(settled, &(struct mark){0}, DAY);
    assert_int_equal(read_all(), 5);
}

static void no_line_is_read_before_it_is_synced(void **state) {
    (void)state;
    write_lines(journal, 2);
    assert_int_equal(settled_open(settled, journal, NAME, CURSOR_LOCK_RUNNER, &reason), 0);
    disk.failing_syncs = 2;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(settled_check(settled, &reason), ERROR_SYSTEM);
        assert_int_equal(read_all(), 0);
        settled_reopen(settled);
        assert_false(settled->foreign);
    }
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
    assert_int_equal(read_all(), 2);
}

static void a_damaged_line_has_no_mark(void **state) {
    (void)state;
    add_lines(1);
    add_text("damage\n", 7);
    write_day(journal, DAY);
    open_journal();
    assert_int_equal(read_all(), 2);
    assert_int_equal(line.scan, SCAN_DAMAGED);
    assert_int_equal(line.end.seq, 0);
    assert_int_equal(settled->read.seq, 1);
}

/* ---- a journal that is edited or replaced ---- */

static void a_line_that_is_gone_is_noticed(void **state) {
    (void)state;
    write_lines(journal, 3);
    open_journal();
    assert_int_equal(read_all(), 3);
    write_lines(journal, 2);
    assert_int_equal(settled_check(settled, &reason), SETTLED_LOST);
    settled_start(settled, &(struct mark){0}, DAY);
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
    assert_int_equal(read_all(), 2);
}

static void a_replaced_directory_is_adopted(void **state) {
    (void)state;
    write_lines(journal, 3);
    write_lines(other, 1);
    open_journal();
    assert_int_equal(read_all(), 3);
    replace_directory();
    assert_int_equal(settled_check(settled, &reason), SETTLED_REPLACED);
    assert_true(settled->foreign);
    settled_start(settled, &(struct mark){0}, DAY);
    assert_false(settled->foreign);
    assert_int_equal(read_all(), 1);
    assert_int_equal(settled_check(settled, &reason), SETTLED_SAME);
}

static int check_taken(void *context) {
    (void)context;
    if (settled_open(settled, journal, NAME, CURSOR_LOCK_RUNNER, &reason) != 0)
        return 1;
    replace_directory();
    if (settled_check(settled, &reason) != SETTLED_TAKEN || !settled->foreign)
        return 2;
    puts(reason.text);
    return 0;
}

static void the_new_directory_may_have_a_consumer_already(void **state) {
    char expected[128];
    (void)state;
    int lock = lock_in(other);
    const struct ending *ending = run_apart(check_taken, NULL);
    close(lock);
    assert_int_equal(ending->status, 0);
    snprintf(expected, sizeof expected, NAME " is already running, as process %d\n", getpid());
    assert_string_equal(ending->out, expected);
    open_journal();
}

static int open_again(void *context) {
    (void)context;
    return settled_open(settled, journal, NAME, CURSOR_LOCK_RUNNER, &reason) == ERROR_TIMEOUT ? 0 : 1;
}

static void a_consumer_runs_once(void **state) {
    (void)state;
    open_journal();
    assert_int_equal(run_apart(open_again, NULL)->status, 0);
}

#define SETTLED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SETTLED_TEST(only_complete_lines_are_read),
        SETTLED_TEST(an_empty_journal_has_no_lines),
        SETTLED_TEST(reading_starts_after_a_mark),
        SETTLED_TEST(no_line_is_read_before_it_is_synced),
        SETTLED_TEST(a_damaged_line_has_no_mark),
        SETTLED_TEST(a_line_that_is_gone_is_noticed),
        SETTLED_TEST(a_replaced_directory_is_adopted),
        SETTLED_TEST(the_new_directory_may_have_a_consumer_already),
        SETTLED_TEST(a_consumer_runs_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
