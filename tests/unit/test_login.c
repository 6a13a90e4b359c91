/* Users, passwords and session cookies. */
#include "support.h"

#include "login.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct config config;
static struct door door;
static struct reason reason;

static int open_door(void **state) {
    if (make_directory(state) != 0)
        return -1;
    config = (struct config){0};
    snprintf(config.door, sizeof config.door, "%s", (const char *)*state);
    return chmod(config.door, 0700) != 0 || door_open(&door, &config, &reason) != 0;
}

static int close_door(void **state) {
    door_close(&door);
    return remove_directory(state);
}

static void names_are_checked(void **state) {
    static const char *const bad[] = {"",     ".",    ".hidden", "-x",       "a/b",    "a b",
                                      "a\nb", "../x", "a;b",     "\xc3\xa4", "x.lock", "x.new"};
    char name[USER_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(login_is_name(bad[i]));
        assert_int_equal(login_add(&door, bad[i], "long enough", &reason), ERROR_INVALID);
    }
    assert_true(login_is_name("Me.You+door@example-1.org"));
    memset(name, 'a', sizeof name);
    name[USER_SIZE] = '\0';
    assert_false(login_is_name(name));
    name[USER_SIZE - 1] = '\0';
    assert_true(login_is_name(name));
    assert_int_equal(login_add(&door, name, "long enough", &reason), 0);
}

static void only_the_right_password_is_taken(void **state) {
    (void)state;
    assert_int_equal(login_add(&door, "me", "1234567", &reason), ERROR_INVALID);
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    assert_int_equal(login_check(&door, "192.0.2.1", "me", "12345678", &reason), 0);
    assert_int_equal(login_check(&door, "192.0.2.1", "me", "12345679", &reason), ERROR_INVALID);
    assert_int_equal(login_check(&door, "192.0.2.1", "you", "12345678", &reason), ERROR_INVALID);
    assert_int_equal(login_check(&door, "192.0.2.1", "../users/me", "12345678", &reason), ERROR_INVALID);
}

static void a_wrong_attempt_takes_a_second(void **state) {
    (void)state;
    int64_t since = monotonic_now();
    assert_int_equal(login_check(&door, "192.0.2.1", "nobody", "12345678", &reason), ERROR_INVALID);
    assert_true(monotonic_now() - since >= SECOND);
}

static void the_password_is_not_in_the_file(void **state) {
    size_t length;
    assert_int_equal(login_add(&door, "me", "correct horse", &reason), 0);
    char *text = read_file(path_in(*state, "users/me"), &length);
    assert_null(strstr(text, "horse"));
    assert_non_null(strstr(text, "$argon2id$"));
    free(text);
    struct stat status;
    assert_int_equal(stat(path_in(*state, "users/me"), &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
}

static void a_removed_user_cannot_sign_in(void **state) {
    int64_t at;
    (void)state;
    assert_int_equal(login_remove(&door, "me", &reason), ERROR_INVALID);
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    assert_int_equal(login_changed_at(&door, "me", &at, &reason), 1);
    assert_true(timestamp_now() - at < 3600 * SECOND);
    assert_int_equal(login_remove(&door, "me", &reason), 0);
    assert_int_equal(login_changed_at(&door, "me", &at, &reason), 0);
    assert_int_equal(login_check(&door, "192.0.2.1", "me", "12345678", &reason), ERROR_INVALID);
}

static void a_damaged_user_is_an_error(void **state) {
    char cookie[LOGIN_COOKIE_SIZE];
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    write_file(path_in(*state, "users/me"), "$argon2id$\n", 11, 0600);
    assert_int_equal(login_check(&door, "192.0.2.1", "me", "12345678", &reason), ERROR_SYSTEM);
    assert_int_equal(login_cookie(&door, "me", cookie, &reason), ERROR_SYSTEM);
    assert_int_equal(login_remove(&door, "me", &reason), 0);
}

/* ---- cookies ---- */

static bool is_session(const char *cookie, const char *expected) {
    char user[USER_SIZE] = "";
    int found = login_session(&door, cookie, user, &reason);
    assert_true(found == 0 || found == 1);
    if (found == 1)
        assert_string_equal(user, expected);
    return found == 1;
}

static void a_cookie_is_its_users(void **state) {
    char cookie[LOGIN_COOKIE_SIZE];
    (void)state;
    assert_int_equal(login_add(&door, "me@example.org", "12345678", &reason), 0);
    assert_int_equal(login_cookie(&door, "me@example.org", cookie, &reason), 0);
    assert_true(is_session(cookie, "me@example.org"));
    assert_int_equal(login_cookie(&door, "you", cookie, &reason), ERROR_SYSTEM);
}

static void every_changed_byte_is_noticed(void **state) {
    char cookie[LOGIN_COOKIE_SIZE], changed[LOGIN_COOKIE_SIZE];
    (void)state;
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    assert_int_equal(login_add(&door, "mf", "12345678", &reason), 0);
    assert_int_equal(login_cookie(&door, "me", cookie, &reason), 0);
    for (size_t i = 0; i < strlen(cookie); i++) {
        memcpy(changed, cookie, sizeof cookie);
        changed[i] = (char)(changed[i] + 1); /* me becomes mf, who exists */
        assert_false(is_session(changed, "me"));
        memcpy(changed, cookie, sizeof cookie);
        changed[i] = '\0';
        assert_false(is_session(changed, "me"));
    }
    assert_false(is_session("", "me"));
}

static void a_new_password_or_a_removal_ends_sessions(void **state) {
    char cookie[LOGIN_COOKIE_SIZE];
    (void)state;
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    assert_int_equal(login_cookie(&door, "me", cookie, &reason), 0);
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    assert_false(is_session(cookie, "me"));
    assert_int_equal(login_cookie(&door, "me", cookie, &reason), 0);
    assert_true(is_session(cookie, "me"));
    assert_int_equal(login_remove(&door, "me", &reason), 0);
    assert_false(is_session(cookie, "me"));
}

/* Makes cookies as login_cookie() would have done 89 and 91 days ago, or by a clock that was two days ahead.
 */
static void a_session_ends_after_ninety_days(void **state) {
    char cookie[LOGIN_COOKIE_SIZE], hash[DOOR_HASH_SIZE], text[512];
    size_t length;
    assert_int_equal(login_add(&door, "me", "12345678", &reason), 0);
    char *file = read_file(path_in(*state, "users/me"), &length);
    *strchr(file, '\n') = '\0';
    static const int ages[] = {0, LOGIN_DAYS - 1, LOGIN_DAYS + 1, -2};
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        int64_t time = timestamp_now() / SECOND - INT64_C(86400) * ages[i];
        int used = snprintf(text, sizeof text, "%" PRId64 "\nme\n%s", time, file);
        door_hash(&door, DOOR_COOKIE, text, (size_t)used, hash);
        snprintf(cookie, sizeof cookie, "%" PRId64 ".%s.me", time, hash);
        assert_int_equal(is_session(cookie, "me"), i < 2);
    }
    free(file);
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, open_door, close_door)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_DOOR(names_are_checked),
        WITH_DOOR(only_the_right_password_is_taken),
        WITH_DOOR(a_wrong_attempt_takes_a_second),
        WITH_DOOR(the_password_is_not_in_the_file),
        WITH_DOOR(a_removed_user_cannot_sign_in),
        WITH_DOOR(a_damaged_user_is_an_error),
        WITH_DOOR(a_cookie_is_its_users),
        WITH_DOOR(every_changed_byte_is_noticed),
        WITH_DOOR(a_new_password_or_a_removal_ends_sessions),
        WITH_DOOR(a_session_ends_after_ninety_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
