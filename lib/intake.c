/* The order matters: what a stranger may learn comes first (method, length), then the signature, and only
 * what Ring has signed is read at all. */
#include "intake.h"

#include <string.h>

static long decide(struct decision *decision, enum verdict verdict, const char *cause) {
    decision->verdict = verdict;
    explain(&decision->cause, "%s", cause);
    return ERROR_INVALID;
}

/* RFC 9110, section 8.6: digits alone. Returns -1 for anything else, and the largest number for more than
 * that. */
static long parse_length(const char *text) {
    long length = 0;
    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return -1;
        if (length <= BODY_LIMIT)
            length = length * 10 + (*digit - '0');
    }
    return length;
}

long intake_head(const struct config *config, const struct head *head, struct decision *decision) {
    memset(decision, 0, sizeof *decision);
    if (head->method == NULL || strcmp(head->method, "POST") != 0)
        return decide(decision, VERDICT_NOT_POST, "the method is not POST");
    if (head->content_length == NULL || head->content_length[0] == '\0')
        return decide(decision, VERDICT_NO_LENGTH, "no Content-Length");
    long length = parse_length(head->content_length);
    if (length < 0)
        return decide(decision, VERDICT_MALFORMED, "the Content-Length is not a number");
    if (length > (long)config->max_body)
        return decide(decision, VERDICT_TOO_LARGE, "the body is larger than DOORPOST_MAX_BODY");
    return length;
}

void intake_truncated(struct decision *decision) {
    decide(decision, VERDICT_MALFORMED, "the body is shorter than its Content-Length");
}

/* Sets key and signature of the decision. Returns 0, or ERROR_INVALID with the decision made. */
static int verify(struct keys *keys, const struct head *head, const char *body, size_t length,
                  struct decision *decision) {
    uint8_t digest[SIGNATURE_BYTES];
    if (head->signature == NULL || head->signature[0] == '\0')
        return (int)decide(decision, VERDICT_UNSIGNED, "X-Signature is missing");
    if (signature_parse(head->signature, digest) != 0)
        return (int)decide(decision, VERDICT_UNSIGNED,
                           "X-Signature is not sha256= and 64 hexadecimal digits");
    int key = signature_verify(keys, body, length, digest);
    if (key < 0)
        return (int)decide(decision, VERDICT_UNSIGNED, "no key at hand makes this X-Signature of this body");
    memcpy(decision->key, keys_fingerprint(keys, (size_t)key), FINGERPRINT_SIZE);
    signature_format(digest, decision->signature);
    return 0;
}

void intake_body(struct keys *keys, struct event_parser *parser, const struct head *head, const char *body,
                 size_t length, struct decision *decision) {
    if (verify(keys, head, body, length, decision) != 0)
        return;
    int result = event_parse(parser, body, length, &decision->event, &decision->cause);
    if (result != 0)
        decision->verdict = result == ERROR_INVALID ? VERDICT_REJECTED : VERDICT_TROUBLE;
    else
        decision->verdict = VERDICT_USABLE;
}
