/* The journal's directory and its lock are those that have the name now, and a format must be a known one. */
#include "support.h"

#include "directory.h"
#include "disk.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct deadline deadline = {.at = INT64_MAX};
static struct directory directory;
static struct reason reason;
static char path[256];

/* The journal has its own directory, so that it can be replaced. */
static int set_up(void **state) {
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/journal", (char *)*state);
    directory_start(&directory, path);
    return mkdir(path, 0700);
}

static int tear_down(void **state) {
    directory_close(&directory);
    return remove_directory(state);
}

static int open_plainly(void) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void touch(const char *name) {
    write_file(path_in(path, name), "", 0, 0600);
}

static int lock(void) {
    int result = directory_lock(&directory, &deadline, &reason);
    if (result >= 0)
        directory_unlock(&directory);
    return result;
}

/* ---- opening ---- */

static void a_missing_directory_is_named(void **state) {
    (void)state;
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(directory_open(&directory, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, path));
    assert_int_equal(directory.fd, -1);
    assert_int_equal(lock(), ERROR_SYSTEM);
}

static void later_formats_are_refused(void **state) {
    static const struct {
        const char *text, *named; /* NULL: the known format */
    } cases[] = {{"1", NULL},
                 {"1\n", NULL},
                 {"2\n", "format 2,"},
                 {"10\n", "format 10,"},
                 {"", "format ,"},
                 {"x\n", "format x,"},
                 {"0\n", "format 0,"},
                 {"-1\n", "format -1,"},
                 {"2\x1b[2J\nmore", "format 2\\u001b[2J,"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path_in(path, "format"), cases[i].text, strlen(cases[i].text), 0600);
        bool known = cases[i].named == NULL;
        assert_int_equal(directory_open(&directory, &reason), known ? 0 : ERROR_SYSTEM);
        assert_int_equal(directory.fd >= 0, known);
        assert_int_equal(lock(), known ? 1 : ERROR_SYSTEM);
        if (!known)
            assert_non_null(strstr(reason.text, cases[i].named));
    }
}

static void an_unreadable_format_is_not_taken_for_the_known_one(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_in(path, "format"), 0700), 0);
    assert_int_equal(directory_open(&directory, &reason), ERROR_SYSTEM);
}

/* ---- the lock ---- */

static void the_lock_is_opened_once(void **state) {
    (void)state;
    assert_int_equal(lock(), 1);
    assert_int_equal(lock(), 0);
    assert_false(directory.remote);
}

static void a_replaced_directory_is_opened(void **state) {
    assert_int_equal(lock(), 1);
    assert_int_equal(rename(path, path_in(*state, "old")), 0);
    assert_int_equal(lock(), ERROR_SYSTEM); /* it is missing now */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(lock(), 1);
    assert_int_equal(lock(), 0);
    struct stat named;
    assert_int_equal(stat(path, &named), 0);
    assert_int_equal(directory.status.st_ino, named.st_ino);
}

static void a_replaced_lock_file_is_opened_even_if_hard_linked(void **state) {
    assert_int_equal(lock(), 1);
    assert_int_equal(unlink(path_in(path, "lock")), 0);
    assert_int_equal(lock(), 1);
    assert_int_equal(unlink(path_in(path, "lock")), 0);
    touch("lock");
    assert_int_equal(lock(), 1);
    assert_int_equal(lock(), 0);
    assert_int_equal(rename(path, path_in(*state, "old")), 0); /* a copy made of hard links */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(link(path_in(*state, "old/lock"), path_in(path, "lock")), 0);
    assert_int_equal(lock(), 1);
    assert_int_equal(lock(), 0);
}

static void a_remote_lock_is_opened_each_time(void **state) {
    (void)state;
    disk.remote = true;
    assert_int_equal(lock(), 1);
    assert_true(directory.remote);
    assert_int_equal(lock(), 1);
}

static void a_lock_that_is_not_a_file_is_an_error(void **state) {
    (void)state;
    assert_int_equal(mkdir(path_in(path, "lock"), 0700), 0);
    assert_int_equal(lock(), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "lock is not a regular file"));
    assert_int_equal(directory.fd, -1);
    assert_int_equal(rmdir(path_in(path, "lock")), 0);
    assert_int_equal(lock(), 1);
}

static void a_held_lock_is_awaited_until_the_deadline(void **state) {
    static const struct deadline past = {.at = 0};
    int status;
    (void)state;
    assert_int_equal(lock(), 1);
    assert_int_equal(directory_lock(&directory, &deadline, &reason), 0);
    pid_t child = fork();
    if (child == 0) {
        struct directory own;
        directory_start(&own, path);
        _exit(directory_lock(&own, &past, NULL) == ERROR_TIMEOUT ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    directory_unlock(&directory);
}

static void a_new_entry_changes_the_modification_time(void **state) {
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000, .tv_nsec = 123456789}};
    (void)state;
    assert_int_equal(lock(), 1);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(lock(), 0);
    assert_int_equal(directory.mtime_ns, INT64_C(1000123456789));
    touch("entry");
    assert_int_equal(directory.mtime_ns, INT64_C(1000123456789)); /* as when locked */
    directory_refresh_mtime(&directory);
    assert_true(directory.mtime_ns > INT64_C(1000123456789));
}

/* ---- subdirectories ---- */

static void a_subdirectory_is_created_on_request_and_synced(void **state) {
    int journal = open_plainly();
    struct stat status;
    (void)state;
    assert_int_equal(directory_open_subdirectory(journal, "sub", false, &reason), ERROR_INVALID);
    assert_string_equal(disk.calls, "");
    int fd = directory_open_subdirectory(journal, "sub", true, &reason);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_string_equal(disk.calls, "n");
    close(fd);
    fd = directory_open_subdirectory(journal, "sub", true, &reason);
    assert_string_equal(disk.calls, "n"); /* it existed */
    close(fd);
    touch("file");
    for (int make = 0; make < 2; make++) {
        assert_int_equal(directory_open_subdirectory(journal, "file", make, &reason), ERROR_SYSTEM);
        assert_string_equal(reason.text, "cannot open file/: Not a directory");
    }
    assert_int_equal(unlink(path_in(path, "file")), 0);
    assert_int_equal(rmdir(path_in(path, "sub")), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(directory_open_subdirectory(journal, "sub", true, &reason),
                     ERROR_SYSTEM); /* it cannot be created */
    close(journal);
}

static void a_subdirectory_can_be_cleared_durably(void **state) {
    int journal = open_plainly();
    (void)state;
    assert_int_equal(directory_clear(journal, "sub", &reason), 0); /* it is missing */
    assert_string_equal(disk.calls, "");
    assert_int_equal(mkdir(path_in(path, "sub"), 0700), 0);
    touch("sub/a");
    touch("sub/b");
    assert_int_equal(directory_clear(journal, "sub", &reason), 0);
    assert_string_equal(disk.calls, "n");
    assert_int_equal(rmdir(path_in(path, "sub")), 0); /* it was empty */
    close(journal);
}

static void a_failed_removal_is_an_error(void **state) {
    int journal = open_plainly();
    (void)state;
    assert_int_equal(mkdir(path_in(path, "sub"), 0700), 0);
    assert_int_equal(mkdir(path_in(path, "sub/below"), 0700), 0);
    assert_int_equal(directory_clear(journal, "sub", &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot empty sub/: "));
    touch("file");
    assert_int_equal(directory_clear(journal, "file", &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "cannot list file/: "));
    close(journal);
}

static void errors_are_left_in_errno(void **state) {
    int journal = open_plainly();
    (void)state;
    touch("file");
    assert_null(directory_list(journal, "missing"));
    assert_int_equal(errno, ENOENT);
    assert_null(directory_list(journal, "file"));
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(directory_sync(journal, "missing"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(directory_sync(journal, "."), 0);
    assert_string_equal(disk.calls, "n");
    close(journal);
}

#define DIRECTORY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        DIRECTORY_TEST(a_missing_directory_is_named),
        DIRECTORY_TEST(later_formats_are_refused),
        DIRECTORY_TEST(an_unreadable_format_is_not_taken_for_the_known_one),
        DIRECTORY_TEST(the_lock_is_opened_once),
        DIRECTORY_TEST(a_replaced_directory_is_opened),
        DIRECTORY_TEST(a_replaced_lock_file_is_opened_even_if_hard_linked),
        DIRECTORY_TEST(a_remote_lock_is_opened_each_time),
        DIRECTORY_TEST(a_lock_that_is_not_a_file_is_an_error),
        DIRECTORY_TEST(a_held_lock_is_awaited_until_the_deadline),
        DIRECTORY_TEST(a_new_entry_changes_the_modification_time),
        DIRECTORY_TEST(a_subdirectory_is_created_on_request_and_synced),
        DIRECTORY_TEST(a_subdirectory_can_be_cleared_durably),
        DIRECTORY_TEST(a_failed_removal_is_an_error),
        DIRECTORY_TEST(errors_are_left_in_errno),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
