#define _GNU_SOURCE /* memmem */
#include "doors.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct config config;
static struct door door;
static struct reason reason;

static void check_says(const char *wanted) {
    if (strstr(reason.text, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason.text, wanted);
}

static void the_directory_is_completed(void **state) {
    size_t length;
    struct stat status;
    make_door(*state, &config, &door);
    free(read_file(path_in(config.door, "key"), &length));
    assert_int_equal(length, 45);
    assert_int_equal(stat(path_in(config.door, "key"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(stat(path_in(config.door, "accounts"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    door_close(&door);
}

static void others_may_not_enter(void **state) {
    make_door(*state, &config, &door);
    door_close(&door);
    chmod(config.door, 0750);
    assert_int_equal(door_open(&door, &config, &reason), ERROR_SYSTEM);
    check_says("chmod 700");
    chmod(config.door, 0700);
    if (geteuid() == 0) {
        assert_int_equal(chown(config.door, 12345, 12345), 0);
        assert_int_equal(door_open(&door, &config, &reason), ERROR_SYSTEM);
        check_says("belongs to user 12345");
    }
}

static void the_key_is_kept(void **state) {
    char hash[DOOR_HASH_SIZE], again[DOOR_HASH_SIZE];
    make_door(*state, &config, &door);
    door_hash(&door, DOOR_ACCOUNT, "a", 1, hash);
    door_hash(&door, DOOR_CODE, "a", 1, again);
    assert_string_not_equal(hash, again);
    door_close(&door);
    assert_int_equal(door_open(&door, &config, &reason), 0);
    door_hash(&door, DOOR_ACCOUNT, "a", 1, again);
    assert_string_equal(hash, again);
    door_close(&door);
}

static void a_lost_key_is_not_replaced(void **state) {
    make_door(*state, &config, &door);
    account_free(make_account(&door, "account-1", 0, 0));
    door_close(&door);
    unlink(path_in(config.door, "key"));
    assert_int_equal(door_open(&door, &config, &reason), ERROR_SYSTEM);
    check_says("key is missing");
    write_file(path_in(config.door, "key"), "AAAA", 4, 0600);
    assert_int_equal(door_open(&door, &config, &reason), ERROR_SYSTEM);
    check_says("key is damaged");
}

static void a_file_is_encrypted_and_bound_to_its_name(void **state) {
    char *text, *raw;
    size_t length;
    make_door(*state, &config, &door);
    assert_int_equal(door_read(&door, "cache/a", &text, &length, &reason), 0);
    assert_int_equal(door_write(&door, "cache/a", "a secret", 8, &reason), 0);
    assert_int_equal(door_read(&door, "cache/a", &text, &length, &reason), 1);
    assert_int_equal(length, 8);
    assert_string_equal(text, "a secret");
    sodium_free(text);
    raw = read_file(path_in(config.door, "cache/a"), &length);
    assert_null(memmem(raw, length, "secret", 6));
    free(raw);
    char from[600];
    snprintf(from, sizeof from, "%s", path_in(config.door, "cache/a"));
    assert_int_equal(rename(from, path_in(config.door, "cache/b")), 0);
    assert_int_equal(door_read(&door, "cache/b", &text, &length, &reason), ERROR_DAMAGED);
    check_says("cache/b");
    write_file(path_in(config.door, "cache/c"), "short", 5, 0600);
    assert_int_equal(door_read(&door, "cache/c", &text, &length, &reason), ERROR_DAMAGED);
    assert_int_equal(door_remove(&door, "cache/c", &reason), 0);
    assert_int_equal(door_remove(&door, "cache/c", &reason), 0);
    door_close(&door);
}

static int count_names(void *context, const char *name) {
    (void)name;
    ++*(int *)context;
    return 0;
}

static void leftovers_are_skipped_and_removed(void **state) {
    int count = 0;
    make_door(*state, &config, &door);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    write_file(path_in(config.door, "cache/a"), "", 0, 0600);
    write_file(path_in(config.door, "cache/a.lock"), "", 0, 0600);
    write_file(path_in(config.door, "cache/a.12.new"), "", 0, 0600);
    write_file(path_in(config.door, "cache/b.12.new"), "", 0, 0600);
    assert_int_equal(utimensat(AT_FDCWD, path_in(config.door, "cache/b.12.new"), old, 0), 0);
    assert_int_equal(door_each(&door, "cache", count_names, &count, &reason), 0);
    assert_int_equal(count, 1);
    assert_int_equal(access(path_in(config.door, "cache/a.12.new"), F_OK), 0);
    assert_int_not_equal(access(path_in(config.door, "cache/b.12.new"), F_OK), 0);
    door_close(&door);
}

static void *try_lock(void *result) {
    *(int *)result = door_lock(&door, "cache/x.lock", 0, NULL);
    return NULL;
}

static void a_lock_excludes_threads_and_processes(void **state) {
    pthread_t thread;
    int result, status;
    make_door(*state, &config, &door);
    int lock = door_lock(&door, "cache/x.lock", 0, &reason);
    assert_true(lock >= 0);
    assert_int_equal(pthread_create(&thread, NULL, try_lock, &result), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, ERROR_TIMEOUT);
    pid_t child = fork();
    if (child == 0) {
        close(lock); /* the parent's */
        _exit(door_lock(&door, "cache/x.lock", 0, NULL) == ERROR_TIMEOUT ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(lock);
    lock = door_lock(&door, "cache/x.lock", 0, &reason);
    assert_true(lock >= 0);
    close(lock);
    door_close(&door);
}

static void the_client_file_is_checked(void **state) {
    static const struct {
        const char *text, *wanted;
        unsigned mode;
    } cases[] = {{"only-one\n", "it has 1", 0600},
                 {"a\nb\nc\n", "it has 3", 0600},
                 {"a b\nc\n", "line 1: must be the client id", 0600},
                 {"# id\na\nc\x01", "line 3: must be the client secret", 0600},
                 {"a\nb\n", "open to everybody", 0644}};
    make_door(*state, &config, &door);
    assert_int_equal(door_client(&door, &reason), 0);
    assert_string_equal(door.client_id, "client-1");
    assert_string_equal(door.client_secret, "secret&1");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        door.client_id[0] = '\0';
        write_file(config.client_file, cases[i].text, strlen(cases[i].text), cases[i].mode);
        assert_int_equal(door_client(&door, &reason), ERROR_SYSTEM);
        check_says(cases[i].wanted);
        assert_string_equal(door.client_id, "");
    }
    config.client_file[0] = '\0';
    assert_int_equal(door_client(&door, &reason), ERROR_SYSTEM);
    check_says("DOORPOST_CLIENT_FILE is not set");
    door_close(&door);
}

static void there_is_no_core(void **state) {
    struct rlimit limit;
    make_door(*state, &config, &door);
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_true(limit.rlim_cur <= 1);
    door_close(&door);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_directory_is_completed),
        TEST(others_may_not_enter),
        TEST(the_key_is_kept),
        TEST(a_lost_key_is_not_replaced),
        TEST(a_file_is_encrypted_and_bound_to_its_name),
        TEST(leftovers_are_skipped_and_removed),
        TEST(a_lock_excludes_threads_and_processes),
        TEST(the_client_file_is_checked),
        TEST(there_is_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
