/* A consumer's cursor: it is read back as written, damage is reported, and only one process holds its lock.
 */
#include "support.h"

#include "cursor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cursor cursor, read_back;
static struct reason reason;

static int open_journal(void **state) {
    return open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void a_cursor_is_read_back_as_written(void **state) {
    int journal = open_journal(state);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 0);
    memset(&cursor, 0, sizeof cursor);
    cursor.mark = (struct mark){.position = {.day = 20780, .offset = INT64_C(1) << 40},
                                .seq = 999999999999,
                                .chain = "0123456789abcdef0123456789abcdef",
                                .received_at = "2026-11-23T12:00:00.123456Z"};
    cursor.highest = cursor.mark.seq + 1;
    for (; cursor.done_count < CURSOR_RANGES; cursor.done_count++) {
        cursor.done[cursor.done_count].first = cursor.mark.seq + 3 * cursor.done_count + 2;
        cursor.done[cursor.done_count].last = cursor.mark.seq + 3 * cursor.done_count + 3;
    }
    for (; cursor.retry_count < CURSOR_RETRIES; cursor.retry_count++) {
        cursor.retry[cursor.retry_count].seq = cursor.mark.seq + 3 * cursor.retry_count + 1;
        cursor.retry[cursor.retry_count].attempts = 6;
        cursor.retry[cursor.retry_count].due = 1795420800;
    }
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 1);
    assert_memory_equal(&cursor, &read_back, sizeof cursor);
    assert_true(cursor_has_done(&cursor, cursor.mark.seq + 2));
    assert_true(cursor_has_done(&cursor, cursor.mark.seq + 3));
    assert_false(cursor_has_done(&cursor, cursor.mark.seq + 4));
    close(journal);
}

/* Each differs in one detail from what we write. */
static void damage_is_reported(void **state) {
#define MARK "\"day\":\"2026-02-03\",\"offset\":5,\"seq\":1"
#define LISTS ",\"done\":[],\"retry\":[]}"
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "5",
        "{" MARK LISTS "x",
        "{" MARK LISTS "{}",
        "{\"day\":5}",
        "{" MARK "}",
        "{\"day\":null,\"offset\":5,\"seq\":1" LISTS,
        "{\"day\":\"2026-02-30\",\"offset\":5,\"seq\":1" LISTS,
        "{\"day\":\"2026-02-03\",\"seq\":1" LISTS,
        "{\"day\":\"2026-02-03\",\"offset\":-5,\"seq\":1" LISTS,
        "{\"day\":\"2026-02-03\",\"offset\":\"5\",\"seq\":1" LISTS,
        "{\"day\":\"2026-02-03\",\"offset\":5.5,\"seq\":1" LISTS,
        "{\"day\":\"2026-02-03\",\"offset\":5,\"seq\":1e30" LISTS,
        "{\"day\":\"2026-02-03\",\"offset\":99999999999999999999999,\"seq\":1" LISTS,
        "{" MARK ",\"chain\":\"12\"" LISTS,
        "{" MARK ",\"chain\":null" LISTS,
        "{" MARK ",\"chain\":\"0123456789abcdef0123456789abcdeF\"" LISTS,
        "{" MARK ",\"received_at\":\"2026-02-30T12:00:00.123456Z\"" LISTS,
        "{" MARK ",\"received_at\":\"yesterday\"" LISTS,
        "{" MARK ",\"highest\":-1" LISTS,
        "{" MARK ",\"done\":[1],\"retry\":[]}",
        "{" MARK ",\"done\":{},\"retry\":[]}",
        "{" MARK ",\"done\":[[5]],\"retry\":[]}",
        "{" MARK ",\"done\":[[5,4]],\"retry\":[]}",
        "{" MARK ",\"done\":[[\"5\",6]],\"retry\":[]}",
        "{" MARK ",\"done\":[[-1,6]],\"retry\":[]}",
        "{" MARK ",\"done\":[],\"retry\":{}}",
        "{" MARK ",\"done\":[],\"retry\":[[1,2]]}",
        "{" MARK ",\"done\":[],\"retry\":[[1,0,0]]}",
        "{" MARK ",\"done\":[],\"retry\":[[1,-3,0]]}",
        "{" MARK ",\"done\":[],\"retry\":[[1,4294967297,0]]}",
        "{" MARK ",\"done\":[],\"retry\":[[1,1,-9]]}",
        "{" MARK ",\"done\":[],\"retry\":[[1,1,null]]}",
    };
    static char text[2 * CURSOR_RANGES * 48];
    int journal = open_journal(state);
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    for (size_t i = 0; i <= sizeof texts / sizeof *texts + 1; i++) {
        size_t length;
        if (i < sizeof texts / sizeof *texts)
            length = (size_t)snprintf(text, sizeof text, "%s", texts[i]);
        else {
            length = i % 2 == 0 ? 5000 : sizeof text; /* nested too deep, and too long */
            memset(text, '[', length);
        }
        write_file(path_in(*state, "cursors/bell"), text, length, 0600);
        assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), ERROR_DAMAGED);
        assert_non_null(strstr(reason.text, "cursors/bell is damaged: delete it"));
    }
    close(journal);
}

static void anything_but_a_file_is_refused_without_waiting(void **state) {
    int journal = open_journal(state);
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    assert_int_equal(mkdir(path_in(*state, "cursors/folder"), 0700), 0);
    assert_int_equal(mkfifo(path_in(*state, "cursors/pipe"), 0600), 0);
    assert_int_equal(symlink("loop", path_in(*state, "cursors/loop")), 0);
    assert_int_equal(cursor_read(journal, "folder", &read_back, &reason), ERROR_DAMAGED);
    assert_non_null(strstr(reason.text, "cursors/folder is not a regular file"));
    assert_int_equal(cursor_read(journal, "pipe", &read_back, &reason), ERROR_DAMAGED);
    assert_int_equal(cursor_read(journal, "loop", &read_back, &reason), ERROR_DAMAGED);
    assert_int_equal(mkfifo(path_in(*state, "cursors/bell.spare"), 0600), 0);
    assert_int_equal(cursor_reserve(journal, "bell", &cursor, 1, &reason), ERROR_SYSTEM);
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), ERROR_SYSTEM);
    close(journal);
}

static void a_cursor_of_an_earlier_release_is_read(void **state) {
    int journal = open_journal(state);
    static const char text[] = "{" MARK ",\"done\":[[4,5],[2,2]],\"retry\":[[3,2,1795420800]]}\n";
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    write_file(path_in(*state, "cursors/bell"), text, strlen(text), 0600);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 1);
    assert_int_equal(read_back.mark.seq, 1);
    assert_string_equal(read_back.mark.chain, "");
    assert_true(cursor_has_done(&read_back, 2) && !cursor_has_done(&read_back, 3));
    assert_int_equal(cursor_highest(&read_back), 5);
    close(journal);
}

static int count(void *context, const char *name) {
    assert_string_equal(name, "bell");
    ++*(int *)context;
    return 0;
}

/* A cursor fits into the space reserved for it, and the reserved file is not listed as a consumer. */
static void space_is_reserved_and_used(void **state) {
    int journal = open_journal(state), found = 0;
    struct stat spare, used;
    memset(&cursor, 0, sizeof cursor);
    cursor.mark.position.day = 20000;
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    assert_int_equal(cursor_reserve(journal, "bell", &cursor, 64, &reason), 0);
    assert_int_equal(fstatat(journal, "cursors/bell.spare", &spare, 0), 0);
    for (; cursor.done_count < 64; cursor.done_count++)
        cursor.done[cursor.done_count].first = cursor.done[cursor.done_count].last = 999999999999999999;
    for (; cursor.retry_count < 64; cursor.retry_count++)
        cursor.retry[cursor.retry_count].seq = 999999999999999999,
        cursor.retry[cursor.retry_count].attempts = 9;
    assert_int_equal(cursor_each(journal, count, &found, &reason), 0);
    assert_int_equal(found, 1);
    assert_int_equal(cursor_write(journal, "bell", &cursor, &reason), 0);
    assert_int_equal(fstatat(journal, "cursors/bell", &used, 0), 0);
    assert_true(spare.st_ino == used.st_ino && used.st_size <= spare.st_size);
    assert_int_equal(cursor_read(journal, "bell", &read_back, &reason), 1);
    assert_int_equal(cursor_reserve(journal, "bell", &cursor, 64, &reason), 0);
    cursor_release(journal, "bell");
    assert_int_equal(fstatat(journal, "cursors/bell.spare", &spare, 0), -1);
    close(journal);
}

static void a_cursor_is_created_once_at_the_end(void **state) {
    struct directory directory;
    struct deadline deadline = {.at = monotonic_now() + 60 * SECOND};
    write_file(path_in(*state, "2026-11-23.jsonl"), "12345\n", 6, 0600);
    directory_start(&directory, *state);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cursor_create(&directory, "bell", NULL, &deadline, &reason), 0);
        assert_int_equal(cursor_read(directory.fd, "bell", &read_back, &reason), 1);
        assert_int_equal(read_back.mark.position.offset, 6);
        write_file(path_in(*state, "2026-11-23.jsonl"), "12345\n123456\n", 13, 0600);
    }
    cursor.mark = (struct mark){.position = {.day = 20000, .offset = 5}};
    assert_int_equal(cursor_create(&directory, "bell", &cursor, &deadline, &reason), 0);
    assert_int_equal(cursor_read(directory.fd, "bell", &read_back, &reason), 1);
    assert_int_equal(read_back.mark.position.offset, 6);
    assert_int_equal(cursor_create(&directory, "other", &cursor, &deadline, &reason), 0);
    assert_int_equal(cursor_read(directory.fd, "other", &read_back, &reason), 1);
    assert_int_equal(read_back.mark.position.offset, 5);
    assert_int_equal(mkdir(path_in(*state, "cursors/third.new"), 0700), 0);
    assert_int_equal(cursor_create(&directory, "third", NULL, &deadline, &reason), ERROR_SYSTEM);
    assert_int_equal(cursor_read(directory.fd, "third", &read_back, &reason), 0);
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
        cmocka_unit_test_setup_teardown(a_cursor_is_read_back_as_written, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(damage_is_reported, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(anything_but_a_file_is_refused_without_waiting, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_cursor_of_an_earlier_release_is_read, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(space_is_reserved_and_used, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_cursor_is_created_once_at_the_end, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(one_process_holds_a_lock, make_directory, remove_directory),
        cmocka_unit_test(names_cannot_leave_their_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
