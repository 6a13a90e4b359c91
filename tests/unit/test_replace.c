/* Files that are replaced as a whole: a reader finds the old text or the new one, and an error is not taken
 * for absence. */
#include "support.h"

#include "apart.h"
#include "disk.h"
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory;
static struct reason reason;

static int set_up(void **state) {
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory < 0;
}

static int tear_down(void **state) {
    close(directory);
    return remove_directory(state);
}

static int write_text(const char *text) {
    return replace_write(directory, "new", "file", text, strlen(text), &reason);
}

static void check_text(const char *wanted) {
    char *text;
    size_t length;
    assert_int_equal(replace_read(directory, "file", &text, &length, &reason), 1);
    assert_int_equal(length, strlen(wanted));
    assert_string_equal(text, wanted);
    free(text);
}

static ino_t inode_of(const char *name) {
    struct stat status;
    return fstatat(directory, name, &status, 0) == 0 ? status.st_ino : 0;
}

static off_t size_of_file(const char *name) {
    struct stat status;
    return fstatat(directory, name, &status, 0) == 0 ? status.st_size : -1;
}

static void a_text_is_read_back_as_written(void **state) {
    (void)state;
    assert_int_equal(write_text("the first"), 0);
    check_text("the first");
    assert_int_equal(write_text("a longer second"), 0);
    check_text("a longer second");
    assert_int_equal(write_text("short"), 0);
    check_text("short");
    assert_int_equal(write_text(""), 0);
    check_text("");
    assert_int_equal(size_of_file("new"), -1);
}

static void a_nul_is_read_too(void **state) {
    char *text;
    size_t length;
    (void)state;
    assert_int_equal(replace_write(directory, "new", "file", "a\0b", 3, &reason), 0);
    assert_int_equal(replace_read(directory, "file", &text, &length, &reason), 1);
    assert_int_equal(length, 3);
    assert_memory_equal(text, "a\0b", 4);
    free(text);
}

/* The caller's reason is left unchanged. */
static void a_missing_file_is_not_an_error(void **state) {
    char *text = (char *)1;
    size_t length = 1;
    (void)state;
    explain(&reason, "of the caller");
    assert_int_equal(replace_read(directory, "file", &text, &length, &reason), 0);
    assert_null(text);
    assert_int_equal(length, 0);
    assert_string_equal(reason.text, "of the caller");
}

static void a_non_file_is_damage_and_an_unreachable_one_an_error(void **state) {
    static const struct {
        const char *path;
        int result;
    } cases[] = {{"directory", ERROR_DAMAGED},
                 {"fifo", ERROR_DAMAGED},
                 {"link", ERROR_DAMAGED},
                 {"file/in", ERROR_SYSTEM}};
    write_file(path_in(*state, "file"), "x", 1, 0600);
    assert_int_equal(mkdirat(directory, "directory", 0700), 0);
    assert_int_equal(mkfifoat(directory, "fifo", 0600), 0);
    assert_int_equal(symlinkat("file", directory, "link"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = (char *)1;
        size_t length = 1;
        assert_int_equal(replace_read(directory, cases[i].path, &text, &length, &reason), cases[i].result);
        assert_null(text);
        assert_non_null(strstr(reason.text, cases[i].path));
        assert_int_equal(replace_write(directory, cases[i].path, "other", "x", 1, &reason), ERROR_SYSTEM);
    }
}

static void the_text_is_synced_before_its_name(void **state) {
    static const struct {
        const char *spare, *path;
    } cases[] = {{"new", "file"}, {"cursors/new", "cursors/file"}};
    (void)state;
    assert_int_equal(replace_prepare(directory, &reason), 0);
    for (size_t i = 0; i < 2; i++) {
        reset_disk();
        assert_int_equal(replace_write(directory, cases[i].spare, cases[i].path, "x", 1, &reason), 0);
        assert_string_equal(disk.calls, "sn");
    }
    write_text("old");
    disk.failing_syncs = 1;
    assert_int_equal(write_text("new"), ERROR_SYSTEM);
    assert_string_equal(reason.text, "cannot write file: Input/output error");
    check_text("old");
}

static void reserved_space_is_used(void **state) {
    (void)state;
    assert_int_equal(replace_reserve(directory, "new", 100, &reason), 0);
    assert_int_equal(size_of_file("new"), 100);
    ino_t spare = inode_of("new");
    assert_int_equal(replace_reserve(directory, "new", 10, &reason), 0);
    assert_int_equal(size_of_file("new"), 100); /* the space is not given back */
    assert_int_equal(replace_reserve(directory, "new", 200, &reason), 0);
    assert_int_equal(size_of_file("new"), 200);
    assert_int_equal(write_text("text"), 0);
    assert_int_equal(inode_of("file"), spare);
    check_text("text");
}

struct limits {
    rlim_t size;
    bool nobody;
};

/* Reserves and writes under limits. Returns both results. */
static int write_with_limits(void *context) {
    const struct limits *limits = context;
    struct rlimit limit = {.rlim_cur = limits->size, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    if ((limits->nobody && !become_nobody()) || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    int reserved = replace_reserve(directory, "spare", 20, &reason),
        written = write_text("twenty bytes of text");
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    printf("%d %d", reserved, written);
    return 0;
}

static void a_full_disk_leaves_the_old_text(void **state) {
    char wanted[16];
    (void)state;
    snprintf(wanted, sizeof wanted, "%d %d", ERROR_SYSTEM, ERROR_SYSTEM);
    for (rlim_t size = 0; size < 20; size += 6) {
        assert_int_equal(write_text("old"), 0);
        struct limits limits = {.size = size};
        assert_string_equal(run_apart(write_with_limits, &limits)->out, wanted);
        check_text("old");
    }
    assert_string_equal(run_apart(write_with_limits, &(struct limits){.size = 20})->out, "0 0");
    check_text("twenty bytes of text");
}

/* Retrying would not help. */
static void an_unwritable_directory_is_not_taken_for_a_full_disk(void **state) {
    char wanted[16];
    assert_int_equal(write_text("old"), 0);
    assert_int_equal(chmod(*state, 0555), 0);
    snprintf(wanted, sizeof wanted, "%d %d", ERROR_INVALID, ERROR_SYSTEM);
    assert_string_equal(run_apart(write_with_limits, &(struct limits){.size = 99, .nobody = true})->out,
                        wanted);
    assert_int_equal(chmod(*state, 0700), 0);
    check_text("old");
}

static void the_cursors_directory_is_created_once(void **state) {
    struct stat status;
    assert_int_equal(replace_prepare(directory, &reason), 0);
    assert_string_equal(disk.calls, "n");
    assert_int_equal(stat(path_in(*state, "cursors"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(replace_prepare(directory, &reason), 0);
    assert_int_equal(rmdir(path_in(*state, "cursors")), 0);
    write_file(path_in(*state, "cursors"), "", 0, 0600);
    assert_int_equal(replace_prepare(directory, &reason), ERROR_SYSTEM);
}

#define REPLACE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        REPLACE_TEST(a_text_is_read_back_as_written),
        REPLACE_TEST(a_nul_is_read_too),
        REPLACE_TEST(a_missing_file_is_not_an_error),
        REPLACE_TEST(a_non_file_is_damage_and_an_unreachable_one_an_error),
        REPLACE_TEST(the_text_is_synced_before_its_name),
        REPLACE_TEST(reserved_space_is_used),
        REPLACE_TEST(a_full_disk_leaves_the_old_text),
        REPLACE_TEST(an_unwritable_directory_is_not_taken_for_a_full_disk),
        REPLACE_TEST(the_cursors_directory_is_created_once),
    };
    return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
