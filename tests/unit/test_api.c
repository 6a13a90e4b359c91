#include "doors.h"

#include "api.h"
#include "timestamp.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ME "{\"data\":{\"id\":\"account-1\",\"type\":\"users\"}}"

static struct config config;
static struct door door;
static struct reason reason;

static void check_has(const char *text, const char *wanted) {
    if (strstr(text, wanted) == NULL)
        fail_msg("\"%s\" does not have \"%s\"", text, wanted);
}

/* What the file says about an account. */
static struct account *stored(const char *id) {
    struct account *account = account_alloc();
    if (account_find(&door, id, account, &reason) != 1)
        fail_msg("no account %s: %s", id, reason.text);
    return account;
}

static void check_tokens(const char *id, const char *access, const char *refresh) {
    struct account *account = stored(id);
    assert_string_equal(account->access, access);
    assert_string_equal(account->refresh, refresh);
    account_free(account);
}

/* ---- codes ---- */

static void a_code_becomes_an_unclaimed_account(void **state) {
    make_door(*state, &config, &door);
    fake_answer(1, 200, "Content-Type: application/json\r\n", tokens(1));
    fake_answer(2, 200, "", ME);
    assert_int_equal(api_exchange(&door, "code-1&x", &reason), 0);
    assert_string_equal(fake_arguments(1), "--disable --config -\n");
    check_has(fake_request(1), "url = \"https://oauth.ring.com/oauth/token\"\n");
    check_has(fake_request(1),
              "data-raw = \"grant_type=authorization_code&code=code-1%26x&client_id=client-1&"
              "client_secret=secret%261\"\n");
    check_has(fake_request(1), "proto = \"=https\"\n");
    check_has(fake_request(2), "url = \"https://api.amazonvision.com/v1/users/me\"\n");
    check_has(fake_request(2), "header = \"Authorization: Bearer access-1\"\n");
    struct account *account = stored("account-1");
    assert_int_equal(account->state, ACCOUNT_UNCLAIMED);
    assert_string_equal(account->user, "");
    account_free(account);
    assert_int_equal(api_exchange(&door, "code-1&x", &reason), 0); /* and nothing is sent */
    assert_int_equal(fake_count(), 2);
    door_close(&door);
}

static void a_code_is_sent_once(void **state) {
    make_door(*state, &config, &door);
    assert_int_equal(api_exchange(&door, "lost", &reason), ERROR_SYSTEM);
    assert_int_equal(api_exchange(&door, "lost", &reason), ERROR_INVALID);
    check_has(reason.text, "answer was lost");
    assert_int_equal(fake_count(), 1);
    fake_answer(2, 400, "", "{\"error\":\"invalid_grant\"}");
    assert_int_equal(api_exchange(&door, "refused", &reason), ERROR_INVALID);
    assert_int_equal(api_exchange(&door, "refused", &reason), ERROR_INVALID);
    assert_int_equal(fake_count(), 2);
    door_close(&door);
}

static void tokens_are_kept_when_their_account_is_not_known(void **state) {
    make_door(*state, &config, &door);
    fake_answer(1, 200, "", tokens(1));
    fake_answer(2, 503, "", "");
    assert_int_equal(api_exchange(&door, "code", &reason), ERROR_SYSTEM);
    fake_answer(3, 200, "", ME);
    assert_int_equal(api_exchange(&door, "code", &reason), 0);
    assert_int_equal(fake_count(), 3);
    check_tokens("account-1", "access-1", "refresh-1");
    door_close(&door);
}

static void a_code_is_checked(void **state) {
    static char long_code[2050];
    static const char *const bad[] = {"", "a b", "a\nb", "\xc3\xa4", long_code};
    memset(long_code, 'a', sizeof long_code - 1);
    make_door(*state, &config, &door);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(api_exchange(&door, bad[i], &reason), ERROR_INVALID);
    assert_int_equal(fake_count(), 0);
    door_close(&door);
}

static void codes_are_limited(void **state) {
    int turns[4];
    char code[24], path[64];
    make_door(*state, &config, &door);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "codes/turn-%d.lock", i);
        turns[i] = door_lock(&door, path, 0, &reason);
        assert_true(turns[i] >= 0);
    }
    assert_int_equal(api_exchange(&door, "code", &reason), ERROR_TIMEOUT);
    for (int i = 0; i < 4; i++)
        close(turns[i]);
    int sent = 0, result = 0;
    for (int i = 0; i < 150 && result != ERROR_TIMEOUT; i++) { /* a minute may end meanwhile */
        snprintf(code, sizeof code, "code-%d", i);
        result = api_exchange(&door, code, &reason);
        sent += result != ERROR_TIMEOUT;
    }
    assert_int_equal(result, ERROR_TIMEOUT);
    check_has(reason.text, "in this minute");
    assert_int_equal(fake_count(), sent);
    assert_true(sent >= 60 && sent <= 120);
    door_close(&door);
}

static void old_codes_are_removed(void **state) {
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    make_door(*state, &config, &door);
    write_file(path_in(config.door, "codes/0123456789abcdef0123456789abcdef"), "sent\n", 5, 0600);
    write_file(path_in(config.door, "codes/1123456789abcdef0123456789abcdef"), "sent\n", 5, 0600);
    utimensat(AT_FDCWD, path_in(config.door, "codes/0123456789abcdef0123456789abcdef"), old, 0);
    api_exchange(&door, "code", &reason);
    assert_int_not_equal(access(path_in(config.door, "codes/0123456789abcdef0123456789abcdef"), F_OK), 0);
    assert_int_equal(access(path_in(config.door, "codes/1123456789abcdef0123456789abcdef"), F_OK), 0);
    door_close(&door);
}

/* ---- renewing ---- */

static void tokens_are_renewed_when_due(void **state) {
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 3600, 3600);
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), 0);
    assert_int_equal(fake_count(), 0);
    fake_answer(1, 200, "", tokens(2));
    assert_int_equal(api_refresh(&door, account, 3599, &reason), 0);
    check_has(fake_request(1), "data-raw = \"grant_type=refresh_token&refresh_token=refresh-1&client_id=");
    assert_string_equal(account->access, "access-2");
    check_tokens("account-1", "access-2", "refresh-2");
    fake_answer(2, 200, "", tokens(3));
    assert_int_equal(api_refresh(&door, account, -1, &reason), 0);
    check_tokens("account-1", "access-3", "refresh-3");
    account->expires_at = timestamp_now() + (API_EARLY - 1) * SECOND;
    assert_int_equal(account_save(&door, account, &reason), 0);
    fake_answer(3, 200, "", tokens(4));
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), 0);
    assert_int_equal(fake_count(), 3);
    account_free(account);
    door_close(&door);
}

static void a_pair_that_another_has_renewed_is_taken(void **state) {
    make_door(*state, &config, &door);
    struct account *mine = make_account(&door, "account-1", 0, 1), *other = stored("account-1");
    fake_answer(1, 200, "", tokens(2));
    assert_int_equal(api_refresh(&door, other, API_DAILY, &reason), 0);
    assert_int_equal(api_refresh(&door, mine, -1, &reason), 0);
    assert_int_equal(fake_count(), 1);
    assert_string_equal(mine->access, "access-2");
    account_free(mine);
    account_free(other);
    door_close(&door);
}

static void the_old_pair_stays_until_there_is_a_new_one(void **state) {
    static const struct {
        int status;
        const char *body;
    } cases[] = {{500, ""},
                 {429, ""},
                 {401, ""},
                 {400, "{\"error\":\"invalid_request\"}"},
                 {401, "{\"error\":\"invalid_client\"}"},
                 {200, ""},
                 {200, "{\"access_token\":\"a\",\"refresh_token\":\"b\\nX: y\"}"},
                 {200, "{\"access_token\":\"a b\",\"refresh_token\":\"b\"}"},
                 {200, "{\"access_token\":7,\"refresh_token\":\"b\"}"}};
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_answer((int)i + 1, cases[i].status, "", cases[i].body);
        assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), ERROR_SYSTEM);
        assert_string_equal(account->refresh, "refresh-1");
        check_tokens("account-1", "access-1", "refresh-1");
    }
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), ERROR_SYSTEM); /* no answer */
    check_tokens("account-1", "access-1", "refresh-1");
    account_free(account);
    door_close(&door);
}

static void a_refused_refresh_token_is_remembered(void **state) {
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, 0);
    fake_answer(1, 400, "", "{\"error\":\"invalid_grant\"}");
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), ERROR_INVALID);
    check_has(account->error, "connect it again");
    account_free(account);
    account = stored("account-1");
    check_has(account->error, "connect it again");
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), ERROR_INVALID);
    assert_int_equal(fake_count(), 1);
    account_free(account);
    door_close(&door);
}

static void nothing_is_renewed_if_it_could_not_be_saved(void **state) {
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, 0);
    const struct rlimit none = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    assert_int_equal(api_refresh(&door, account, API_DAILY, &reason), ERROR_SYSTEM);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(fake_count(), 0);
    check_tokens("account-1", "access-1", "refresh-1");
    account_free(account);
    door_close(&door);
}

/* ---- requests ---- */

static int get(struct account *account, const char *path, struct http_response *response) {
    struct http_request request = {.method = "GET"};
    return api_send(&door, account, path, &request, response, &reason);
}

static void a_401_renews_the_token_once(void **state) {
    struct http_response response;
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, 10000);
    fake_answer(1, 401, "", "");
    fake_answer(2, 200, "", tokens(2));
    fake_answer(3, 200, "Location: https://elsewhere/x\r\n", "ok");
    assert_int_equal(get(account, "/v1/devices", &response), 0);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "ok");
    assert_string_equal(response.location, "https://elsewhere/x");
    http_free(&response);
    check_has(fake_request(3), "Bearer access-2\"\n");
    for (int i = 4; i <= 6; i++)
        fake_answer(i, i == 5 ? 200 : 401, "", i == 5 ? tokens(3) : "");
    assert_int_equal(get(account, "/v1/devices", &response), ERROR_INVALID);
    http_free(&response);
    assert_int_equal(fake_count(), 6);
    account_free(account);
    door_close(&door);
}

static void the_token_goes_to_the_api_alone(void **state) {
    static const char *const bad[] = {"https://elsewhere/v1/devices",
                                      API_DEFAULT ".elsewhere/v1/devices",
                                      API_DEFAULT "@elsewhere/v1/devices",
                                      API_DEFAULT "/v2/devices",
                                      "/v1/a b",
                                      "/v1/a\r\nX: y",
                                      "v1/devices",
                                      ""};
    struct http_response response;
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, 10000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(get(account, bad[i], &response), ERROR_SYSTEM);
    assert_int_equal(fake_count(), 0);
    fake_answer(1, 204, "", "");
    assert_int_equal(get(account, API_DEFAULT "/v1/devices/1/sessions/2?location=3", &response), 0);
    http_free(&response);
    check_has(fake_request(1), "url = \"" API_DEFAULT "/v1/devices/1/sessions/2?location=3\"\n");
    account_free(account);
    door_close(&door);
}

static void a_good_token_is_used_while_the_token_server_is_away(void **state) {
    struct http_response response;
    make_door(*state, &config, &door);
    struct account *account = make_account(&door, "account-1", 0, API_EARLY - 10);
    fake_answer(1, 503, "", "");
    fake_answer(2, 200, "", "ok");
    assert_int_equal(get(account, "/v1/devices", &response), 0);
    http_free(&response);
    account_free(account);
    door_close(&door);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_code_becomes_an_unclaimed_account),
        TEST(a_code_is_sent_once),
        TEST(tokens_are_kept_when_their_account_is_not_known),
        TEST(a_code_is_checked),
        TEST(codes_are_limited),
        TEST(old_codes_are_removed),
        TEST(tokens_are_renewed_when_due),
        TEST(a_pair_that_another_has_renewed_is_taken),
        TEST(the_old_pair_stays_until_there_is_a_new_one),
        TEST(a_refused_refresh_token_is_remembered),
        TEST(nothing_is_renewed_if_it_could_not_be_saved),
        TEST(a_401_renews_the_token_once),
        TEST(the_token_goes_to_the_api_alone),
        TEST(a_good_token_is_used_while_the_token_server_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
