/* Each decision has one status, and the answer to it says no more than its sender may know. */
#include "support.h"

#include "response.h"

#include <stdio.h>
#include <string.h>

#define OUTCOMES (OUTCOME_REJECTED + 1)

static struct decision decision;
static char text[RESPONSE_SIZE + 1];

static void decide(enum verdict verdict, const char *cause) {
    memset(&decision, 0, sizeof decision);
    decision.verdict = verdict;
    snprintf(decision.event.id, sizeof decision.event.id, "event-1");
    snprintf(decision.cause.text, sizeof decision.cause.text, "%s", cause);
}

static const char *answer_to(enum verdict verdict, const char *cause, enum outcome outcome, uint64_t seq) {
    decide(verdict, cause);
    text[response_write(&decision, outcome, seq, true, text)] = '\0';
    return text;
}

static void what_was_kept_decides_for_what_was_signed(void **state) {
    static const struct {
        enum outcome outcome;
        int status;
        const char *word;
    } cases[] = {{OUTCOME_STORED, 200, "stored"},
                 {OUTCOME_DUPLICATE, 200, "duplicate"},
                 {OUTCOME_REJECTED, 400, "rejected"},
                 {OUTCOME_TROUBLE, 503, "unavailable"}};
    static const enum verdict verdicts[] = {VERDICT_USABLE, VERDICT_REJECTED};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        decide(verdicts[i % 2], "");
        struct verdict_line line = response_verdict(&decision, cases[i / 2].outcome);
        assert_int_equal(line.status, cases[i / 2].status);
        assert_string_equal(line.word, cases[i / 2].word);
    }
}

/* Nothing of them is kept, so the outcome means nothing. */
static void the_decision_alone_decides_for_the_rest(void **state) {
    static const struct {
        enum verdict verdict;
        int status;
        const char *word;
    } cases[] = {{VERDICT_UNSIGNED, 401, "unauthorized"},     {VERDICT_NOT_POST, 405, "method_not_allowed"},
                 {VERDICT_NO_LENGTH, 411, "length_required"}, {VERDICT_TOO_LARGE, 413, "too_large"},
                 {VERDICT_MALFORMED, 400, "malformed"},       {VERDICT_TROUBLE, 503, "unavailable"}};
    (void)state;
    for (size_t i = 0; i < OUTCOMES * sizeof cases / sizeof *cases; i++) {
        decide(cases[i / OUTCOMES].verdict, "");
        struct verdict_line line = response_verdict(&decision, (enum outcome)(i % OUTCOMES));
        assert_int_equal(line.status, cases[i / OUTCOMES].status);
        assert_string_equal(line.word, cases[i / OUTCOMES].word);
    }
}

static void each_status_has_its_fields_and_body(void **state) {
    static const struct {
        enum verdict verdict;
        enum outcome outcome;
        uint64_t seq;
        const char *status, *fields, *body;
    } cases[] = {
        {VERDICT_USABLE, OUTCOME_STORED, 1042, "200 OK", "",
         "{\"status\":\"stored\",\"event_id\":\"event-1\",\"seq\":1042}\n"},
        {VERDICT_USABLE, OUTCOME_DUPLICATE, UINT64_MAX, "200 OK", "",
         "{\"status\":\"duplicate\",\"event_id\":\"event-1\",\"seq\":18446744073709551615}\n"},
        {VERDICT_REJECTED, OUTCOME_REJECTED, 0, "400 Bad Request", "",
         "{\"status\":\"rejected\",\"reason\":\"the \\\"cause\\\"\"}\n"},
        {VERDICT_MALFORMED, OUTCOME_TROUBLE, 0, "400 Bad Request", "",
         "{\"status\":\"malformed\",\"reason\":\"the \\\"cause\\\"\"}\n"},
        {VERDICT_UNSIGNED, OUTCOME_TROUBLE, 0, "401 Unauthorized",
         "WWW-Authenticate: Signature realm=\"X-Signature\"\r\n", "{\"status\":\"unauthorized\"}\n"},
        {VERDICT_NOT_POST, OUTCOME_TROUBLE, 0, "405 Method Not Allowed", "Allow: POST\r\n",
         "{\"status\":\"method_not_allowed\"}\n"},
        {VERDICT_NO_LENGTH, OUTCOME_TROUBLE, 0, "411 Length Required", "",
         "{\"status\":\"length_required\"}\n"},
        {VERDICT_TOO_LARGE, OUTCOME_TROUBLE, 0, "413 Content Too Large", "", "{\"status\":\"too_large\"}\n"},
        {VERDICT_TROUBLE, OUTCOME_TROUBLE, 0, "503 Service Unavailable", "Retry-After: 30\r\n",
         "{\"status\":\"unavailable\"}\n"}};
    char wanted[RESPONSE_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(wanted, sizeof wanted,
                 "Status: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Cache-Control: no-store\r\n%s\r\n%s",
                 cases[i].status, strlen(cases[i].body), cases[i].fields, cases[i].body);
        assert_string_equal(answer_to(cases[i].verdict, "the \"cause\"", cases[i].outcome, cases[i].seq),
                            wanted);
    }
}

static void a_stranger_learns_no_cause(void **state) {
    static const struct {
        enum verdict verdict;
        enum outcome outcome;
    } cases[] = {{VERDICT_UNSIGNED, OUTCOME_TROUBLE},
                 {VERDICT_TROUBLE, OUTCOME_TROUBLE},
                 {VERDICT_USABLE, OUTCOME_TROUBLE},
                 {VERDICT_REJECTED, OUTCOME_TROUBLE}};
    char first[RESPONSE_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(first, sizeof first, "%s", answer_to(cases[i].verdict, "a cause", cases[i].outcome, 7));
        assert_null(strstr(first, "cause"));
        assert_null(strstr(first, "event-1"));
        assert_string_equal(answer_to(cases[i].verdict, "the other", cases[i].outcome, 8), first);
    }
}

/* RFC 9110, section 9.3.2. */
static void head_gets_no_body_and_no_fields_of_one(void **state) {
    (void)state;
    decide(VERDICT_NOT_POST, "");
    text[response_write(&decision, OUTCOME_TROUBLE, 0, false, text)] = '\0';
    assert_string_equal(text,
                        "Status: 405 Method Not Allowed\r\nCache-Control: no-store\r\nAllow: POST\r\n\r\n");
}

/* The bytes that grow most when they are escaped. */
static void the_longest_identifier_and_reason_fit(void **state) {
    (void)state;
    for (int rejected = 0; rejected < 2; rejected++) {
        unsigned length = 0;
        decide(rejected ? VERDICT_REJECTED : VERDICT_USABLE, "");
        memset(decision.event.id, '\x01', sizeof decision.event.id - 1);
        memset(decision.cause.text, '\xff', sizeof decision.cause.text - 1);
        size_t written =
            response_write(&decision, rejected ? OUTCOME_REJECTED : OUTCOME_STORED, UINT64_MAX, true, text);
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
