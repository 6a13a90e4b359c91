/* The answers are documented in deploy/README.md. unit/test_response and tests/e2e/answers.py test each of
 * them; test_trouble.py, test_tool_care.py and test_upgrade.py compare bodies too.
 *
 * Ring evaluates only the status; the body is for people testing the endpoint. It reveals nothing to a
 * stranger: 401 is the same for every cause, and 503 does not say what is broken. */
#include "response.h"

#include "quote.h"
#include "ring.h"

#include <stdio.h>
#include <string.h>

#define RETRY_AFTER "30" /* seconds; Ring follows its own schedule */
#define BODY_SIZE 7168
/* The longest bodies: an event id or a reason with every character escaped, and the members around it. */
_Static_assert(BODY_SIZE >= QUOTE_SIZE(EVENT_FIELD_SIZE) + 128 &&
                   BODY_SIZE >= QUOTE_SIZE(sizeof(struct reason)) + 128,
               "a body fits");
_Static_assert(RESPONSE_SIZE >= BODY_SIZE + 512, "header fields and body fit");

static const struct {
    int status; /* HTTP */
    const char *word;
} answers[] = {[DISPOSITION_UNAVAILABLE] = {503, "unavailable"},
               [DISPOSITION_ACCEPTED] = {503, "unavailable"}, /* not final: never answered */
               [DISPOSITION_STORED] = {200, "stored"},
               [DISPOSITION_DUPLICATE] = {200, "duplicate"},
               [DISPOSITION_REJECTED] = {400, "rejected"},
               [DISPOSITION_UNAUTHORIZED] = {401, "unauthorized"},
               [DISPOSITION_METHOD_NOT_ALLOWED] = {405, "method_not_allowed"},
               [DISPOSITION_LENGTH_REQUIRED] = {411, "length_required"},
               [DISPOSITION_TOO_LARGE] = {413, "too_large"},
               [DISPOSITION_MALFORMED] = {400, "malformed"}};

int response_status(enum disposition disposition) {
    return answers[disposition].status;
}

const char *response_word(enum disposition disposition) {
    return answers[disposition].word;
}

/* RFC 9110, section 15. */
static const char *reason_phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 405:
        return "Method Not Allowed";
    case 411:
        return "Length Required";
    case 413:
        return "Content Too Large";
    default:
        return "Service Unavailable";
    }
}

/* Header fields that belong to a status (RFC 9110: 11.6.1, 10.2.1 and 10.2.3). */
static const char *extra_fields(int status) {
    switch (status) {
    case 401:
        return "WWW-Authenticate: Signature realm=\"" RING_SIGNATURE_HEADER "\"\r\n";
    case 405:
        return "Allow: POST\r\n";
    case 503:
        return "Retry-After: " RETRY_AFTER "\r\n";
    default:
        return "";
    }
}

static size_t write_body(const struct decision *decision, uint64_t seq, char *out) {
    const char *word = response_word(decision->disposition);
    char quoted[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    int status = response_status(decision->disposition);
    if (status == 200) {
        quote(quoted, sizeof quoted, decision->event.id, strlen(decision->event.id));
        return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\",\"event_id\":%s,\"seq\":%llu}\n", word,
                                quoted, (unsigned long long)seq);
    }
    if (status == 400) {
        quote(quoted, sizeof quoted, decision->cause.text, strlen(decision->cause.text));
        return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\",\"reason\":%s}\n", word, quoted);
    }
    return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\"}\n", word);
}

size_t response_write(const struct decision *decision, uint64_t seq, bool with_body,
                      char out[RESPONSE_SIZE]) {
    int status = response_status(decision->disposition);
    char body[BODY_SIZE], fields[64] = "";
    size_t length = with_body ? write_body(decision, seq, body) : 0;
    if (with_body)
        snprintf(fields, sizeof fields, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    int header = snprintf(out, RESPONSE_SIZE, "Status: %d %s\r\n%sCache-Control: no-store\r\n%s\r\n", status,
                          reason_phrase(status), fields, extra_fields(status));
    memcpy(out + header, body, length);
    return (size_t)header + length;
}
