/* The lists of failures: no entry is lost, and a damaged entry does not affect the others. */
#include "support.h"

#include "apart.h"
#include "cursor.h"
#include "failed.h"
#include "replace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory, lock;
static struct reason reason;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lock = replace_prepare(directory, NULL) == 0 ? cursor_open_lock(directory, "bell", NULL) : -1;
    return lock < 0;
}

static int tear_down(void **state) {
    close(lock);
    close(directory);
    return remove_directory(state);
}

static struct failure failure_of(uint64_t seq) {
    return (struct failure){.seq = seq,
                            .position = {.day = 20780, .offset = seq * 1000},
                            .event_id = "event",
                            .how = "exit status 1",
                            .output = "",
                            .attempts = 7,
                            .at = INT64_C(1795435200123456)};
}

static void add(uint64_t seq, int attempts) {
    struct failure failure = failure_of(seq);
    failure.attempts = attempts;
    assert_int_equal(failed_add(directory, lock, "bell", &failure, &reason), 0);
}

/* Records each as seq:attempts. */
static void note(void *context, const struct failure *failure) {
    char *list = context;
    snprintf(list + strlen(list), 256 - strlen(list), "%u:%d ", (unsigned)failure->seq, failure->attempts);
}

static const char *listed(void) {
    static char list[256];
    list[0] = '\0';
    assert_true(failed_each(directory, lock, "bell", note, list, &reason) >= 0);
    return list;
}

static void check_same(const struct failure *a, const struct failure *b) {
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->position.day, b->position.day);
    assert_int_equal(a->position.offset, b->position.offset);
    assert_string_equal(a->event_id, b->event_id);
    assert_string_equal(a->how, b->how);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->at, b->at);
    assert_int_equal(a->output_length, b->output_length);
    assert_memory_equal(a->output, b->output, a->output_length);
}

static void compare(void *context, const struct failure *failure) {
    check_same(failure, context);
}

static void entries_are_read_back_as_added(void **state) {
    static const char output[] = "two\nlines, \"quotes\" \\ \x1b[2J \xc3\x9c and a NUL \0 in between";
    char id[513];
    struct failure failure = failure_of(INT64_MAX);
    (void)state;
    memset(id, '\x01', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    failure.event_id = id;
    failure.how = "signal 9 \"killed\"";
    failure.output = output;
    failure.output_length = sizeof output - 1;
    failure.position.offset = INT64_MAX;
    failure.attempts = INT32_MAX;
    assert_int_equal(failed_add(directory, lock, "bell", &failure, &reason), 0);
    assert_int_equal(failed_each(directory, lock, "bell", compare, &failure, &reason), 1);
}

static void an_empty_list_is_no_error(void **state) {
    (void)state;
    assert_int_equal(failed_each(directory, lock, "bell", note, NULL, &reason), 0);
    assert_int_equal(failed_each_recent(directory, "bell", note, NULL, &reason), 0);
    assert_int_equal(failed_remove(directory, lock, "bell", 1, &reason), 0);
}

static void an_entry_with_the_same_number_is_replaced(void **state) {
    (void)state;
    add(1, 7);
    add(12, 7);
    add(2, 7);
    add(112, 7);
    assert_string_equal(listed(), "1:7 12:7 2:7 112:7 ");
    add(12, 8);
    assert_string_equal(listed(), "1:7 2:7 112:7 12:8 ");
    add(1, 9);
    assert_string_equal(listed(), "2:7 112:7 12:8 1:9 ");
}

static void only_the_given_entry_is_removed(void **state) {
    static const struct {
        uint64_t seq;
        const char *left;
    } cases[] = {
        {3, "12:7 1:7 2:7 "}, {11, "12:7 1:7 2:7 "}, {1, "12:7 2:7 "}, {12, "2:7 "}, {2, ""}, {2, ""}};
    (void)state;
    add(12, 7);
    add(1, 7);
    add(2, 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(failed_remove(directory, lock, "bell", cases[i].seq, &reason), 0);
        assert_string_equal(listed(), cases[i].left);
    }
}

static void write_list(void **state, const char *text) {
    write_file(path_in(*state, "cursors/bell.failed"), text, strlen(text), 0600);
}

static int list_apart(void *context) {
    (void)context;
    printf("%s", listed());
    printf("%d lines", failed_each(directory, lock, "bell", NULL, NULL, NULL));
    return 0;
}

#define GOOD(seq) "{\"seq\":" #seq ",\"day\":\"2026-11-23\",\"offset\":8,\"attempts\":7}\n"

/* A member that is only for people may be missing. */
static void a_damaged_line_affects_only_itself_and_stays(void **state) {
    static const char *const damaged[] = {"{\"seq\":1,\"day\":\"2026-11-23\",\"offset\":8,\"attempts\":7\n",
                                          "damage\n",
                                          "[]\n",
                                          "null\n",
                                          "{\"seq\":0,\"day\":\"2026-11-23\",\"offset\":8}\n",
                                          "{\"seq\":-1,\"day\":\"2026-11-23\",\"offset\":8}\n",
                                          "{\"seq\":\"1\",\"day\":\"2026-11-23\",\"offset\":8}\n",
                                          "{\"seq\":1,\"day\":\"2026-11-31\",\"offset\":8}\n",
                                          "{\"seq\":1,\"day\":20260,\"offset\":8}\n",
                                          "{\"seq\":1,\"day\":\"2026-11-23\",\"offset\":-8}\n",
                                          "{\"seq\":1,\"day\":\"2026-11-23\"}\n"};
    char text[512];
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        snprintf(text, sizeof text, GOOD(5) "%s" GOOD(6), damaged[i]);
        write_list(state, text);
        const struct ending *ending = run_apart(list_apart, NULL);
        assert_string_equal(ending->out, "5:7 6:7 3 lines");
        assert_string_equal(ending->said,
                            "doorpost: cursors/bell.failed: line 2 is damaged, and was left unchanged\n");
    }
}

static void a_list_without_its_last_line_break_loses_nothing(void **state) {
    char text[] = GOOD(5);
    text[strlen(text) - 1] = '\0'; /* as some editors leave it */
    write_list(state, text);
    add(6, 1);
    add(7, 1);
    assert_string_equal(listed(), "5:7 6:1 7:1 ");
    write_list(state, text);
    assert_int_equal(failed_remove(directory, lock, "bell", 5, &reason), 0);
    assert_string_equal(listed(), "");
}

static void an_unreadable_list_is_not_taken_for_an_empty_one(void **state) {
    struct failure failure = failure_of(1);
    assert_int_equal(mkdir(path_in(*state, "cursors/bell.failed"), 0700), 0);
    assert_true(failed_each(directory, lock, "bell", note, NULL, &reason) < 0);
    assert_true(failed_add(directory, lock, "bell", &failure, &reason) < 0);
    assert_true(failed_remove(directory, lock, "bell", 1, &reason) < 0);
    assert_true(failed_reserve(directory, lock, "bell", &reason) < 0);
}

static void space_is_reserved_for_a_shorter_list(void **state) {
    struct stat list, spare;
    add(1, 7);
    add(2, 7);
    assert_int_equal(failed_reserve(directory, lock, "bell", &reason), 0);
    assert_int_equal(stat(path_in(*state, "cursors/bell.failed"), &list), 0);
    assert_int_equal(stat(path_in(*state, "cursors/bell.failed.new"), &spare), 0);
    assert_true(spare.st_size >= list.st_size);
    assert_int_equal(failed_remove(directory, lock, "bell", 1, &reason), 0);
    assert_int_equal(stat(path_in(*state, "cursors/bell.failed"), &list), 0);
    assert_int_equal(list.st_ino, spare.st_ino);
}

/* ---- the newest failures ---- */

static const char *recent(void) {
    static char list[256];
    list[0] = '\0';
    assert_true(failed_each_recent(directory, "bell", note, list, &reason) >= 0);
    return list;
}

static void the_newest_failure_of_each_event_is_kept(void **state) {
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        struct failure failure = failure_of(1 + i % 3);
        failure.attempts = (int)i;
        failed_note(directory, "bell", &failure);
    }
    assert_string_equal(recent(), "2:4 3:5 1:6 ");
}

static void the_number_kept_is_limited_and_the_oldest_go(void **state) {
    static char output[1024];
    struct failure failure;
    struct stat status;
    memset(output, '\x01', sizeof output);
    for (uint64_t seq = 1; seq <= 30; seq++) {
        failure = failure_of(seq);
        failure.output = output;
        failure.output_length = sizeof output;
        failed_note(directory, "bell", &failure);
    }
    assert_int_equal(stat(path_in(*state, "cursors/bell.recent"), &status), 0);
    assert_in_range(status.st_size, 65536 - 7000, 65536);
    const char *list = recent();
    assert_null(strstr(list, " 1:7 "));
    assert_string_equal(list + strlen(list) - 10, "29:7 30:7 ");
}

#define FAILED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FAILED_TEST(entries_are_read_back_as_added),
        FAILED_TEST(an_empty_list_is_no_error),
        FAILED_TEST(an_entry_with_the_same_number_is_replaced),
        FAILED_TEST(only_the_given_entry_is_removed),
        FAILED_TEST(a_damaged_line_affects_only_itself_and_stays),
        FAILED_TEST(a_list_without_its_last_line_break_loses_nothing),
        FAILED_TEST(an_unreadable_list_is_not_taken_for_an_empty_one),
        FAILED_TEST(space_is_reserved_for_a_shorter_list),
        FAILED_TEST(the_newest_failure_of_each_event_is_kept),
        FAILED_TEST(the_number_kept_is_limited_and_the_oldest_go),
    };
    return cmocka_run_group_tests_name("failed", tests, NULL, NULL);
}
