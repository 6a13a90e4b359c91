/* Each decision has one status, and the answer to it says no more than its sender may know. */
#include "support.h"

#include "response.h"

#include <stdio.h>
#include <string.h>

#define OUTCOMES (DISPOSITION_REJECTED + 1)

static struct decision decision;
static char text[RESPONSE_SIZE + 1];

static void decide(enum disposition disposition, const char *cause) {
    memset(&decision, 0, sizeof decision);
    decision.disposition = disposition;
    snprintf(decision.event.id, sizeof decision.event.id, "event-1");
    snprintf(decision.cause.text, sizeof decision.cause.text, "%s", cause);
}

static const char *answer_to(enum disposition disposition, const char *cause, enum disposition disposition,
                             uint64_t seq) {
    decide(disposition, cause);
    text[response_write(&decision, disposition, seq, true, text)] = '\0';
    return text;
}

static void what_was_kept_decides_for_what_was_signed(void **state) {
    static const struct {
        enum disposition disposition;
        int status;
        const char *word;
    } cases[] = {{DISPOSITION_STORED, 200, "stored"},
                 {DISPOSITION_DUPLICATE, 200, "duplicate"},
                 {DISPOSITION_REJECTED, 400, "rejected"},
                 {DISPOSITION_UNAVAILABLE, 503, "unavailable"}};
    static const enum disposition verdicts[] = {DISPOSITION_ACCEPTED, DISPOSITION_REJECTED};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        decide(verdicts[i % 2], "");
        struct verdict_line line = response_verdict(&decision, cases[i / 2].disposition);
        assert_int_equal(line.status, cases[i / 2].status);
        assert_string_equal(line.word, cases[i / 2].word);
    }
}

/* Nothing of them is kept, so the outcome means nothing. */
static void the_decision_alone_decides_for_the_rest(void **state) {
    static const struct {
        enum disposition disposition;
        int status;
        const char *word;
    } cases[] = {{DISPOSITION_UNAUTHORIZED, 401, "unauthorized"},
                 {DISPOSITION_METHOD_NOT_ALLOWED, 405, "method_not_allowed"},
                 {DISPOSITION_LENGTH_REQUIRED, 411, "length_required"},
                 {DISPOSITION_TOO_LARGE, 413, "too_large"},
                 {DISPOSITION_MALFORMED, 400, "malformed"},
                 {DISPOSITION_UNAVAILABLE, 503, "unavailable"}};
    (void)state;
    for (size_t i = 0; i < OUTCOMES * sizeof cases / sizeof *cases; i++) {
        decide(cases[i / OUTCOMES].disposition, "");
        struct verdict_line line = response_verdict(&decision, (enum disposition)(i % OUTCOMES));
        assert_int_equal(line.status, cases[i / OUTCOMES].status);
        assert_string_equal(line.word, cases[i / OUTCOMES].word);
    }
}

static void each_status_has_its_fields_and_body(void **state) {
    static const struct {
        enum disposition disposition;
        enum disposition disposition;
        uint64_t seq;
        const char *status, *fields, *body;
    } cases[] = {{DISPOSITION_ACCEPTED, DISPOSITION_STORED, 1042, "200 OK", "",
                  "{\"status\":\"stored\",\"event_id\":\"event-1\",\"seq\":1042}\n"},
                 {DISPOSITION_ACCEPTED, DISPOSITION_DUPLICATE, UINT64_MAX, "200 OK", "",
                  "{\"status\":\"duplicate\",\"event_id\":\"event-1\",\"seq\":18446744073709551615}\n"},
                 {DISPOSITION_REJECTED, DISPOSITION_REJECTED, 0, "400 Bad Request", "",
                  "{\"status\":\"rejected\",\"reason\":\"the \\\"cause\\\"\"}\n"},
                 {DISPOSITION_MALFORMED, DISPOSITION_UNAVAILABLE, 0, "400 Bad Request", "",
                  "{\"status\":\"malformed\",\"reason\":\"the \\\"cause\\\"\"}\n"},
                 {DISPOSITION_UNAUTHORIZED, DISPOSITION_UNAVAILABLE, 0, "401 Unauthorized",
                  "WWW-Authenticate: Signature realm=\"X-Signature\"\r\n", "{\"status\":\"unauthorized\"}\n"},
                 {DISPOSITION_METHOD_NOT_ALLOWED, DISPOSITION_UNAVAILABLE, 0, "405 Method Not Allowed",
                  "Allow: POST\r\n", "{\"status\":\"method_not_allowed\"}\n"},
                 {DISPOSITION_LENGTH_REQUIRED, DISPOSITION_UNAVAILABLE, 0, "411 Length Required", "",
                  "{\"status\":\"length_required\"}\n"},
                 {DISPOSITION_TOO_LARGE, DISPOSITION_UNAVAILABLE, 0, "413 Content Too Large", "",
                  "{\"status\":\"too_large\"}\n"},
                 {DISPOSITION_UNAVAILABLE, DISPOSITION_UNAVAILABLE, 0, "503 Service Unavailable",
                  "Retry-After: 30\r\n", "{\"status\":\"unavailable\"}\n"}};
    char wanted[RESPONSE_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(wanted, sizeof wanted,
                 "Status: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Cache-Control: no-store\r\n%s\r\n%s",
                 cases[i].status, strlen(cases[i].body), cases[i].fields, cases[i].body);
        assert_string_equal(
            answer_to(cases[i].disposition, "the \"cause\"", cases[i].disposition, cases[i].seq), wanted);
    }
}

static void a_stranger_learns_no_cause(void **state) {
    static const struct {
        enum disposition disposition;
        enum disposition disposition;
    } cases[] = {{DISPOSITION_UNAUTHORIZED, DISPOSITION_UNAVAILABLE},
                 {DISPOSITION_UNAVAILABLE, DISPOSITION_UNAVAILABLE},
                 {DISPOSITION_ACCEPTED, DISPOSITION_UNAVAILABLE},
                 {DISPOSITION_REJECTED, DISPOSITION_UNAVAILABLE}};
    char first[RESPONSE_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(first, sizeof first, "%s",
                 answer_to(cases[i].disposition, "a cause", cases[i].disposition, 7));
        assert_null(strstr(first, "cause"));
        assert_null(strstr(first, "event-1"));
        assert_string_equal(answer_to(cases[i].disposition, "the other", cases[i].disposition, 8), first);
    }
}

/* RFC 9110, section 9.3.2. */
static void head_gets_no_body_and_no_fields_of_one(void **state) {
    (void)state;
    decide(DISPOSITION_METHOD_NOT_ALLOWED, "");
    text[response_write(&decision, DISPOSITION_UNAVAILABLE, 0, false, text)] = '\0';
    assert_string_equal(text,
                        "Status: 405 Method Not Allowed\r\nCache-Control: no-store\r\nAllow: POST\r\n\r\n");
}

/* The bytes that grow most when they are escaped. */
static void the_longest_identifier_and_reason_fit(void **state) {
    (void)state;
    for (int rejected = 0; rejected < 2; rejected++) {
        unsigned length = 0;
        decide(rejected ? DISPOSITION_REJECTED : DISPOSITION_ACCEPTED, "");
        memset(decision.event.id, '\x01', sizeof decision.event.id - 1);
        memset(decision.cause.text, '\xff', sizeof decision.cause.text - 1);
        size_t written = response_write(&decision, rejected ? DISPOSITION_REJECTED : DISPOSITION_STORED,
                                        UINT64_MAX, true, text);
        assert_true(written < RESPONSE_SIZE);
        text[written] = '\0';
        const char *body = strstr(text, "\r\n\r\n") + 4;
        assert_int_equal(sscanf(strstr(text, "Content-Length:"), "Content-Length: %u", &length), 1);
        assert_int_equal(length, strlen(body));
        const char *end = rejected ? "\\u00ff\"}\n" : "\\u0001\",\"seq\":18446744073709551615}\n";
        assert_string_equal(body + length - strlen(end), end);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_decides_for_what_was_signed),
        cmocka_unit_test(the_decision_alone_decides_for_the_rest),
        cmocka_unit_test(each_status_has_its_fields_and_body),
        cmocka_unit_test(a_stranger_learns_no_cause),
        cmocka_unit_test(head_gets_no_body_and_no_fields_of_one),
        cmocka_unit_test(the_longest_identifier_and_reason_fit),
    };
    return cmocka_run_group_tests_name("response", tests, NULL, NULL);
}
