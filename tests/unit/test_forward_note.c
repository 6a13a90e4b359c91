/* What a forwarder writes into its lock file is read back; what anybody else has written there does no harm.
 */
#include "support.h"

#include "cursor.h"
#include "forward_note.h"
#include "timestamp.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AT INT64_C(1795435200123456)
#define COUNTS "forward\n1042 sent, 12 duplicates, 3 errors\n"

static struct forward_note note;
static int lock;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    lock = open(path_in(*state, "lock"), O_RDWR | O_CREAT, 0600);
    return lock < 0;
}

static int tear_down(void **state) {
    close(lock);
    return remove_directory(state);
}

static bool read_text(const char *text, size_t length) {
    assert_int_equal(ftruncate(lock, 0), 0);
    assert_int_equal(pwrite(lock, text, length, 0), length);
    memset(&note, 'x', sizeof note);
    return forward_note_read(lock, &note);
}

#define READ(text) read_text(text, sizeof(text) - 1)

static void check_written(const char *wanted) {
    char text[2048];
    ssize_t length = pread(lock, text, sizeof text - 1, 0);
    assert_true(length >= 0);
    text[length] = '\0';
    assert_string_equal(text, wanted);
}

static void check_note(uint64_t sent, uint64_t duplicates, uint64_t errors, int64_t at, bool failing,
                       const char *error) {
    assert_int_equal(note.sent, sent);
    assert_int_equal(note.duplicates, duplicates);
    assert_int_equal(note.errors, errors);
    assert_int_equal(note.error_at, at);
    assert_int_equal(note.failing, failing);
    assert_string_equal(note.error.text, error);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    struct forward_note written = {0};
    forward_note_write(lock, &written);
    check_written("forward\n0 sent, 0 duplicates, 0 errors\n");
    assert_true(forward_note_read(lock, &note));
    check_note(0, 0, 0, 0, false, "");
    written = (struct forward_note){.sent = UINT64_MAX,
                                    .duplicates = 12,
                                    .errors = 3,
                                    .error_at = AT,
                                    .failing = true,
                                    .error = {"the database refuses: T\xc3\x9cR: no"}};
    forward_note_write(lock, &written);
    assert_true(forward_note_read(lock, &note));
    check_note(UINT64_MAX, 12, 3, AT, true, "the database refuses: T\xc3\x9cR: no");
    written.failing = false;
    written.sent = 1042;
    explain(&written.error, "short");
    forward_note_write(lock, &written);
    check_written(COUNTS
                  "failed at 2026-11-23T12:00:00.123456Z: short\n"); /* nothing is left of the longer one */
    assert_true(forward_note_read(lock, &note));
    check_note(1042, 12, 3, AT, false, "short");
}

static void the_longest_reason_fits(void **state) {
    (void)state;
    struct forward_note written = {
        .sent = UINT64_MAX, .duplicates = UINT64_MAX, .errors = UINT64_MAX, .error_at = AT, .failing = true};
    memset(written.error.text, 'y', sizeof written.error.text - 1);
    forward_note_write(lock, &written);
    assert_true(forward_note_read(lock, &note));
    check_note(UINT64_MAX, UINT64_MAX, UINT64_MAX, AT, true, written.error.text);
}

static void of_a_torn_note_the_whole_lines_count(void **state) {
    (void)state;
    static const char whole[] = COUNTS "failing since 2026-11-23T12:00:00.123456Z: it is full\n";
    for (size_t length = 0; length < sizeof whole; length++) {
        bool found = read_text(whole, length);
        assert_int_equal(found, length >= sizeof "forward\n" - 1);
        if (length < sizeof COUNTS - 1)
            assert_int_equal(note.error_at, 0);
        else
            check_note(1042, 12, 3, note.error_at, note.error_at != 0, note.error.text);
        assert_true(note.error_at == 0 || note.error_at == AT);
        assert_memory_equal(note.error.text, "it is full", strlen(note.error.text));
    }
}

static void another_content_is_no_forwarders(void **state) {
    (void)state;
    assert_false(READ(""));
    assert_false(forward_note_is_foreign(lock));
    assert_false(READ("2                   \nprogram /usr/local/bin/on-press\n"));
    assert_true(forward_note_is_foreign(lock));
    assert_false(READ("forwarder\n"));
    assert_false(READ("\0forward\n"));
    check_note(0, 0, 0, 0, false, "");
}

static void a_foreign_content_does_no_harm(void **state) {
    (void)state;
    assert_true(READ("forward\n-1 sent, x\n"));
    assert_false(forward_note_is_foreign(lock));
    assert_true(READ(COUNTS "failing since yesterday\n"));
    check_note(1042, 12, 3, 0, false, "");
    assert_true(READ(COUNTS "failing since 2026-13-23T12:00:00.123456Z: x\n"));
    check_note(1042, 12, 3, 0, false, "");
    assert_true(READ("forward\n99999999999999999999999 sent, 12 duplicates, 3 errors\n"));
    assert_true(
        READ(COUNTS "failed at 2026-11-23T12:00:00.123456Z: \x1b[2J\xff\xc0\x80 \xe2\x80\xae T\xc3\x9cR\n"));
    check_note(1042, 12, 3, AT, false, "?[2J??? ??? T\xc3\x9cR");
    char text[3000] = COUNTS "failing since 2026-11-23T12:00:00.123456Z: ";
    memset(text + strlen(text), 0xc3, sizeof text - strlen(text) - 1);
    assert_true(read_text(text, sizeof text - 1));
    assert_int_equal(strspn(note.error.text, "?"), sizeof note.error.text - 1);
}

static void it_is_found_by_name(void **state) {
    struct reason reason;
    int directory = open(*state, O_RDONLY | O_DIRECTORY);
    assert_false(forward_note_find(
        directory, "bell", &note)); /* which makes the file, as anyone who looks for the holder does */
    int file = cursor_open_lock(directory, "bell", &reason);
    assert_int_equal(write(file, COUNTS, sizeof COUNTS - 1), sizeof COUNTS - 1);
    close(file);
    assert_true(forward_note_find(directory, "bell", &note));
    check_note(1042, 12, 3, 0, false, "");
    close(directory);
    assert_false(forward_note_find(-1, "bell", &note));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(the_longest_reason_fits),
        TEST(of_a_torn_note_the_whole_lines_count),
        TEST(another_content_is_no_forwarders),
        TEST(a_foreign_content_does_no_harm),
        TEST(it_is_found_by_name),
    };
    return cmocka_run_group_tests_name("forward_note", tests, NULL, NULL);
}
