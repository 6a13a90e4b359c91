/* Key files: read whole or not at all, and replaced so that a reader finds the old text or the new one. */
#include "support.h"

#include "apart.h"
#include "disk.h"
#include "options.h"
#include "secret.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory;

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

static int read_it(void *context) {
    size_t length;
    char *text = secret_read(path_in(context, "key"), &length);
    if (text == NULL)
        return 1;
    printf("%zu %zu", length, strlen(text));
    sodium_free(text);
    return 0;
}

static void a_key_file_is_read_up_to_its_largest_size(void **state) {
    static const size_t lengths[] = {0, 1, KEY_FILE_SIZE};
    static char text[KEY_FILE_SIZE + 1];
    char wanted[64];
    memset(text, 'k', sizeof text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_file(path_in(*state, "key"), text, lengths[i], 0600);
        snprintf(wanted, sizeof wanted, "%zu %zu", lengths[i], lengths[i]);
        assert_string_equal(run_apart(read_it, *state)->out, wanted);
    }
    write_file(path_in(*state, "key"), text, KEY_FILE_SIZE + 1, 0600);
    const struct ending *ending = run_apart(read_it, *state);
    assert_int_equal(ending->status, 1);
    assert_non_null(strstr(ending->said, "/key: it is too large for a key file\n"));
    assert_int_equal(unlink(path_in(*state, "key")), 0);
    assert_non_null(strstr(run_apart(read_it, *state)->said, "/key: No such file or directory\n"));
}

static int ask(void *context) {
    size_t length;
    dup2(open(path_in(context, "key"), O_RDONLY), STDIN_FILENO);
    for (int line = 0; line < 3; line++) {
        char *text = secret_ask("Key: ", &length);
        printf("%zu:%s;", length, text);
        sodium_free(text);
    }
    return 0;
}

/* From standard input, so that another answer can follow. */
static void a_prompt_reads_exactly_one_line(void **state) {
    write_file(path_in(*state, "key"), "first\n\nlast", 11, 0600);
    const struct ending *ending = run_apart(ask, *state);
    assert_string_equal(ending->out, "5:first;0:;4:last;");
    assert_string_equal(ending->said, ""); /* no terminal, no prompt */
}

static int write_key(const char *text, mode_t mode) {
    struct ownership ownership = {.uid = geteuid(), .gid = getegid(), .mode = mode};
    return secret_write(directory, "key", "/somewhere/key", text, strlen(text), &ownership);
}

static void check_key(void **state, const char *wanted, mode_t mode) {
    size_t length;
    struct stat status;
    char *text = read_file(path_in(*state, "key"), &length);
    assert_string_equal(text, wanted);
    free(text);
    assert_int_equal(stat(path_in(*state, "key"), &status), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    assert_int_equal(access(path_in(*state, "key.new"), F_OK), -1);
}

static void a_replacement_is_durable_and_has_its_mode(void **state) {
    assert_int_equal(write_key("old and longer\n", 0600), STATUS_DONE);
    check_key(state, "old and longer\n", 0600);
    write_file(path_in(*state, "key.new"), "left by a crash", 15, 0666);
    reset_disk();
    assert_int_equal(write_key("new\n", 0640), STATUS_DONE);
    assert_string_equal(disk.calls, "nn"); /* the file, then its name */
    check_key(state, "new\n", 0640);
}

/* Someone has put a link there, to make root write elsewhere. */
static void nothing_is_written_through_a_link(void **state) {
    write_file(path_in(*state, "victim"), "victim", 6, 0600);
    assert_int_equal(symlink("victim", path_in(*state, "key.new")), 0);
    assert_int_equal(symlink("victim", path_in(*state, "key")), 0);
    assert_int_equal(write_key("new\n", 0600), STATUS_DONE);
    size_t length;
    char *victim = read_file(path_in(*state, "victim"), &length);
    assert_string_equal(victim, "victim");
    free(victim);
    struct stat status;
    assert_int_equal(lstat(path_in(*state, "key"), &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

static int write_to_a_full_disk(void *context) {
    struct rlimit limit = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    (void)context;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    int result = write_key("a longer text than there is room for\n", 0640);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    return result;
}

static void on_a_full_disk_the_old_text_stays(void **state) {
    assert_int_equal(write_key("old\n", 0600), STATUS_DONE);
    assert_int_equal(run_apart(write_to_a_full_disk, NULL)->status, STATUS_PROBLEM);
    check_key(state, "old\n", 0600);
}

#define SECRET_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SECRET_TEST(a_key_file_is_read_up_to_its_largest_size),
        SECRET_TEST(a_prompt_reads_exactly_one_line),
        SECRET_TEST(a_replacement_is_durable_and_has_its_mode),
        SECRET_TEST(nothing_is_written_through_a_link),
        SECRET_TEST(on_a_full_disk_the_old_text_stays),
    };
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
