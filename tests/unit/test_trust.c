/* Whether a less privileged user can change where a path leads. The test's own user acts as the owner. */
#include "support.h"

#include "trust.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct reason reason;
static char base[512]; /* the path of *state, without links */

/* a/b/file, closed to others. TMPDIR is sticky, or writable by nobody else. */
static int set_up(void **state) {
    if (make_directory(state) != 0 || realpath(*state, base) == NULL)
        return -1;
    if (mkdir(path_in(base, "a"), 0755) != 0 || mkdir(path_in(base, "a/b"), 0755) != 0)
        return -1;
    write_file(path_in(base, "a/b/file"), "", 0, 0644);
    return trust_path(path_in(base, "a/b/file"), geteuid(), &reason) != 0;
}

static void check(const char *name, int result, const char *said) {
    const char *path = path_in(base, name);
    reason.text[0] = '\0';
    int found = trust_path(path, geteuid(), &reason);
    if (found != result || (said != NULL && strstr(reason.text, said) == NULL))
        fail_msg("%s: %d, not %d: %s", path, found, result, reason.text);
}

static void set_mode(const char *name, mode_t mode) {
    assert_int_equal(chmod(path_in(base, name), mode), 0);
}

static void each_directory_on_the_path_must_be_closed_to_others(void **state) {
    static const char *const names[] = {"", "a", "a/b", "a/b/file"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        set_mode(names[i], 0757);
        check("a/b/file", ERROR_SYSTEM, "everyone can write to ");
        assert_non_null(strstr(reason.text, "chmod go-w it"));
        set_mode(names[i], 0755);
        check("a/b/file", 0, NULL);
    }
}

/* Root's own group is as good as root; a user's private group is that user's. */
static void a_group_may_write_only_if_it_is_the_owners(void **state) {
    struct stat status;
    (void)state;
    set_mode("a", 0775);
    assert_int_equal(stat(path_in(base, "a"), &status), 0);
    if (geteuid() != 0 || status.st_gid != 0)
        skip();
    check("a/b/file", 0, NULL);
    assert_int_equal(chown(path_in(base, "a"), 0, 12345), 0);
    set_mode("a", 0775);
    check("a/b/file", ERROR_SYSTEM, "a group can write to ");
}

/* As in /tmp: only the owner of an entry can change it. */
static void in_a_sticky_directory_only_the_owner_can_change_an_entry(void **state) {
    (void)state;
    set_mode("a", 01777);
    check("a/b/file", 0, NULL);
    check("a/b", 0, NULL);
    check("a", ERROR_SYSTEM, "everyone can write to "); /* as the last component, its contents matter */
    check("a/missing", ERROR_SYSTEM, "other users could create it");
}

static void what_belongs_to_another_user_is_refused(void **state) {
    static const char *const names[] = {"", "a", "a/b", "a/b/file", "a/link"};
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(symlink("b", path_in(base, "a/link")), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(lchown(path_in(base, names[i]), 12345, 0), 0);
        check("a/link/../b/file", ERROR_SYSTEM, " is owned by user 12345, ");
        assert_int_equal(trust_path(path_in(base, "a/link/../b/file"), 12345, &reason), 0);
        assert_int_equal(lchown(path_in(base, names[i]), 0, 0), 0);
    }
    check("a/link/../b/file", 0, NULL);
}

static void links_are_followed_and_checked_step_by_step(void **state) {
    char absolute[600];
    (void)state;
    snprintf(absolute, sizeof absolute, "%s/a/./b//", base);
    assert_int_equal(symlink("b", path_in(base, "a/relative")), 0);
    assert_int_equal(symlink(absolute, path_in(base, "a/absolute")), 0);
    assert_int_equal(symlink("../a/relative", path_in(base, "a/twice")), 0);
    assert_int_equal(symlink("round", path_in(base, "a/round")), 0);
    assert_int_equal(symlink("missing", path_in(base, "a/nowhere")), 0);
    assert_int_equal(mkdir(path_in(base, "open"), 0755), 0);
    set_mode("open", 0777);
    assert_int_equal(symlink("../open/../a/b", path_in(base, "a/through")), 0);
    check("a/relative/file", 0, NULL);
    check("a/absolute/file", 0, NULL);
    check("a/twice/file", 0, NULL);
    check("a/round/file", ERROR_SYSTEM, "cannot resolve ");
    check("a/nowhere", ERROR_INVALID, " does not exist");
    check("a/through/file", ERROR_SYSTEM, "/open");
}

static void a_missing_file_is_reported_as_missing(void **state) {
    (void)state;
    check("a/missing", ERROR_INVALID, " does not exist");
    check("a/missing/file", ERROR_INVALID, " does not exist");
    check("a/b/file/in", ERROR_SYSTEM, "cannot resolve ");
    check("a/../../../../../../../../../../../..", 0, NULL); /* nothing is above / */
}

static void a_relative_path_starts_in_the_current_directory(void **state) {
    char here[512];
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(path_in(base, "a")), 0);
    assert_int_equal(trust_path("b/file", geteuid(), &reason), 0);
    assert_int_equal(trust_path("b/missing", geteuid(), &reason), ERROR_INVALID);
    set_mode("", 0757);
    assert_int_equal(trust_path("b/file", geteuid(), &reason), ERROR_SYSTEM);
    set_mode("", 0755);
    assert_int_equal(chdir(here), 0);
}

static void a_path_that_is_too_long_is_refused(void **state) {
    static char path[20000];
    (void)state;
    int length = snprintf(path, sizeof path, "%s/a/", base);
    memset(path + length, 'x', 5000); /* one name, in a directory that is there */
    assert_int_equal(trust_path(path, geteuid(), &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "File name too long"));
    memset(path, '/', sizeof path - 1);
    assert_int_equal(trust_path(path, geteuid(), &reason), ERROR_SYSTEM);
    for (size_t i = 0; i + 1 < 8000; i += 2)
        memcpy(path + i, "a/", 2);
    path[8000] = '\0';
    assert_int_equal(trust_path(path, geteuid(), &reason), ERROR_INVALID); /* which has no directory part */
}

/* ---- the last name ---- */

static void a_path_is_split_before_its_last_name(void **state) {
    static const struct {
        const char *path, *directory, *name; /* NULL: refused */
    } cases[] = {{"/etc/doorpost", "/etc", "doorpost"},
                 {"/etc/doorpost///", "/etc", "doorpost"},
                 {"/etc//doorpost", "/etc", "doorpost"},
                 {"/etc", "/", "etc"},
                 {"//etc", "/", "etc"},
                 {"doorpost", ".", "doorpost"},
                 {"a/b", "a", "b"},
                 {"./b", ".", "b"},
                 {"a/b/..b", "a/b", "..b"},
                 {"", NULL, NULL},
                 {"/", NULL, NULL},
                 {"///", NULL, NULL},
                 {".", NULL, NULL},
                 {"..", NULL, NULL},
                 {"a/.", NULL, NULL},
                 {"a/../", NULL, NULL},
                 {"0123456789012345", NULL, NULL}}; /* does not fit */
    char directory[16], name[16];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = cases[i].name != NULL;
        assert_int_equal(trust_split(cases[i].path, directory, name, sizeof name, &reason),
                         good ? 0 : ERROR_SYSTEM);
        if (!good)
            continue;
        assert_string_equal(directory, cases[i].directory);
        assert_string_equal(name, cases[i].name);
    }
}

#define TRUST_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TRUST_TEST(each_directory_on_the_path_must_be_closed_to_others),
        TRUST_TEST(a_group_may_write_only_if_it_is_the_owners),
        TRUST_TEST(in_a_sticky_directory_only_the_owner_can_change_an_entry),
        TRUST_TEST(what_belongs_to_another_user_is_refused),
        TRUST_TEST(links_are_followed_and_checked_step_by_step),
        TRUST_TEST(a_missing_file_is_reported_as_missing),
        TRUST_TEST(a_relative_path_starts_in_the_current_directory),
        TRUST_TEST(a_path_that_is_too_long_is_refused),
        cmocka_unit_test(a_path_is_split_before_its_last_name),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
