#include "intake.h"
#include "support.h"

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

static void judge(const char *body, size_t length, const char *signature) {
    const struct request_metadata metadata = {.method = "POST", .signature = signature};
    intake_request(&config, keys, parser, &metadata, body, length, &decision);
}

static void method_and_length_decide_first(void **state) {
    (void)state;
    static const struct {
        const char *method, *length;
        size_t sent;
        enum disposition disposition; /* DISPOSITION_UNAUTHORIZED: the signature is checked next */
    } cases[] = {
        {"POST", "0", 0, DISPOSITION_UNAUTHORIZED},
        {"POST", "5", 5, DISPOSITION_UNAUTHORIZED},
        {"POST", "0005", 5, DISPOSITION_UNAUTHORIZED},
        {"POST", "5", 4, DISPOSITION_MALFORMED},
        {"POST", "5", 6, DISPOSITION_MALFORMED},
        {"POST", "0", 1, DISPOSITION_MALFORMED},
        {"POST", "1000", 1000, DISPOSITION_UNAUTHORIZED},
        {"POST", "1001", 1001, DISPOSITION_TOO_LARGE},
        {"POST", "1001", 0, DISPOSITION_TOO_LARGE},
        {"POST", "99999999999999999999999999", 0, DISPOSITION_TOO_LARGE},
        {"POST", NULL, 0, DISPOSITION_LENGTH_REQUIRED},
        {"POST", "", 0, DISPOSITION_LENGTH_REQUIRED},
        {"POST", "-1", 0, DISPOSITION_LENGTH_REQUIRED},
        {"POST", NULL, 5, DISPOSITION_UNAUTHORIZED},
        {"POST", "", 5, DISPOSITION_UNAUTHORIZED},
        {"POST", "-1", 1000, DISPOSITION_UNAUTHORIZED},
        {"POST", NULL, 1001, DISPOSITION_TOO_LARGE},
        {"POST", "-1", BODY_LIMIT + 1, DISPOSITION_TOO_LARGE},
        {"POST", "-2", 5, DISPOSITION_MALFORMED},
        {"POST", "+1", 1, DISPOSITION_MALFORMED},
        {"POST", "1 ", 1, DISPOSITION_MALFORMED},
        {"POST", "0x10", 16, DISPOSITION_MALFORMED},
        {"POST", "?", 1, DISPOSITION_MALFORMED},
        {"GET", "1", 1, DISPOSITION_METHOD_NOT_ALLOWED},
        {"post", "1", 1, DISPOSITION_METHOD_NOT_ALLOWED},
        {"", "1", 1, DISPOSITION_METHOD_NOT_ALLOWED},
        {NULL, "1", 1, DISPOSITION_METHOD_NOT_ALLOWED},
        {"HEAD", NULL, 0, DISPOSITION_METHOD_NOT_ALLOWED},
    };
    static const char body[1000];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct request_metadata metadata = {.method = cases[i].method,
                                                  .content_length = cases[i].length};
        intake_request(&config, keys, parser, &metadata, body, cases[i].sent, &decision);
        assert_int_equal(decision.disposition, cases[i].disposition);
        assert_string_not_equal(decision.cause.text, "");
    }
}

/* Signs a body with the sample key and judges it. */
static void judge_signed(const char *body, size_t length) {
    uint8_t digest[SIGNATURE_BYTES];
    char signature[SIGNATURE_TEXT_SIZE];
    signature_make(keys, 0, body, length, digest);
    signature_format(digest, signature);
    judge(body, length, signature);
}

static void a_signed_press_is_usable(void **state) {
    (void)state;
    char body[SAMPLE_SIZE];
    size_t length = read_sample("button_press.json", body);
    judge_signed(body, length);
    assert_int_equal(decision.disposition, DISPOSITION_ACCEPTED);
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
        judge(body, length, signatures[i]);
        assert_int_equal(decision.disposition, DISPOSITION_UNAUTHORIZED);
        assert_string_equal(decision.event.id, "");
        assert_string_equal(decision.key, "");
        assert_true(decision.cause.text[0] != '\0');
    }
}

static void unusable_signed_bodies_are_rejected_with_a_reason(void **state) {
    (void)state;
    judge_signed("hello", 5);
    assert_int_equal(decision.disposition, DISPOSITION_REJECTED);
    assert_non_null(strstr(decision.cause.text, "not valid JSON"));
    judge_signed("{\"meta\":{},\"data\":{}}", 21);
    assert_int_equal(decision.disposition, DISPOSITION_REJECTED);
    assert_string_equal(decision.cause.text, "meta.request_id is missing");
}

/* Age is judged after asking the journal (test_journal.c). */
static void an_old_event_is_usable(void **state) {
    (void)state;
    static const char old[] = "{\"meta\":{\"time\":\"1999-01-01T00:00:00Z\",\"request_id\":\"r\"},"
                              "\"data\":{\"id\":\"i\",\"type\":\"t\"}}";
    config.max_age = 60;
    judge_signed(old, sizeof old - 1);
    assert_int_equal(decision.disposition, DISPOSITION_ACCEPTED);
    assert_true(decision.event.has_time);
    static const char timeless[] = "{\"meta\":{\"request_id\":\"r\"},\"data\":{\"id\":\"i\",\"type\":\"t\"}}";
    judge_signed(timeless, sizeof timeless - 1);
    assert_int_equal(decision.disposition, DISPOSITION_ACCEPTED);
    assert_false(decision.event.has_time);
    static const char unreadable[] =
        "{\"meta\":{\"request_id\":\"r\",\"time\":\"simulated\"},\"data\":{\"id\":\"i\",\"type\":\"t\"}}";
    judge_signed(unreadable, sizeof unreadable - 1);
    assert_int_equal(decision.disposition, DISPOSITION_ACCEPTED);
    assert_true(decision.event.time_is_present && !decision.event.has_time);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(method_and_length_decide_first),
        TEST(a_signed_press_is_usable),
        TEST(without_a_signature_nothing_is_read),
        TEST(unusable_signed_bodies_are_rejected_with_a_reason),
        TEST(an_old_event_is_usable),
    };
    return cmocka_run_group_tests_name("intake", tests, set_up, tear_down);
}
