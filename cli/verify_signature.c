#define _GNU_SOURCE /* strcasestr */
/* doorpost verify-signature: checks a signature and, if it does not match, finds which common mistake
 * explains it. Each mistake is tried, so the report is a finding, not a guess. */
#include "body.h"
#include "mistake.h"
#include "secret.h"
#include "settings.h"
#include "signature.h"
#include "terminal.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct options {
    struct settings settings;
    const char *signature;
};

/* The input that the signature is compared with. */
struct attempt {
    struct keys *keys;
    const char *key_text; /* of the key file */
    size_t key_length;
    const char *body;
    size_t length;
    uint8_t digest[SIGNATURE_BYTES];
};

static const char *reading_name(const struct keys *keys, int index) {
    return keys_reading(keys, (size_t)index) == READING_TEXT ? "as text" : "base64-decoded";
}

/* ---- bodies that were changed ---- */

/* Pretty-printed or escaped JSON grows. */
#define ROOM (8 * BODY_LIMIT)

static bool body_matches(struct attempt *attempt, const char *body, size_t length, const char *explanation,
                         const char *about_end) {
    int key = signature_verify(attempt->keys, body, length, attempt->digest);
    if (key >= 0)
        problem("the signature does not match these bytes; with key %s (%s) it matches %s%s",
                keys_fingerprint(attempt->keys, (size_t)key), reading_name(attempt->keys, key), explanation,
                about_end);
    return key >= 0;
}

/* A tool that changed a body often also added or removed a line break. `body` has room for one. */
static bool matches_ignoring_line_end(struct attempt *attempt, char *body, size_t length,
                                      const char *explanation) {
    size_t bare = length;
    while (bare > 0 && (body[bare - 1] == '\n' || body[bare - 1] == '\r'))
        bare--;
    if (body_matches(attempt, body, length, explanation, "") ||
        (bare < length &&
         body_matches(attempt, body, bare, explanation, "; also without the final line break")))
        return true;
    body[bare] = '\n';
    return bare > 0 && body_matches(attempt, body, bare + 1, explanation, "; also with a final line break");
}

static bool try_bodies(struct attempt *attempt) {
    char *body = malloc(ROOM + 1);
    bool found = false;
    for (const struct mistake *one = body_mistakes; body != NULL && one->undo != NULL && !found; one++)
        for (int how = one->how; (how == one->how || how <= one->last) && !found; how++) {
            ssize_t length = one->undo(attempt->body, attempt->length, how, body, ROOM);
            found = length >= 0 && matches_ignoring_line_end(attempt, body, (size_t)length, one->explanation);
        }
    free(body);
    return found;
}

/* ---- keys that were not used as they are ---- */

#define WRAPPINGS 3 /* as in export NAME="whsec_..." */

static bool hmac_matches(const struct attempt *attempt, const void *key, size_t key_length, const void *text,
                         size_t length) {
    crypto_auth_hmacsha256_state state;
    uint8_t computed[SIGNATURE_BYTES];
    crypto_auth_hmacsha256_init(&state, key, key_length);
    crypto_auth_hmacsha256_update(&state, text, length);
    crypto_auth_hmacsha256_final(&state, computed);
    sodium_memzero(&state, sizeof state);
    bool same = sodium_memcmp(computed, attempt->digest, sizeof computed) == 0;
    sodium_memzero(computed, sizeof computed);
    return same;
}

/* Tries a key in both readings that Doorpost supports. */
static bool key_matches(const struct attempt *attempt, const char *key, size_t length) {
    unsigned char bytes[KEY_TEXT_SIZE];
    size_t decoded;
    bool same = hmac_matches(attempt, key, length, attempt->body, attempt->length) ||
                (sodium_base642bin(bytes, sizeof bytes, key, length, NULL, &decoded, NULL,
                                   sodium_base64_VARIANT_ORIGINAL) == 0 &&
                 hmac_matches(attempt, bytes, decoded, attempt->body, attempt->length));
    sodium_memzero(bytes, sizeof bytes);
    return same;
}

static bool report_key(int line, const struct mistake *mistake) {
    problem("the key on line %d matches, but %s", line, mistake->explanation);
    return true;
}

static bool try_key(const struct attempt *attempt, const char *key, size_t length, int line, int depth) {
    char other[2 * KEY_TEXT_SIZE];
    bool found = false;
    for (const struct mistake *one = key_mistakes; one->undo != NULL && !found; one++) {
        ssize_t left = one->undo(key, length, one->how, other, sizeof other);
        found = left >= 0 && key_matches(attempt, other, (size_t)left) && report_key(line, one);
    }
    for (const struct mistake *one = key_wrappings; one->undo != NULL && !found && depth > 0; one++)
        for (int how = one->how; (how == one->how || how <= one->last) && !found; how++) {
            ssize_t left = one->undo(key, length, how, other, sizeof other);
            found = left >= 0 &&
                    (key_matches(attempt, other, (size_t)left) ||
                     try_key(attempt, other, (size_t)left, line, depth - 1)) &&
                    report_key(line, one);
        }
    sodium_memzero(other, sizeof other);
    return found;
}

static bool try_keys(const struct attempt *attempt) {
    const char *text = attempt->key_text, *end = text + attempt->key_length, *line;
    size_t length;
    for (int number = 0; (line = keys_next_line(&text, end, &number, &length)) != NULL;)
        if (length < KEY_TEXT_SIZE && try_key(attempt, line, length, number, WRAPPINGS))
            return true;
    return false;
}

/* ---- digests that are not an HMAC with the key ---- */

enum hash { HASH_BODY, HASH_KEY_BODY, HASH_BODY_KEY, HMAC_EMPTY, HMAC_SWAPPED };

static bool is_hash(const struct attempt *attempt, enum hash hash, const char *key, size_t length) {
    crypto_hash_sha256_state state;
    uint8_t computed[SIGNATURE_BYTES];
    if (hash == HMAC_EMPTY)
        return hmac_matches(attempt, "", 0, attempt->body, attempt->length);
    if (hash == HMAC_SWAPPED)
        return hmac_matches(attempt, attempt->body, attempt->length, key, length);
    crypto_hash_sha256_init(&state);
    if (hash == HASH_KEY_BODY)
        crypto_hash_sha256_update(&state, (const unsigned char *)key, length);
    crypto_hash_sha256_update(&state, (const unsigned char *)attempt->body, attempt->length);
    if (hash == HASH_BODY_KEY)
        crypto_hash_sha256_update(&state, (const unsigned char *)key, length);
    crypto_hash_sha256_final(&state, computed);
    return memcmp(computed, attempt->digest, sizeof computed) == 0;
}

static bool try_hashes(const struct attempt *attempt) {
    static const struct {
        enum hash hash;
        const char *explanation;
    } hashes[] = {
        {HASH_BODY,
         "this is the plain SHA-256 of the body, which anyone can compute: sign with HMAC and the key"},
        {HMAC_EMPTY, "this was signed with an empty key: the variable for the signer's key is not set"},
        {HASH_KEY_BODY, "this is the SHA-256 of the key followed by the body: sign with HMAC"},
        {HASH_BODY_KEY, "this is the SHA-256 of the body followed by the key: sign with HMAC"},
        {HMAC_SWAPPED,
         "this was signed with the body as the key and the key as the text: swap the two arguments"},
    };
    const char *text = attempt->key_text, *end = text + attempt->key_length, *line;
    size_t length;
    for (int number = 0; (line = keys_next_line(&text, end, &number, &length)) != NULL;)
        for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
            if (is_hash(attempt, hashes[i].hash, line, length)) {
                problem("%s", hashes[i].explanation);
                return true;
            }
    return false;
}

static int explain_failure(struct attempt *attempt) {
    if (attempt->length == 0)
        problem("the body is empty: check that this is the right file");
    if (try_bodies(attempt) || try_keys(attempt) || try_hashes(attempt))
        return STATUS_PROBLEM;
    return problem("no configured key matches this signature, and no common mistake explains it: either the "
                   "key is wrong (`doorpost key list` shows the fingerprints; paste Ring's key again), or "
                   "the body is not the one that was signed, or more than the body was signed (a timestamp, "
                   "as some services do; Ring does not)");
}

/* ---- signatures that differ in form from Ring's ---- */

#define HEX "0123456789abcdefABCDEF"
#define DIGITS (2 * (size_t)SIGNATURE_BYTES)
#define BLANKS " \t\r\n"
#define QUOTES "\"'`"

/* Decodes base64 of any variant. Returns the length, or 0. */
static size_t from_base64(const char *text, uint8_t *out, size_t size) {
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                                   sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    size_t length;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin(out, size, text, strlen(text), NULL, &length, NULL, variants[i]) == 0)
            return length;
    return 0;
}

/* Finds the next run of exactly 64 hexadecimal digits, or returns NULL. */
static const char *next_digest(const char *text) {
    for (size_t length; *(text += strcspn(text, HEX)) != '\0'; text += length) {
        length = strspn(text, HEX);
        if (length == DIGITS)
            return text;
    }
    return NULL;
}

static size_t count_digests(const char *text) {
    size_t count = 0;
    for (; (text = next_digest(text)) != NULL; text += DIGITS)
        count++;
    return count;
}

/* Returns true if the signature is well-formed once these characters are removed. */
static bool is_good_without(const char *text, const char *characters) {
    char left[SIGNATURE_TEXT_SIZE];
    uint8_t digest[SIGNATURE_BYTES];
    size_t used = 0;
    for (; *text != '\0'; text++)
        if (strchr(characters, *text) == NULL) {
            if (used == sizeof left - 1)
                return false;
            left[used++] = *text;
        }
    left[used] = '\0';
    return signature_parse(left, digest) == 0;
}

static bool has_field_name(const char *text) {
    return strcasestr(text, "signature") != NULL;
}

static bool is_list(const char *text) {
    const char *mark = strpbrk(text, ",;");
    return count_digests(text) > 1 || (mark != NULL && mark[1 + strspn(mark + 1, BLANKS)] != '\0');
}

static bool has_quotes(const char *text) {
    return is_good_without(text, QUOTES BLANKS) && !is_good_without(text, BLANKS);
}

static bool has_blanks(const char *text) {
    return is_good_without(text, BLANKS);
}

static bool has_other_scheme(const char *text) {
    return strncasecmp(text, "sha", 3) == 0 &&
           strncmp(text, RING_SIGNATURE_PREFIX, sizeof RING_SIGNATURE_PREFIX - 1) != 0;
}

static bool has_anything(const char *text) {
    return text[0] != '\0';
}

/* What surrounds the 64 digits. The first match is reported. */
static const struct {
    bool (*applies)(const char *text);
    const char *explanation;
} decorations[] = {
    {has_field_name, "is a whole header line: pass only its value"},
    {is_list, "is a list, but Ring sends a single signature: pass only that"},
    {has_quotes, "contains quotation marks: remove them"},
    {has_blanks, "contains white space: remove it; Ring sends none, and Doorpost rejects it"},
    {has_other_scheme, "spells the scheme differently from Ring, which writes " RING_SIGNATURE_PREFIX},
    {has_anything, "has more than " RING_SIGNATURE_PREFIX " and 64 digits: pass only those"},
};

static bool is_match(struct attempt *attempt, const char *at) {
    char digits[2 * SIGNATURE_BYTES + 1];
    snprintf(digits, sizeof digits, "%s", at);
    return signature_parse(digits, attempt->digest) == 0 &&
           signature_verify(attempt->keys, attempt->body, attempt->length, attempt->digest) >= 0;
}

/* Verifies each digest in the text. */
static int try_digests(struct attempt *attempt, const char *text) {
    for (const char *at = text; (at = next_digest(at)) != NULL; at += DIGITS)
        if (is_match(attempt, at))
            return problem("otherwise it is good: the digits %.8s... match", at);
    return count_digests(text) == 1 ? explain_failure(attempt)
                                    : problem("none of its digests matches this body");
}

static int report_length(struct attempt *attempt, const char *digits, size_t length) {
    static const struct {
        size_t digits;
        const char *explanation;
    } others[] = {{32, "this looks like MD5"},
                  {40, "this looks like SHA-1, which Ring does not use"},
                  {96, "this looks like SHA-384"},
                  {128, "this looks like SHA-512"}};
    const char *explanation = length < DIGITS ? "it was cut off" : "it has extra characters";
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].digits == length)
            explanation = others[i].explanation;
    if (length > DIGITS && is_match(attempt, digits))
        explanation = "the first 64 match, but something was appended";
    return problem("the digest has %zu digits instead of the 64 of HMAC-SHA256: %s", length, explanation);
}

/* What programs print for an unset variable. */
static bool is_nothing(const char *signature) {
    static const char *const words[] = {"undefined", "null",  "None",           "nil",
                                        "(null)",    "false", "[object Object]"};
    const char *value = strncmp(signature, RING_SIGNATURE_PREFIX, sizeof RING_SIGNATURE_PREFIX - 1) == 0
                            ? signature + sizeof RING_SIGNATURE_PREFIX - 1
                            : signature;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return strspn(value, BLANKS QUOTES) == strlen(value);
}

static int report_base64(struct attempt *attempt, const uint8_t *bytes, size_t length) {
    char text[2 * SIGNATURE_BYTES + 1];
    if (length == DIGITS) {
        snprintf(text, sizeof text, "%.*s", (int)length, (const char *)bytes);
        problem("this is the base64 of hexadecimal digits; " RING_SIGNATURE_HEADER
                " must be the digits themselves");
        return is_match(attempt, text) ? problem("otherwise it is good") : explain_failure(attempt);
    }
    memcpy(attempt->digest, bytes, SIGNATURE_BYTES);
    problem("this is base64, which Ring uses for account-linking nonces; " RING_SIGNATURE_HEADER
            " must be 64 hexadecimal digits");
    if (signature_verify(attempt->keys, attempt->body, attempt->length, attempt->digest) >= 0)
        return problem("otherwise it is good: send it in hexadecimal");
    return explain_failure(attempt);
}

static int report_malformed(struct attempt *attempt, const char *signature) {
    const char *equals = strchr(signature, '=');
    const char *digits =
        equals != NULL && equals[1] != '\0' && equals - signature < 8 ? equals + 1 : signature;
    uint8_t bytes[DIGITS + 1] = {0};
    size_t length = strlen(digits), hex = strspn(digits, HEX), decoded;
    if (is_nothing(signature))
        return problem("the signature is empty: the header is missing, or the variable for it is not set");
    if (count_digests(signature) > 0) {
        size_t i = 0;
        while (!decorations[i].applies(signature))
            i++;
        problem("this %s", decorations[i].explanation);
        return try_digests(attempt, signature);
    }
    if (hex == length)
        return report_length(attempt, digits, length);
    decoded = from_base64(digits, bytes, DIGITS);
    if (decoded == SIGNATURE_BYTES || (decoded == DIGITS && strspn((const char *)bytes, HEX) == DIGITS))
        return report_base64(attempt, bytes, decoded);
    if (strcasestr(signature, "%3d") != NULL)
        return problem("this is URL-encoded (%%3D is =): decode it first");
    return problem("character %zu of the digest is not a hexadecimal digit: " RING_SIGNATURE_HEADER
                   " is " RING_SIGNATURE_PREFIX " and 64 hexadecimal digits",
                   hex + 1);
}

static int verify(struct attempt *attempt, const char *signature) {
    if (signature_parse(signature, attempt->digest) != 0)
        return report_malformed(attempt, signature);
    int key = signature_verify(attempt->keys, attempt->body, attempt->length, attempt->digest);
    if (key < 0)
        return explain_failure(attempt);
    printf("%sgood%s: key %s, line %d %s\n", colour(COLOUR_GOOD), colour(COLOUR_NONE),
           keys_fingerprint(attempt->keys, (size_t)key), keys_line(attempt->keys, (size_t)key),
           reading_name(attempt->keys, key));
    return STATUS_DONE;
}

static int verify_signature_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    int first = options_parse(argc, argv, &verb_verify_signature, &options);
    if (options.signature == NULL)
        usage_error("no signature given: use --signature sha256=...");
    if (settings_load(&options.settings, NEED_KEYS, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    struct attempt attempt = {.keys = settings_keys(&config)};
    if (attempt.keys == NULL)
        return STATUS_PROBLEM;
    char *text = secret_read(config.key_file, &attempt.key_length);
    char *body = text != NULL ? body_read(first < argc ? argv[first] : NULL, &attempt.length) : NULL;
    attempt.key_text = text;
    attempt.body = body;
    int status = body != NULL ? verify(&attempt, options.signature) : STATUS_PROBLEM;
    free(body);
    sodium_free(text);
    keys_free(attempt.keys);
    return status;
}

static const struct option_spec table[] = {
    {'s', "signature", OPTION_TEXT, "SIGNATURE", "the header's value: sha256=...", AT(signature)},
    OPTION_CONF,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_verify_signature = {
    .name = "verify-signature",
    .summary = "check a signature, and explain why it does not match",
    .synopsis = "--signature SIGNATURE [FILE]",
    .what = "Checks whether the X-Signature is that of the body in FILE (or standard input), and reports the "
            "matching\n"
            "key and its reading. If it does not match, tries common mistakes and reports the one that "
            "explains it.",
    .operands = {"FILE"},
    .options = table,
    .run = verify_signature_main,
};
