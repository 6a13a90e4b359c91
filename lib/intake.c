/* The order matters: checks whose result anyone may learn come first (method, length), then the signature.
 * Only bodies that Ring has signed are parsed. */
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

static bool check_method(const struct request_metadata *metadata, struct decision *decision) {
    if (metadata->method != NULL && strcmp(metadata->method, "POST") == 0)
        return true;
    intake_refuse(decision, DISPOSITION_METHOD_NOT_ALLOWED, "the method is not POST");
    return false;
}

/* Returns true if the length of the body is valid; else sets the decision. */
static bool check_length(const struct config *config, const char *content_length, size_t length,
                         struct decision *decision) {
    long declared = intake_length(content_length);
    if (declared == LENGTH_INVALID)
        intake_refuse(decision, DISPOSITION_MALFORMED, "Content-Length is not a number");
    else if (declared > (long)config->max_body || (declared == LENGTH_ABSENT && length > config->max_body))
        intake_refuse(decision, DISPOSITION_TOO_LARGE, "the body is larger than DOORPOST_MAX_BODY");
    else if (declared == LENGTH_ABSENT && length == 0)
        intake_refuse(decision, DISPOSITION_LENGTH_REQUIRED, "no Content-Length and no body");
    else if (declared != LENGTH_ABSENT && (size_t)declared > length)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the body is shorter than Content-Length");
    else if (declared != LENGTH_ABSENT && (size_t)declared < length)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the body is longer than Content-Length");
    else
        return true;
    return false;
}

/* On success sets the decision's key and signature; else sets its disposition and returns false. */
static bool verify(struct keys *keys, const char *signature, const char *body, size_t length,
                   struct decision *decision) {
    uint8_t digest[SIGNATURE_BYTES];
    if (signature == NULL || signature[0] == '\0') {
        intake_refuse(decision, DISPOSITION_UNAUTHORIZED, RING_SIGNATURE_HEADER " is missing");
        return false;
    }
    if (signature_parse(signature, digest) != 0) {
        intake_refuse(decision, DISPOSITION_UNAUTHORIZED,
                      RING_SIGNATURE_HEADER " is not " RING_SIGNATURE_PREFIX
                                            " followed by 64 hexadecimal digits");
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
    if (check_method(metadata, decision) && check_length(config, metadata->content_length, length, decision))
        intake_body(keys, parser, metadata->signature, body, length, decision);
}
