/* doorpost verify-signature: does a signature hold, and if not, which of the usual mistakes would explain it?
 * Each is tried, so what is told is found, not guessed. */
#include "body.h"
#include "secret.h"
#include "settings.h"
#include "signature.h"
#include "terminal.h"
#include "verbs.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the signature was compared with. */
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

/* ---- signatures that are no signatures ---- */

/* A signature in base64 is what account linking has for its nonces. */
static bool is_base64_digest(const char *text, uint8_t digest[SIGNATURE_BYTES]) {
    static const int variants[] = {sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
                                   sodium_base64_VARIANT_URLSAFE, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
    size_t length;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin(digest, SIGNATURE_BYTES, text, strlen(text), NULL, &length, NULL,
                              variants[i]) == 0 &&
            length == SIGNATURE_BYTES)
            return true;
    return false;
}

static int tell_malformed(struct attempt *attempt, const char *signature) {
    const char *digits = strncmp(signature, "sha256=", 7) == 0 ? signature + 7 : signature;
    size_t length = strlen(digits), hex = strspn(digits, "0123456789abcdefABCDEF");
    if (hex != length && is_base64_digest(digits, attempt->digest)) {
        int key = signature_verify(attempt->keys, attempt->body, attempt->length, attempt->digest);
        return problem(
            "this is base64, which Ring uses for account-linking nonces; X-Signature is 64 hexadecimal "
            "digits. Decoded, it %s%s",
            key >= 0 ? "is right: send it in hexadecimal" : "does not fit this body either",
            key >= 0 ? "" : ": see whether body and nonce were mixed up");
    }
    if (hex != length)
        return problem(
            "character %zu of the digest is no hexadecimal digit: X-Signature is sha256= and 64 of them",
            hex + 1);
    return problem("the digest has %zu digits, and HMAC-SHA256 has 64: %s", length,
                   length < 64     ? "it was cut off"
                   : length == 128 ? "this looks like SHA-512"
                                   : "something stands behind it");
}

/* ---- bodies that were not left as they came ---- */

static bool fits(struct attempt *attempt, const char *body, size_t length, const char *explanation) {
    int key = signature_verify(attempt->keys, body, length, attempt->digest);
    if (key < 0)
        return false;
    problem("the signature is not of these bytes, but key %s (%s) makes it of %s",
            keys_fingerprint(attempt->keys, (size_t)key), reading_name(attempt->keys, key), explanation);
    return true;
}

static bool try_line_breaks(struct attempt *attempt) {
    char *body = malloc(attempt->length + 3);
    size_t trimmed = attempt->length;
    bool found = false;
    if (body == NULL)
        return false;
    memcpy(body, attempt->body, attempt->length);
    while (trimmed > 0 && (body[trimmed - 1] == '\n' || body[trimmed - 1] == '\r'))
        trimmed--;
    if (trimmed < attempt->length)
        found = fits(attempt, body, trimmed,
                     "them without the line break at the end: an editor or echo added it; use printf %s, or "
                     "--data-binary with curl");
    memcpy(body + trimmed, "\n", 1);
    if (!found)
        found = fits(attempt, body, trimmed + 1,
                     "them with a line break at the end: it was part of what was signed, and got lost");
    memcpy(body + trimmed, "\r\n", 2);
    if (!found)
        found = fits(attempt, body, trimmed + 2, "them with CR LF at the end: it got lost");
    if (!found) {
        size_t used = 0;
        for (size_t i = 0; i < attempt->length; i++)
            if (attempt->body[i] != '\r' && attempt->body[i] != '\n')
                body[used++] = attempt->body[i];
        found = fits(attempt, body, used,
                     "them without any line breaks: curl -d removes those, --data-binary does not");
    }
    free(body);
    return found;
}

/* JSON that was read and printed again is another text. */
static bool try_reprinted(struct attempt *attempt) {
    static const int styles[] = {JSON_C_TO_STRING_PLAIN,
                                 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
                                 JSON_C_TO_STRING_SPACED,
                                 JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE,
                                 JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE,
                                 JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                     JSON_C_TO_STRING_NOSLASHESCAPE};
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *json =
        tokener != NULL ? json_tokener_parse_ex(tokener, attempt->body, (int)attempt->length) : NULL;
    bool found = false;
    for (size_t i = 0; json != NULL && !found && i < sizeof styles / sizeof *styles; i++) {
        const char *text = json_object_to_json_string_ext(json, styles[i]);
        found = text != NULL &&
                fits(attempt, text, strlen(text),
                     "the same JSON printed differently: something parsed the body and printed it "
                     "again; verify and pass on the raw bytes");
    }
    json_object_put(json);
    json_tokener_free(tokener);
    /* And what Python's json.dumps() makes of JSON: a space behind each comma and colon. */
    char *spaced = found ? NULL : malloc(2 * attempt->length + 1);
    if (spaced != NULL) {
        size_t used = 0;
        bool quoted = false;
        for (size_t i = 0; i < attempt->length; i++) {
            char c = attempt->body[i];
            if (c == '"' && (i == 0 || attempt->body[i - 1] != '\\'))
                quoted = !quoted;
            if (!quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'))
                continue;
            spaced[used++] = c;
            if (!quoted && (c == ',' || c == ':'))
                spaced[used++] = ' ';
        }
        found = fits(
            attempt, spaced, used,
            "the same JSON with a space behind each comma and colon, as Python's json.dumps() prints it; "
            "verify and pass on the raw bytes");
    }
    free(spaced);
    return found;
}

/* ---- keys that were not taken as they are ---- */

static bool fits_key(struct attempt *attempt, const void *key, size_t length, int line,
                     const char *explanation) {
    crypto_auth_hmacsha256_state state;
    uint8_t made[SIGNATURE_BYTES];
    crypto_auth_hmacsha256_init(&state, key, length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)attempt->body, attempt->length);
    crypto_auth_hmacsha256_final(&state, made);
    sodium_memzero(&state, sizeof state);
    bool same = sodium_memcmp(made, attempt->digest, sizeof made) == 0;
    sodium_memzero(made, sizeof made);
    if (same)
        problem("the key in line %d makes this signature, but %s", line, explanation);
    return same;
}

static bool try_key(struct attempt *attempt, const char *text, size_t length, int line) {
    unsigned char bytes[KEY_TEXT_SIZE];
    size_t decoded;
    bool found = false;
    if (length >= sizeof bytes - 2)
        return false;
    memcpy(bytes, text, length);
    memcpy(bytes + length, "\r\n", 2);
    found = fits_key(attempt, bytes, length + 2, line,
                     "only with CR LF behind it: the signer read a line of a file and kept its end");
    bytes[length] = '\n';
    if (!found)
        found =
            fits_key(attempt, bytes, length + 1, line,
                     "only with a line break behind it: the signer read it from a file, line break and all");
    if (!found && sodium_hex2bin(bytes, sizeof bytes, text, length, NULL, &decoded, NULL) == 0 &&
        decoded == length / 2)
        found = fits_key(
            attempt, bytes, decoded, line,
            "only decoded from hexadecimal, which Ring's keys are not: put the key in as Ring shows it");
    if (!found && sodium_base642bin(bytes, sizeof bytes, text, length, NULL, &decoded, NULL,
                                    sodium_base64_VARIANT_URLSAFE) == 0)
        found = fits_key(
            attempt, bytes, decoded, line,
            "only decoded from URL-safe base64: put it in as ordinary base64, + and / in place of - and _");
    if (!found && length > 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0])
        found = fits_key(attempt, text + 1, length - 2, line,
                         "only without its quotation marks: take them out of the key file");
    sodium_memzero(bytes, sizeof bytes);
    return found;
}

static bool try_keys(struct attempt *attempt) {
    const char *text = attempt->key_text, *end = text + attempt->key_length, *line;
    size_t length;
    for (int number = 0; (line = keys_next_line(&text, end, &number, &length)) != NULL;)
        if (try_key(attempt, line, length, number))
            return true;
    return false;
}

static int explain_failure(struct attempt *attempt) {
    if (try_line_breaks(attempt) || try_reprinted(attempt) || try_keys(attempt))
        return STATUS_PROBLEM;
    return problem(
        "no key at hand makes this signature of this body, nor does any usual mistake explain it: either the "
        "key is another one (`doorpost key list` shows the fingerprints; paste Ring's anew), or the body is "
        "not the one that was signed");
}

static int verify(struct attempt *attempt, const char *signature) {
    if (signature_parse(signature, attempt->digest) != 0)
        return tell_malformed(attempt, signature);
    int key = signature_verify(attempt->keys, attempt->body, attempt->length, attempt->digest);
    if (key < 0)
        return explain_failure(attempt);
    printf("%sgood%s: key %s, line %d %s\n", colour(COLOUR_GOOD), colour(COLOUR_NONE),
           keys_fingerprint(attempt->keys, (size_t)key), keys_line(attempt->keys, (size_t)key),
           reading_name(attempt->keys, key));
    return STATUS_DONE;
}

int verb_verify_signature(int argc, char *argv[]) {
    struct settings settings = {0};
    struct config config;
    const char *signature = NULL;
    const struct usage usage = {
        .verb = "verify-signature",
        .synopsis = "--signature SIGNATURE [FILE]",
        .what = "Says whether the X-Signature is that of the body in FILE (or standard input), and with "
                "which key in\nwhich reading. If not, tries the usual mistakes and names the one that "
                "explains it.",
        .operands = 1};
    const struct option_spec table[] = {
        {'s', "signature", OPTION_TEXT, "SIGNATURE", "the header's value: sha256=...", &signature},
        OPTION_CONF(settings),
        OPTION_KEY_FILE(settings),
        {0}};
    int first = options_parse(argc, argv, &usage, table);
    if (signature == NULL)
        usage_error("which signature? Say --signature sha256=...");
    if (settings_load(&settings, NEED_KEYS, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    struct attempt attempt = {.keys = settings_keys(&config)};
    if (attempt.keys == NULL)
        return STATUS_PROBLEM;
    char *text = secret_read(config.key_file, &attempt.key_length);
    char *body = text != NULL ? body_read(first < argc ? argv[first] : NULL, &attempt.length) : NULL;
    attempt.key_text = text;
    attempt.body = body;
    int status = body != NULL ? verify(&attempt, signature) : STATUS_PROBLEM;
    free(body);
    sodium_free(text);
    keys_free(attempt.keys);
    return status;
}
