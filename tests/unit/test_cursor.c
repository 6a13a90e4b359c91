/* A consumer's place: what is written is read, what is damaged is told, and one process holds a lock. */
#include "support.h"

#include "cursor.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cursor cursor, read_back;
static struct reason reason;

static int open_journal(void **state) {
    return open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void what_is_written_is_read(void **state) {
    int journal = open_journal(state);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 0);
    memset(&cursor, 0, sizeof cursor);
    cursor.place = (struct place){.day = 20780, .offset = INT64_C(1) << 40};
    cursor.seq = 999999999999;
    for (; cursor.done_count < CURSOR_RANGES; cursor.done_count++) {
        cursor.done[cursor.done_count].first = cursor.seq + 3 * cursor.done_count + 2;
        cursor.done[cursor.done_count].last = cursor.seq + 3 * cursor.done_count + 3;
    }
    for (; cursor.retry_count < CURSOR_RETRIES; cursor.retry_count++) {
        cursor.retry[cursor.retry_count].seq = cursor.seq + 3 * cursor.retry_count + 1;
        cursor.retry[cursor.retry_count].attempts = 6;
        cursor.retry[cursor.retry_count].due = 1795420800;
    }
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 1);
    assert_memory_equal(&cursor, &read_back, sizeof cursor);
    assert_true(cursor_has_done(&cursor, cursor.seq + 2));
    assert_true(cursor_has_done(&cursor, cursor.seq + 3));
    assert_false(cursor_has_done(&cursor, cursor.seq + 4));
    close(journal);
}

static void what_is_damaged_is_told(void **state) {
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{\"day\":5}",
                                        "{\"day\":\"2026-02-30\",\"done\":[],\"retry\":[]}",
                                        "{\"day\":\"2026-02-03\",\"done\":[1],\"retry\":[]}",
                                        "{\"day\":\"2026-02-03\",\"done\":[],\"retry\":{}}"};
    int journal = open_journal(state);
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_file(path_in(*state, "cursors/bell"), texts[i], strlen(texts[i]), 0600);
        assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), ERROR_DAMAGED);
        assert_non_null(strstr(reason.text, "cursors/bell is damaged: delete it"));
    }
    close(journal);
}

static void a_cursor_is_made_once_and_at_the_end(void **state) {
    struct directory directory;
    struct deadline deadline = {.at = monotonic_now() + 60 * SECOND};
    write_file(path_in(*state, "2026-11-23.jsonl"), "12345\n", 6, 0600);
    directory_start(&directory, *state);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cursor_create(&directory, "bell", &deadline, &reason), 0);
        assert_int_equal(cursor_read(directory.file, "bell", &read_back, &reason), 1);
        assert_int_equal(read_back.place.offset, 6);
        write_file(path_in(*state, "2026-11-23.jsonl"), "12345\n123456\n", 13, 0600);
    }
    directory_close(&directory);
}

static void one_process_holds_a_lock(void **state) {
    int journal = open_journal(state), status;
    int lock = cursor_open_lock(journal, "bell", &reason);
    assert_int_equal(cursor_lock(lock, CURSOR_LOCK_RUNNER, false, &reason), 0);
    pid_t child = fork();
    if (child == 0) {
        int other = cursor_open_lock(journal, "bell", &reason);
        bool good = cursor_lock(other, CURSOR_LOCK_RUNNER, false, &reason) == ERROR_TIMEOUT &&
                    cursor_holder(other, CURSOR_LOCK_RUNNER) == getppid() &&
                    cursor_holder(other, CURSOR_LOCK_FAILED) == 0 &&
                    cursor_lock(other, CURSOR_LOCK_FAILED, false, &reason) == 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(lock);
    close(journal);
}

static void names_cannot_leave_their_directory(void **state) {
    static const char *const bad[] = {"", ".", "..", "a/b", "a.lock", "a b", "\xc3\xa4"};
    char longest[CURSOR_NAME_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cursor_name_is_good(bad[i]));
    memset(longest, 'a', sizeof longest);
    longest[CURSOR_NAME_SIZE] = '\0';
    assert_false(cursor_name_is_good(longest));
    assert_true(cursor_name_is_good(longest + 1));
    assert_true(cursor_name_is_good("on-event_2"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(what_is_damaged_is_told, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_cursor_is_made_once_and_at_the_end, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(one_process_holds_a_lock, make_directory, remove_directory),
        cmocka_unit_test(names_cannot_leave_their_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
