#include "doors.h"

#include "timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config config;
static struct door door;
static struct reason reason;

static void an_account_is_read_as_it_was_saved(void **state) {
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "ava1.ring.account.\xc3\xa4\"\\", 10, 20),
                   *read = account_alloc();
    snprintf(account->user, sizeof account->user, "user@example.com");
    snprintf(account->nonce, sizeof account->nonce, "nonce");
    snprintf(account->error, sizeof account->error, "an \"error\"");
    account->state = ACCOUNT_AWAITING;
    memset(account->access, 'x', sizeof account->access - 1);
    assert_int_equal(account_save(&door, account, &reason), 0);
    assert_int_equal(account_find(&door, account->id, read, &reason), 1);
    assert_memory_equal(account, read, sizeof *account);
    assert_int_equal(account_remove(&door, account->name, &reason), 0);
    assert_int_equal(account_find(&door, account->id, read, &reason), 0);
    account_free(account);
    account_free(read);
    door_close(&door);
}

static int count_one(void *context, const struct account *account) {
    (void)account;
    ++*(int *)context;
    return 0;
}

static void what_is_no_account_is_named(void **state) {
    int count = 0;
    make_door(*state, &config, &door);
    account_free(make_account(&door, "account-1", 0, 0));
    account_free(make_account(&door, "account-2", 0, 0));
    assert_int_equal(account_each(&door, count_one, &count, &reason), 0);
    assert_int_equal(count, 2);
    assert_string_equal(reason.text, "");
    write_file(path_in(config.door, "accounts/0123456789abcdef0123456789abcdef"), "damage", 6, 0600);
    count = 0;
    assert_int_equal(account_each(&door, count_one, &count, &reason), 0);
    assert_int_equal(count, 2);
    assert_non_null(strstr(reason.text, "accounts/0123456789abcdef0123456789abcdef"));
    door_close(&door);
}

static void a_name_cannot_lead_elsewhere(void **state) {
    make_door(*state, &config, &door);
    struct account *account = account_alloc();
    static const char *const names[] = {"../key", "", "code-", "0123456789ABCDEF0123456789abcdef",
                                        "0123456789abcdef0123456789abcdef0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(account_load(&door, names[i], account, &reason), ERROR_SYSTEM);
        assert_int_equal(account_remove(&door, names[i], &reason), ERROR_SYSTEM);
        assert_int_equal(account_lock(&door, names[i], 0, &reason), ERROR_SYSTEM);
    }
    account_free(account);
    door_close(&door);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_account_is_read_as_it_was_saved),
        TEST(what_is_no_account_is_named),
        TEST(a_name_cannot_lead_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
