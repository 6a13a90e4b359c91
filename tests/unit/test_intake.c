#include "intake.h"
#include "support.h"
#include "timestamp.h"

#include <stdio.h>
#include <string.h>

static struct keys *keys;
static struct event_parser *parser;
static struct config config;
static struct decision decision;

static int set_up(void **state) {
    (void)state;
    keys = sample_keys();
    parser = event_parser_new();
    return parser == NULL;
}

static int tear_down(void **state) {
    (void)state;
    keys_free(keys);
    event_parser_free(parser);
    return 0;
}

static int reset(void **state) {
    (void)state;
    config = (struct config){.max_body = 1000};
    return 0;
}

static long head_of(const char *method, const char *length) {
    const struct head head = {.method = method, .content_length = length};
    return intake_head(&config, &head, &decision);
}

static void the_head_decides_first(void **state) {
    (void)state;
    static const struct {
        const char *method, *length;
        long wanted;
        enum verdict verdict;
    } cases[] = {
        {"POST", "0", 0, 0},
        {"POST", "1000", 1000, 0},
        {"POST", "1001", ERROR_INVALID, VERDICT_TOO_LARGE},
        {"POST", "99999999999999999999999999", ERROR_INVALID, VERDICT_TOO_LARGE},
        {"POST", NULL, ERROR_INVALID, VERDICT_NO_LENGTH},
        {"POST", "", ERROR_INVALID, VERDICT_NO_LENGTH},
        {"POST", "-1", ERROR_INVALID, VERDICT_MALFORMED},
        {"POST", "+1", ERROR_INVALID, VERDICT_MALFORMED},
        {"POST", "1 ", ERROR_INVALID, VERDICT_MALFORMED},
        {"POST", "0x10", ERROR_INVALID, VERDICT_MALFORMED},
        {"GET", "1", ERROR_INVALID, VERDICT_NOT_POST},
        {"post", "1", ERROR_INVALID, VERDICT_NOT_POST},
        {"", "1", ERROR_INVALID, VERDICT_NOT_POST},
        {NULL, "1", ERROR_INVALID, VERDICT_NOT_POST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(head_of(cases[i].method, cases[i].length), cases[i].wanted);
        if (cases[i].wanted < 0)
            assert_int_equal(decision.verdict, cases[i].verdict);
    }
}

static void judge(const char *body, size_t length, const char *signature, int64_t now) {
    const struct head head = {.method = "POST", .content_length = "1", .signature = signature};
    assert_int_equal(intake_head(&config, &head, &decision), 1);
    intake_body(&config, keys, parser, &head, body, length, now, &decision);
}

/* Signs a body with the sample key and judges it. */
static void judge_signed(const char *body, size_t length, int64_t now) {
    uint8_t digest[SIGNATURE_BYTES];
    char signature[SIGNATURE_TEXT_SIZE];
    signature_make(keys, 0, body, length, digest);
    signature_format(digest, signature);
    judge(body, length, signature, now);
}

static void a_signed_press_is_usable(void **state) {
    (void)state;
    char body[SAMPLE_SIZE];
    size_t length = read_sample("button_press.json", body);
    judge_signed(body, length, 0);
    assert_int_equal(decision.verdict, VERDICT_USABLE);
    assert_string_equal(decision.key, "69ffb5b9");
    assert_string_equal(decision.signature,
                        "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df");
    assert_string_equal(decision.event.type, "button_press");
}

static void without_a_signature_nothing_is_read(void **state) {
    (void)state;
    static const char *const signatures[] = {
        NULL, "", "sha256=", "nonsense",
        "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0de"};
    char body[SAMPLE_SIZE];
    size_t length = read_sample("button_press.json", body);
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        judge(body, length, signatures[i], 0);
        assert_int_equal(decision.verdict, VERDICT_UNSIGNED);
        assert_string_equal(decision.event.id, "");
        assert_string_equal(decision.key, "");
        assert_true(decision.cause.text[0] != '\0');
    }
}

static void signed_nonsense_is_rejected_with_a_reason(void **state) {
    (void)state;
    judge_signed("hello", 5, 0);
    assert_int_equal(decision.verdict, VERDICT_REJECTED);
    assert_non_null(strstr(decision.cause.text, "not JSON"));
    judge_signed("{\"meta\":{},\"data\":{}}", 21, 0);
    assert_int_equal(decision.verdict, VERDICT_REJECTED);
    assert_string_equal(decision.cause.text, "meta.request_id is missing");
}

static void age_counts_where_it_is_asked_for(void **state) {
    (void)state;
    char body[SAMPLE_SIZE];
    size_t length = read_sample("button_press.json", body);
    int64_t sent;
    assert_int_equal(timestamp_parse("2026-02-14T00:02:53.027052438Z", 30, &sent), 0);
    judge_signed(body, length, sent + 1000000 * SECOND);
    assert_int_equal(decision.verdict, VERDICT_USABLE);
    config.max_age = 60;
    judge_signed(body, length, sent + 60 * SECOND);
    assert_int_equal(decision.verdict, VERDICT_USABLE);
    judge_signed(body, length, sent - 3600 * SECOND); /* a clock that is behind is no reason to refuse */
    assert_int_equal(decision.verdict, VERDICT_USABLE);
    judge_signed(body, length, sent + 60 * SECOND + 1);
    assert_int_equal(decision.verdict, VERDICT_REJECTED);
    assert_string_equal(decision.cause.text, "stale");
    static const char timeless[] = "{\"meta\":{\"request_id\":\"r\"},\"data\":{\"id\":\"i\",\"type\":\"t\"}}";
    judge_signed(timeless, sizeof timeless - 1, sent);
    assert_int_equal(decision.verdict, VERDICT_REJECTED);
    assert_string_equal(decision.cause.text, "meta.time is missing");
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_head_decides_first),
        TEST(a_signed_press_is_usable),
        TEST(without_a_signature_nothing_is_read),
        TEST(signed_nonsense_is_rejected_with_a_reason),
        TEST(age_counts_where_it_is_asked_for),
    };
    return cmocka_run_group_tests_name("intake", tests, set_up, tear_down);
}
