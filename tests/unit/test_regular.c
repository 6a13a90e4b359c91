/* Anything but a regular file in the journal or the settings is refused at once. */
#include "support.h"

#include "config.h"
#include "directory.h"
#include "regular.h"
#include "rejected.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct reason reason;

static int open_directory(void **state) {
    int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Puts something else in place of the file. Returns false after the last kind, or if it cannot be created. */
static bool put(const char *path, int which) {
    unlink(path);
    rmdir(path);
    switch (which) {
    case 0:
        return mkfifo(path, 0600) == 0;
    case 1:
        return symlink("/dev/zero", path) == 0;
    case 2:
        return mkdir(path, 0700) == 0;
    case 3:
        return mknod(path, S_IFCHR | 0600, makedev(1, 5)) == 0; /* for root: /dev/zero */
    default:
        return false;
    }
}

static void only_regular_files_are_opened(void **state) {
    int journal = open_directory(state);
    assert_int_equal(regular_open(journal, "file", O_RDONLY, &reason), ERROR_INVALID);
    for (int which = 0; put(path_in(*state, "file"), which); which++) {
        assert_int_equal(regular_open(journal, "file", O_RDONLY, &reason), ERROR_DAMAGED);
        assert_non_null(strstr(reason.text, "file is not a regular file"));
        assert_int_equal(regular_open(journal, "file", O_RDWR | O_CREAT, &reason), ERROR_DAMAGED);
        assert_int_equal(regular_open(journal, "file", O_WRONLY | O_CREAT, &reason), ERROR_DAMAGED);
    }
    int fd = regular_open(journal, "other", O_RDWR | O_CREAT | O_EXCL, &reason);
    struct stat status;
    assert_true(fd >= 0 && fstat(fd, &status) == 0 && (status.st_mode & 07777 & ~0600U) == 0);
    close(fd);
    assert_int_equal(regular_open(journal, "other", O_RDWR | O_CREAT | O_EXCL, &reason), ERROR_SYSTEM);
    assert_int_equal(errno, EEXIST);
    close(journal);
}

static void an_operators_path_may_be_a_link_to_a_file(void **state) {
    char link[256];
    write_file(path_in(*state, "file"), "x", 1, 0600);
    snprintf(link, sizeof link, "%s", path_in(*state, "link"));
    assert_int_equal(symlink("file", link), 0);
    int fd = regular_open(AT_FDCWD, link, O_RDONLY, &reason);
    assert_true(fd >= 0);
    close(fd);
}

static int visit(void *context, const struct rejection *rejection) {
    (void)context;
    (void)rejection;
    return 0;
}

/* A FIFO would hang the test, until the runner's deadline. */
static void no_file_type_in_a_journal_blocks(void **state) {
    struct directory directory;
    int journal = open_directory(state);
    assert_int_equal(mkdir(path_in(*state, "rejected"), 0700), 0);
    directory_start(&directory, *state);
    for (int which = 0; put(path_in(*state, "2026-11-20.jsonl"), which); which++) {
        int32_t day;
        assert_int_equal(day_parse("2026-11-20", 10, &day), 0);
        assert_int_equal(segment_open(journal, day, false, &reason), ERROR_SYSTEM);
        assert_int_equal(segment_open(journal, day, true, &reason), ERROR_SYSTEM);
        assert_int_equal(segment_create(journal, day, &reason), ERROR_SYSTEM);
    }
    for (int which = 0; put(path_in(*state, "rejected/2026-11-20.jsonl"), which); which++)
        assert_int_equal(rejected_each(journal, INT64_MIN, INT64_MAX, visit, NULL, &reason), ERROR_SYSTEM);
    for (int which = 0; put(path_in(*state, "lock"), which); which++) {
        struct deadline deadline = {.at = INT64_MAX};
        assert_int_equal(directory_lock(&directory, &deadline, &reason), ERROR_SYSTEM);
        assert_non_null(strstr(reason.text, "not a regular file"));
    }
    for (int which = 0; put(path_in(*state, "format"), which); which++)
        assert_int_equal(directory_open(&directory, &reason), ERROR_SYSTEM);
    directory_close(&directory);
    close(journal);
}

static void an_unknown_format_is_reported_in_printable_characters(void **state) {
    static const char text[] = "\033]0;x\007\xc2\x9b\xe2\x80\xae\n";
    struct directory directory;
    write_file(path_in(*state, "format"), text, sizeof text, 0600);
    directory_start(&directory, *state);
    assert_int_equal(directory_open(&directory, &reason), ERROR_SYSTEM);
    for (const char *at = reason.text; *at != '\0'; at++)
        assert_true(*at >= ' ' && *at <= '~');
}

static void settings_must_be_a_regular_file(void **state) {
    static struct config config;
    const char *path = path_in(*state, "doorpost.env");
    for (int which = 0; put(path, which); which++) {
        setenv("DOORPOST_CONF", path, 1);
        assert_int_equal(config_read(&config, &reason), ERROR_SYSTEM);
        assert_non_null(strstr(reason.text, "not a regular file"));
    }
    setenv("DOORPOST_CONF", "/dev/null", 1); /* reports that there are none */
    assert_int_equal(config_read(&config, &reason), 0);
    unsetenv("DOORPOST_CONF");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_regular_files_are_opened, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(an_operators_path_may_be_a_link_to_a_file, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(no_file_type_in_a_journal_blocks, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(an_unknown_format_is_reported_in_printable_characters, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(settings_must_be_a_regular_file, make_directory, remove_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
