/* Each disposition has one status, and its answer reveals no more than the sender may know. */
#include "support.h"

#include "response.h"

#include <stdio.h>
#include <string.h>

static struct decision decision;
static char text[RESPONSE_SIZE + 1];

static void decide(enum disposition disposition, const char *cause) {
    memset(&decision, 0, sizeof decision);
    decision.disposition = disposition;
    snprintf(decision.event.id, sizeof decision.event.id, "event-1");
    snprintf(decision.cause.text, sizeof decision.cause.text, "%s", cause);
}

static const char *answer_to(enum disposition disposition, const char *cause, uint64_t seq) {
    decide(disposition, cause);
    text[response_write(&decision, seq, true, text)] = '\0';
    return text;
}

static void each_disposition_has_its_status_fields_and_body(void **state) {
    static const struct {
        enum disposition disposition;
        uint64_t seq;
        const char *status, *fields, *body;
    } cases[] = {
        {DISPOSITION_STORED, 1042, "200 OK", "",
         "{\"status\":\"stored\",\"event_id\":\"event-1\",\"seq\":1042}\n"},
        {DISPOSITION_DUPLICATE, UINT64_MAX, "200 OK", "",
         "{\"status\":\"duplicate\",\"event_id\":\"event-1\",\"seq\":18446744073709551615}\n"},
        {DISPOSITION_REJECTED, 0, "400 Bad Request", "",
         "{\"status\":\"rejected\",\"reason\":\"the \\\"cause\\\"\"}\n"},
        {DISPOSITION_MALFORMED, 0, "400 Bad Request", "",
         "{\"status\":\"malformed\",\"reason\":\"the \\\"cause\\\"\"}\n"},
        {DISPOSITION_UNAUTHORIZED, 0, "401 Unauthorized",
         "WWW-Authenticate: Signature realm=\"X-Signature\"\r\n", "{\"status\":\"unauthorized\"}\n"},
        {DISPOSITION_METHOD_NOT_ALLOWED, 0, "405 Method Not Allowed", "Allow: POST\r\n",
         "{\"status\":\"method_not_allowed\"}\n"},
        {DISPOSITION_LENGTH_REQUIRED, 0, "411 Length Required", "", "{\"status\":\"length_required\"}\n"},
        {DISPOSITION_TOO_LARGE, 0, "413 Content Too Large", "", "{\"status\":\"too_large\"}\n"},
        {DISPOSITION_UNAVAILABLE, 0, "503 Service Unavailable", "Retry-After: 30\r\n",
         "{\"status\":\"unavailable\"}\n"}};
    char wanted[RESPONSE_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(wanted, sizeof wanted,
                 "Status: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Cache-Control: no-store\r\n%s\r\n%s",
                 cases[i].status, strlen(cases[i].body), cases[i].fields, cases[i].body);
        assert_string_equal(answer_to(cases[i].disposition, "the \"cause\"", cases[i].seq), wanted);
    }
}

static void a_stranger_learns_no_cause(void **state) {
    static const enum disposition cases[] = {DISPOSITION_UNAUTHORIZED, DISPOSITION_UNAVAILABLE};
    char first[RESPONSE_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(first, sizeof first, "%s", answer_to(cases[i], "a cause", 7));
        assert_null(strstr(first, "cause"));
        assert_null(strstr(first, "event-1"));
        assert_string_equal(answer_to(cases[i], "the other", 8), first);
    }
}

/* RFC 9110, section 9.3.2. */
static void head_gets_no_body_and_no_fields_of_one(void **state) {
    (void)state;
    decide(DISPOSITION_METHOD_NOT_ALLOWED, "");
    text[response_write(&decision, 0, false, text)] = '\0';
    assert_string_equal(text,
                        "Status: 405 Method Not Allowed\r\nCache-Control: no-store\r\nAllow: POST\r\n\r\n");
}

/* Made of the bytes that grow most when escaped. */
static void the_longest_identifier_and_reason_fit(void **state) {
    (void)state;
    for (int rejected = 0; rejected < 2; rejected++) {
        unsigned length = 0;
        decide(rejected ? DISPOSITION_REJECTED : DISPOSITION_STORED, "");
        memset(decision.event.id, '\x01', sizeof decision.event.id - 1);
        memset(decision.cause.text, '\xff', sizeof decision.cause.text - 1);
        size_t written = response_write(&decision, UINT64_MAX, true, text);
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
        cmocka_unit_test(each_disposition_has_its_status_fields_and_body),
        cmocka_unit_test(a_stranger_learns_no_cause),
        cmocka_unit_test(head_gets_no_body_and_no_fields_of_one),
        cmocka_unit_test(the_longest_identifier_and_reason_fit),
    };
    return cmocka_run_group_tests_name("response", tests, NULL, NULL);
}
