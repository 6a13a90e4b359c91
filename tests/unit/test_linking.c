#include "doors.h"

#include "linking.h"
#include "timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER "user@example.com"

static struct config config;
static struct door door;
static struct reason reason;
static struct keys *keys;
static char now[24], nonce[NONCE_SIZE];

static void check_has(const char *text, const char *wanted) {
    if (strstr(text, wanted) == NULL)
        fail_msg("\"%s\" does not have \"%s\"", text, wanted);
}

/* The nonce as Ring makes it from the signing key's text, `age` seconds ago. */
static void make_nonce(const char *id, int age) {
    char key[SAMPLE_SIZE], message[600];
    unsigned char digest[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    size_t length = read_sample("key.txt", key);
    while (length > 0 && key[length - 1] == '\n')
        length--;
    snprintf(now, sizeof now, "%" PRId64, (timestamp_now() - age * SECOND) / 1000);
    int size = snprintf(message, sizeof message, "%s:%s", now, id);
    crypto_auth_hmacsha256_init(&state, (unsigned char *)key, length);
    crypto_auth_hmacsha256_update(&state, (unsigned char *)message, (unsigned)size);
    crypto_auth_hmacsha256_final(&state, digest);
    sodium_bin2base64(nonce, sizeof nonce, digest, sizeof digest, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static int set_up(void **state) {
    int result = make_directory(state);
    make_door(*state, &config, &door);
    keys = sample_keys();
    account_free(make_account(&door, "account-1", 0, 10000));
    account_free(make_account(&door, "account-2", 0, 10000));
    make_nonce("account-1", 1);
    return result;
}

static int tear_down(void **state) {
    keys_free(keys);
    door_close(&door);
    return remove_directory(state);
}

static void check_state(const char *id, enum account_state state, const char *user) {
    struct account *account = account_alloc();
    assert_int_equal(account_find(&door, id, account, &reason), 1);
    assert_int_equal(account->state, state);
    assert_string_equal(account->user, user);
    assert_int_equal(account->nonce[0] != '\0', state == ACCOUNT_CLAIMED || state == ACCOUNT_AWAITING);
    account_free(account);
}

static void linking_runs_to_completion(void **state) {
    (void)state;
    fake_answer(1, 200, "", "{\"status\":\"awaiting\"}");
    fake_answer(2, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
    check_has(fake_request(1), "request = \"POST\"\n");
    check_has(fake_request(1), "url = \"" API_DEFAULT "/v1/accounts/me/app-integrations\"\n");
    check_has(fake_request(1), "{\\\"account_identifier\\\":\\\"u***r@example.com\\\",\\\"nonce\\\":");
    check_has(fake_request(1), nonce);
    check_has(fake_request(1), "header = \"Content-Type: application/json\"\n");
    check_has(fake_request(2), "request = \"PATCH\"\n");
    check_has(fake_request(2), "data-raw = \"{\\\"status\\\":\\\"completed\\\"}\"\n");
    check_state("account-1", ACCOUNT_COMPLETED, USER);
    check_state("account-2", ACCOUNT_UNCLAIMED, "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID); /* a replay */
    assert_int_equal(linking_claim(&door, keys, "eve", nonce, now, &reason), ERROR_INVALID);
    assert_int_equal(fake_count(), 2);
    check_state("account-1", ACCOUNT_COMPLETED, USER);
}

static void a_failed_post_is_taken_up_again(void **state) {
    (void)state;
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_SYSTEM);
    check_state("account-1", ACCOUNT_CLAIMED, USER);
    assert_int_equal(linking_claim(&door, keys, "eve", nonce, now, &reason), ERROR_INVALID);
    fake_answer(2, 200, "", "");
    fake_answer(3, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
    check_state("account-1", ACCOUNT_COMPLETED, USER);
}

static void a_lost_post_is_completed(void **state) {
    (void)state;
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_SYSTEM);
    fake_answer(2, 400, "", "{\"errors\":[{\"status\":\"400\"}]}"); /* Ring has it already */
    fake_answer(3, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
    check_has(fake_request(3), "request = \"PATCH\"\n");
    check_state("account-1", ACCOUNT_COMPLETED, USER);
}

static void a_failed_patch_is_taken_up_again(void **state) {
    (void)state;
    fake_answer(1, 200, "", "");
    fake_answer(2, 503, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_SYSTEM);
    check_state("account-1", ACCOUNT_AWAITING, USER);
    struct account *account = account_alloc();
    assert_int_equal(account_find(&door, "account-1", account, &reason), 1);
    fake_answer(3, 200, "", "");
    assert_int_equal(linking_resume(&door, account, &reason), 0);
    check_has(fake_request(3), "request = \"PATCH\"\n");
    check_state("account-1", ACCOUNT_COMPLETED, USER);
    assert_int_equal(linking_resume(&door, account, &reason), 0);
    assert_int_equal(fake_count(), 3);
    account_free(account);
}

static void a_new_nonce_starts_again(void **state) {
    (void)state;
    fake_answer(1, 400, "", "");
    fake_answer(2, 400, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID);
    check_has(reason.text, "Sign in");
    make_nonce("account-1", 0);
    fake_answer(3, 200, "", "");
    fake_answer(4, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
    check_has(fake_request(3), nonce);
    check_state("account-1", ACCOUNT_COMPLETED, USER);
}

static void nonces_are_checked(void **state) {
    (void)state;
    static const int ages[] = {601, 100000, -8, -100000};
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        make_nonce("account-1", ages[i]);
        assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID);
    }
    make_nonce("account-3", 0); /* of nobody here */
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID);
    make_nonce("account-1", 0);
    static const char *const times[] = {"", "x", "-1", "1e9", "99999999999999999999", " 1"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        assert_int_equal(linking_claim(&door, keys, USER, nonce, times[i], &reason), ERROR_INVALID);
    nonce[5] = nonce[5] == 'A' ? 'B' : 'A';
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID);
    nonce[42] = '\0';
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), ERROR_INVALID);
    assert_int_equal(linking_claim(&door, keys, USER, "", now, &reason), ERROR_INVALID);
    assert_int_equal(fake_count(), 0);
    check_state("account-1", ACCOUNT_UNCLAIMED, "");
}

static void a_clock_may_differ_by_five_seconds(void **state) {
    (void)state;
    make_nonce("account-1", -4);
    fake_answer(1, 200, "", "");
    fake_answer(2, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
}

static void ring_is_asked_first_if_an_account_is_not_known(void **state) {
    (void)state;
    struct account *account = account_alloc();
    snprintf(account->name, sizeof account->name, "code-0123456789abcdef0123456789abcdef");
    snprintf(account->access, sizeof account->access, "access-9");
    account->refreshed_at = timestamp_now();
    account->expires_at = timestamp_now() + 10000 * SECOND;
    assert_int_equal(account_save(&door, account, &reason), 0);
    make_nonce("account-3", 0);
    fake_answer(1, 200, "", "{\"data\":{\"id\":\"account-3\"}}");
    fake_answer(2, 200, "", "");
    fake_answer(3, 200, "", "");
    assert_int_equal(linking_claim(&door, keys, USER, nonce, now, &reason), 0);
    check_state("account-3", ACCOUNT_COMPLETED, USER);
    account_free(account);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(linking_runs_to_completion),         TEST(a_failed_post_is_taken_up_again),
        TEST(a_lost_post_is_completed),           TEST(a_failed_patch_is_taken_up_again),
        TEST(a_new_nonce_starts_again),           TEST(nonces_are_checked),
        TEST(a_clock_may_differ_by_five_seconds), TEST(ring_is_asked_first_if_an_account_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
