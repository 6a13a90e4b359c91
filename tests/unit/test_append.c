/* Appending to a file: all bytes or none, and either on the disk or reported as not. */
#include "support.h"

#include "apart.h"
#include "append.h"
#include "disk.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int fd;
static const char *path;
static struct reason reason;

static int set_up(void **state) {
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    path = path_in(*state, "file");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0;
}

static int tear_down(void **state) {
    close(fd);
    return remove_directory(state);
}

/* The end of the last line, at any distance: the search reads windows of 4096 bytes. */
static void the_last_line_break_is_found(void **state) {
    static const size_t lengths[] = {0, 1, 2, 4095, 4096, 4097, 8191, 8192, 8193, 20000};
    static char text[20001];
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t after = 0; after <= lengths[i]; after += after < 3 ? 1 : 1365) {
            uint64_t end = 99;
            size_t at = lengths[i] - after; /* the byte after the line break; 0: there is none */
            memset(text, 'x', sizeof text);
            if (at > 0)
                text[at - 1] = '\n';
            if (at > 5000)
                text[7] = '\n'; /* not the last one */
            write_file(path, text, lengths[i], 0600);
            assert_int_equal(append_end(fd, lengths[i], &end, &reason), 0);
            assert_int_equal(end, at);
        }
}

static void bytes_beyond_the_size_are_ignored(void **state) {
    uint64_t end;
    (void)state;
    write_file(path, "a\nb\nc\n", 6, 0600);
    assert_int_equal(append_end(fd, 3, &end, &reason), 0);
    assert_int_equal(end, 2);
    assert_int_equal(append_end(fd, 7, &end, &reason), 0); /* it is shorter than expected */
    assert_int_equal(end, 6);
}

static struct iovec parts[] = {{.iov_base = "head-1 ", .iov_len = 7}, {.iov_base = "body", .iov_len = 4},
                               {.iov_base = "}\n", .iov_len = 2},     {.iov_base = "head-2 ", .iov_len = 7},
                               {.iov_base = "", .iov_len = 0},        {.iov_base = "}\n", .iov_len = 2}};
#define TEXT "head-1 body}\nhead-2 }\n"

static struct append append_of(int count) {
    return (struct append){.fd = fd, .at = 3, .parts = parts, .count = count};
}

static void check_file(const char *wanted) {
    size_t length;
    char *text = read_file(path, &length);
    assert_string_equal(text, wanted);
    free(text);
}

static void parts_are_written_in_one_call_at_the_offset(void **state) {
    struct append append = append_of(6);
    (void)state;
    write_file(path, "ab\n", 3, 0600);
    assert_int_equal(append_write(&append, &reason), 0);
    check_file("ab\n" TEXT);
    assert_string_equal(disk.calls, "w");
}

static int append_to_a_full_disk(void *context) {
    struct rlimit limit = {.rlim_cur = *(rlim_t *)context, .rlim_max = RLIM_INFINITY};
    struct append append = append_of(6);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    int result = append_write(&append, &reason);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    fputs(reason.text, stdout);
    return result == ERROR_SYSTEM ? 0 : 2;
}

static void a_full_disk_leaves_no_partial_write(void **state) {
    (void)state;
    for (rlim_t room = 0; room < sizeof TEXT - 1; room += 7) {
        rlim_t size = 3 + room;
        write_file(path, "ab\n", 3, 0600);
        const struct ending *ending = run_apart(append_to_a_full_disk, &size);
        assert_int_equal(ending->status, 0);
        assert_non_null(strstr(ending->out, "cannot write to the journal: "));
        check_file("ab\n");
    }
}

static void a_failed_truncation_is_reported(void **state) {
    struct append append = append_of(6);
    (void)state;
    append.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_int_equal(append_write(&append, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "nor truncate"));
    close(append.fd);
}

/* After a failed sync the kernel may have dropped the pages, and reports success for the next sync. */
static void drop_the_pages(int which) {
    assert_int_equal(ftruncate(which, 3), 0);
}

static void after_a_failed_sync_bytes_are_rewritten_once(void **state) {
    static const struct {
        int failing;
        enum sync result;
        const char *calls;
    } cases[] = {
        {0, SYNC_CLEAN, "s"}, {1, SYNC_REWRITTEN, "sws"}, {2, SYNC_FAILED, "sws"}, {9, SYNC_FAILED, "sws"}};
    struct append append = append_of(6);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, "ab\n", 3, 0600);
        assert_int_equal(append_write(&append, &reason), 0);
        reset_disk();
        disk.failing_syncs = cases[i].failing;
        disk.on_failing_sync = i == 1 ? drop_the_pages : NULL;
        assert_int_equal(append_sync(&append, &reason), cases[i].result);
        assert_string_equal(disk.calls, cases[i].calls);
        check_file("ab\n" TEXT);
    }
    assert_non_null(strstr(reason.text, "cannot sync the journal: "));
}

static void another_file_does_not_hold_the_written_bytes(void **state) {
    static const struct {
        const char *text;
        bool one, two; /* does the file hold the first line, and both? */
    } cases[] = {{"ab\n" TEXT, true, true},
                 {"ab\n" TEXT "more\n", true, true},
                 {"xyz" TEXT, true, true}, /* what precedes is not compared */
                 {"ab\nhead-1 body}\nhead-3 }\n", true, false},
                 {"ab\nhead-1 body}\n", true, false},
                 {"ab\nhead-1 body}\nhead-2", true, false},
                 {"ab\nhead-3 body}\nhead-2 }\n", false, false},
                 {"ab\nhead-1", false, false},
                 {"a\n" TEXT, false, false},
                 {"", false, false}};
    struct append none = append_of(0), one = append_of(3), two = append_of(6);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, cases[i].text, strlen(cases[i].text), 0600);
        assert_true(append_is_present(&none, fd));
        assert_int_equal(append_is_present(&one, fd), cases[i].one);
        assert_int_equal(append_is_present(&two, fd), cases[i].two);
    }
}

#define APPEND_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        APPEND_TEST(the_last_line_break_is_found),
        APPEND_TEST(bytes_beyond_the_size_are_ignored),
        APPEND_TEST(parts_are_written_in_one_call_at_the_offset),
        APPEND_TEST(a_full_disk_leaves_no_partial_write),
        APPEND_TEST(a_failed_truncation_is_reported),
        APPEND_TEST(after_a_failed_sync_bytes_are_rewritten_once),
        APPEND_TEST(another_file_does_not_hold_the_written_bytes),
    };
    return cmocka_run_group_tests_name("append", tests, NULL, NULL);
}
