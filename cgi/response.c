/* Ring looks at the status alone; the body is for whoever tries it out. A stranger learns nothing from it:
 * 401 is the same whatever the cause, and 503 does not say what is broken. */
#include "response.h"

#include "quote.h"
#include "ring.h"

#include <stdio.h>
#include <string.h>

#define RETRY_AFTER "30" /* seconds; Ring has a schedule of its own */
#define BODY_SIZE 7168

static const struct verdict_line unavailable = {503, "unavailable"};

static struct verdict_line kept(enum disposition disposition) {
    switch (disposition) {
    case DISPOSITION_STORED:
        return (struct verdict_line){200, "stored"};
    case DISPOSITION_DUPLICATE:
        return (struct verdict_line){200, "duplicate"};
    case DISPOSITION_REJECTED:
        return (struct verdict_line){400, "rejected"};
    case DISPOSITION_UNAVAILABLE:
        break;
    }
    return unavailable;
}

struct verdict_line response_verdict(const struct decision *decision, enum disposition disposition) {
    switch (decision->disposition) {
    case DISPOSITION_ACCEPTED:
    case DISPOSITION_REJECTED:
        return kept(disposition);
    case DISPOSITION_UNAUTHORIZED:
        return (struct verdict_line){401, "unauthorized"};
    case DISPOSITION_METHOD_NOT_ALLOWED:
        return (struct verdict_line){405, "method_not_allowed"};
    case DISPOSITION_LENGTH_REQUIRED:
        return (struct verdict_line){411, "length_required"};
    case DISPOSITION_TOO_LARGE:
        return (struct verdict_line){413, "too_large"};
    case DISPOSITION_MALFORMED:
        return (struct verdict_line){400, "malformed"};
    case DISPOSITION_UNAVAILABLE:
        break;
    }
    return unavailable;
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

static size_t write_body(const struct decision *decision, struct verdict_line line, uint64_t seq, char *out) {
    char quoted[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    if (line.status == 200) {
        quote(quoted, sizeof quoted, decision->event.id, strlen(decision->event.id));
        return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\",\"event_id\":%s,\"seq\":%llu}\n",
                                line.word, quoted, (unsigned long long)seq);
    }
    if (line.status == 400) {
        quote(quoted, sizeof quoted, decision->cause.text, strlen(decision->cause.text));
        return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\",\"reason\":%s}\n", line.word, quoted);
    }
    return (size_t)snprintf(out, BODY_SIZE, "{\"status\":\"%s\"}\n", line.word);
}

size_t response_write(const struct decision *decision, enum disposition disposition, uint64_t seq,
                      bool with_body, char out[RESPONSE_SIZE]) {
    struct verdict_line line = response_verdict(decision, disposition);
    char body[BODY_SIZE], fields[64] = "";
    size_t length = with_body ? write_body(decision, line, seq, body) : 0;
    if (with_body)
        snprintf(fields, sizeof fields, "Content-Type: application/json\r\nContent-Length: %zu\r\n", length);
    int head = snprintf(out, RESPONSE_SIZE, "Status: %d %s\r\n%sCache-Control: no-store\r\n%s\r\n",
                        line.status, reason_phrase(line.status), fields, extra_fields(line.status));
    memcpy(out + head, body, length);
    return (size_t)head + length;
}
