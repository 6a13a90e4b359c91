/* The order matters: what a stranger may learn comes first (method, length), then the signature, and only
 * what Ring has signed is read at all. */
#include "intake.h"

#include <string.h>

void intake_refuse(struct decision *decision, enum disposition disposition, const char *cause) {
    decision->disposition = disposition;
    explain(&decision->cause, "%s", cause);
}

long intake_length(const char *content_length) {
    long length = 0;
    if (content_length == NULL || content_length[0] == '\0' || strcmp(content_length, "-1") == 0)
        return LENGTH_ABSENT;
    for (const char *digit = content_length; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return LENGTH_INVALID;
        if (length <= BODY_LIMIT)
            length = length * 10 + (*digit - '0');
    }
    return length;
}

static bool is_post(const struct request_metadata *metadata, struct decision *decision) {
    if (metadata->method != NULL && strcmp(metadata->method, "POST") == 0)
        return true;
    intake_refuse(decision, DISPOSITION_METHOD_NOT_ALLOWED, "the method is not POST");
    return false;
}

/* Does the body have the length that it must have? If not, the decision is made. */
static bool fits(const struct config *config, const char *content_length, size_t length,
                 struct decision *decision) {
    long told = intake_length(content_length);
    if (told == LENGTH_INVALID)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the Content-Length is not a number");
    else if (told > (long)config->max_body || (told == LENGTH_ABSENT && length > config->max_body))
        intake_refuse(decision, DISPOSITION_TOO_LARGE, "the body is larger than DOORPOST_MAX_BODY");
    else if (told == LENGTH_ABSENT && length == 0)
        intake_refuse(decision, DISPOSITION_LENGTH_REQUIRED, "no Content-Length and no body");
    else if (told != LENGTH_ABSENT && (size_t)told > length)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the body is shorter than its Content-Length");
    else if (told != LENGTH_ABSENT && (size_t)told < length)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the body is longer than its Content-Length");
    else
        return true;
    return false;
}

/* Sets key and signature of the decision. Returns false if the decision is made. */
static bool verify(struct keys *keys, const char *signature, const char *body, size_t length,
                   struct decision *decision) {
    uint8_t digest[SIGNATURE_BYTES];
    if (signature == NULL || signature[0] == '\0') {
        intake_refuse(decision, DISPOSITION_UNAUTHORIZED, RING_SIGNATURE_HEADER " is missing");
        return false;
    }
    if (signature_parse(signature, digest) != 0) {
        intake_refuse(decision, DISPOSITION_UNAUTHORIZED,
                      RING_SIGNATURE_HEADER " is not " RING_SIGNATURE_PREFIX " and 64 hexadecimal digits");
        return false;
    }
    int key = signature_verify(keys, body, length, digest);
    if (key < 0) {
        intake_refuse(decision, DISPOSITION_UNAUTHORIZED, "no configured key matches " RING_SIGNATURE_HEADER);
        return false;
    }
    memcpy(decision->key, keys_fingerprint(keys, (size_t)key), FINGERPRINT_SIZE);
    signature_format(digest, decision->signature);
    return true;
}

void intake_body(struct keys *keys, struct event_parser *parser, const char *signature, const char *body,
                 size_t length, struct decision *decision) {
    if (!verify(keys, signature, body, length, decision))
        return;
    int result = event_parse(parser, body, length, &decision->event, &decision->cause);
    if (result != 0)
        decision->disposition = result == ERROR_INVALID ? DISPOSITION_REJECTED : DISPOSITION_UNAVAILABLE;
    else
        decision->disposition = DISPOSITION_ACCEPTED;
}

void intake_request(const struct config *config, struct keys *keys, struct event_parser *parser,
                    const struct request_metadata *metadata, const char *body, size_t length,
                    struct decision *decision) {
    memset(decision, 0, sizeof *decision);
    if (is_post(metadata, decision) && fits(config, metadata->content_length, length, decision))
        intake_body(keys, parser, metadata->signature, body, length, decision);
}
