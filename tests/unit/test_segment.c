/* Day files: their names, which of them exist, and which files are not day files. */
#include "support.h"

#include "apart.h"
#include "segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct reason reason;

static int open_directory(void **state) {
    int directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    return directory;
}

static void touch(void **state, const char *name) {
    write_file(path_in(*state, name), "", 0, 0600);
}

static void a_name_is_a_date(void **state) {
    static const struct {
        int32_t day;
        const char *name;
    } cases[] = {{0, "1970-01-01.jsonl"}, {20780, "2026-11-23.jsonl"}, {DAY_MAX, "2149-06-06.jsonl"}};
    char name[SEGMENT_NAME_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        segment_name(cases[i].day, name);
        assert_string_equal(name, cases[i].name);
    }
}

static void the_first_and_the_last_within_limits_are_found(void **state) {
    static const struct {
        int32_t from, to;
        int found;
        int32_t first, last;
    } cases[] = {{0, DAY_MAX, 1, 20780, 20790},   {20780, 20790, 1, 20780, 20790},
                 {20781, 20789, 1, 20785, 20785}, {20785, 20785, 1, 20785, 20785},
                 {20781, 20784, 0, -1, -1},       {20791, DAY_MAX, 0, -1, -1},
                 {0, 20779, 0, -1, -1},           {20790, 20780, 0, -1, -1}};
    int directory = open_directory(state);
    touch(state, "2026-11-28.jsonl");
    touch(state, "2026-11-23.jsonl");
    touch(state, "2026-12-03.jsonl");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t first = -1, last = -1;
        assert_int_equal(segment_range(directory, cases[i].from, cases[i].to, &first, &last, &reason),
                         cases[i].found);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(last, cases[i].last);
    }
    close(directory);
}

static void other_names_are_not_segments(void **state) {
    static const char *const names[] = {"2026-11-23.json",
                                        "2026-11-23.jsonl.gz",
                                        "2026-11-23.jsonl~",
                                        "2026-11-23jsonl",
                                        "x026-11-23.jsonl",
                                        "2026-02-30.jsonl",
                                        "2026-13-01.jsonl",
                                        "2026-11-2 .jsonl",
                                        "2026-11-23.JSONL",
                                        ".026-11-23.jsonl",
                                        "12026-11-23.jsonl",
                                        "2149-06-07.jsonl",
                                        "lock",
                                        "2026-11-23"};
    int directory = open_directory(state);
    int32_t first = -1, last = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        touch(state, names[i]);
    assert_int_equal(segment_range(directory, 0, DAY_MAX, &first, &last, &reason), 0);
    close(directory);
}

static void a_directory_that_cannot_be_listed_is_an_error(void **state) {
    int32_t first, last;
    touch(state, "file");
    int fd = open(path_in(*state, "file"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(segment_range(fd, 0, DAY_MAX, &first, &last, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot list the journal"));
    close(fd);
}

static void opening_creates_nothing_and_creating_keeps_what_exists(void **state) {
    int directory = open_directory(state);
    const char *path = path_in(*state, "2026-11-23.jsonl");
    struct stat status;
    assert_int_equal(segment_open(directory, 20780, true, &reason), ERROR_INVALID);
    assert_int_equal(access(path, F_OK), -1);
    int fd = segment_create(directory, 20780, &reason);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "line\n", 5), 5);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    close(fd);
    fd = segment_create(directory, 20780, &reason);
    assert_int_equal(lseek(fd, 0, SEEK_END), 5);
    close(fd);
    fd = segment_open(directory, 20780, false, &reason);
    assert_int_equal(write(fd, "x", 1), -1);
    close(fd);
    fd = segment_open(directory, 20780, true, &reason);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    close(directory);
}

/* Reporting it as absent would hide an error: the day exists, and its contents are unknown. */
static void a_non_file_is_an_error_and_not_an_absence(void **state) {
    int directory = open_directory(state);
    bool read_only;
    assert_int_equal(mkdir(path_in(*state, "1970-01-01.jsonl"), 0700), 0);
    assert_int_equal(mkfifo(path_in(*state, "1970-01-02.jsonl"), 0600), 0);
    assert_int_equal(symlink("elsewhere", path_in(*state, "1970-01-03.jsonl")), 0);
    for (int32_t day = 0; day < 3; day++) {
        reason.text[0] = '\0';
        assert_int_equal(segment_open(directory, day, true, &reason), ERROR_SYSTEM);
        assert_non_null(strstr(reason.text, "not a regular file"));
        assert_int_equal(segment_open(directory, day, false, &reason), ERROR_SYSTEM);
        assert_int_equal(segment_create(directory, day, &reason), ERROR_SYSTEM);
        assert_int_equal(segment_open_either(directory, day, &read_only, &reason), ERROR_SYSTEM);
        assert_false(read_only);
    }
    close(directory);
}

/* Returns 0 if a read-only file, a writable one, and a missing one are distinguished. */
static int open_either(void *context) {
    int directory = *(int *)context, fd;
    bool read_only;
    if (!become_nobody())
        return 9;
    fd = segment_open_either(directory, 0, &read_only, NULL);
    if (fd < 0 || !read_only)
        return 1;
    fd = segment_open_either(directory, 1, &read_only, NULL);
    if (fd < 0 || read_only)
        return 2;
    fd = segment_open_either(directory, 2, &read_only, NULL);
    if (fd != ERROR_INVALID || read_only)
        return 3;
    fd = segment_open_either(directory, 3, &read_only, NULL);
    return fd != ERROR_SYSTEM || !read_only ? 4 : 0;
}

static void a_read_only_day_is_opened_read_only(void **state) {
    int directory = open_directory(state);
    write_file(path_in(*state, "1970-01-01.jsonl"), "", 0, 0444);
    write_file(path_in(*state, "1970-01-02.jsonl"), "", 0, 0666);
    write_file(path_in(*state, "1970-01-04.jsonl"), "", 0, 0);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(run_apart(open_either, &directory)->status, 0);
    close(directory);
}

#define SEGMENT_TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_date),
        SEGMENT_TEST(the_first_and_the_last_within_limits_are_found),
        SEGMENT_TEST(other_names_are_not_segments),
        SEGMENT_TEST(a_directory_that_cannot_be_listed_is_an_error),
        SEGMENT_TEST(opening_creates_nothing_and_creating_keeps_what_exists),
        SEGMENT_TEST(a_non_file_is_an_error_and_not_an_absence),
        SEGMENT_TEST(a_read_only_day_is_opened_read_only),
    };
    return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
