/* A key is copied by hand from a web page into the key file, and the signer reads it from another file. */
#include "mistake.h"

#include <ctype.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

static ssize_t put(const char *text, size_t length, char *out, size_t size) {
    if (length == 0 || length > size)
        return -1;
    memcpy(out, text, length);
    return (ssize_t)length;
}

enum ending { LF, CRLF, PADDING, PADDING_OF_TWO };

static ssize_t append(const char *text, size_t length, int how, char *out, size_t size) {
    static const char *const endings[] = {
        [LF] = "\n", [CRLF] = "\r\n", [PADDING] = "=", [PADDING_OF_TWO] = "=="};
    size_t added = strlen(endings[how]);
    if (length + added > size)
        return -1;
    memcpy(out, text, length);
    memcpy(out + length, endings[how], added);
    return (ssize_t)(length + added);
}

static ssize_t from_hex(const char *text, size_t length, int how, char *out, size_t size) {
    size_t made;
    (void)how;
    return length % 2 == 0 &&
                   sodium_hex2bin((unsigned char *)out, size, text, length, NULL, &made, NULL) == 0 &&
                   made == length / 2
               ? (ssize_t)made
               : -1;
}

/* `how` is a libsodium base64 variant. */
static ssize_t from_base64(const char *text, size_t length, int how, char *out, size_t size) {
    size_t made;
    return sodium_base642bin((unsigned char *)out, size, text, length, NULL, &made, NULL, how) == 0
               ? (ssize_t)made
               : -1;
}

static ssize_t to_base64(const char *text, size_t length, int how, char *out, size_t size) {
    size_t needed = sodium_base64_encoded_len(length, how); /* including the NUL */
    if (needed > size)
        return -1;
    sodium_bin2base64(out, size, (const unsigned char *)text, length, how);
    return (ssize_t)needed - 1;
}

static ssize_t unquote(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    bool quoted = length > 2 && strchr("\"'`", text[0]) != NULL && text[length - 1] == text[0];
    return quoted ? put(text + 1, length - 2, out, size) : -1;
}

/* Handles NAME=key, export NAME=key, NAME: key. */
static ssize_t without_name(const char *text, size_t length, int how, char *out, size_t size) {
    (void)how;
    size_t at = length > 7 && memcmp(text, "export ", 7) == 0 ? 7 : 0, name = at;
    while (at < length && (isalnum((unsigned char)text[at]) || strchr("_-.", text[at]) != NULL))
        at++;
    size_t end = at;
    while (at < length && text[at] == ' ')
        at++;
    if (end == name || at == length || (text[at] != '=' && text[at] != ':'))
        return -1;
    for (at++; at < length && text[at] == ' ';)
        at++;
    return put(text + at, length - at, out, size);
}

static ssize_t without_prefix(const char *text, size_t length, int how, char *out, size_t size) {
    static const char prefix[] = "whsec_";
    (void)how;
    return length > sizeof prefix && memcmp(text, prefix, sizeof prefix - 1) == 0
               ? put(text + sizeof prefix - 1, length - (sizeof prefix - 1), out, size)
               : -1;
}

static ssize_t without_blanks(const char *text, size_t length, int how, char *out, size_t size) {
    size_t used = 0;
    (void)how;
    for (size_t i = 0; i < length && used < size; i++)
        if (!isspace((unsigned char)text[i]))
            out[used++] = text[i];
    return used < length ? (ssize_t)used : -1;
}

#define RUN_LEAST 16 /* characters */
#define RUNS 8
#define BASE64 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/-_"

/* Picks the `how`th run that can be base64 within other text, as in `- "KEY", // staging`. */
static ssize_t pick(const char *text, size_t length, int how, char *out, size_t size) {
    for (size_t at = 0, start; at < length;) {
        for (start = at; at < length && text[at] != '\0' && strchr(BASE64, text[at]) != NULL;)
            at++;
        bool enough = at - start >= RUN_LEAST;
        while (enough && at < length && text[at] == '=')
            at++;
        if (enough && at - start < length && how-- == 0)
            return put(text + start, at - start, out, size);
        at += at == start;
    }
    return -1;
}

#define CUT_OFF "only with the = at its end: this part of the base64 was cut off; paste the whole key"
#define AS_SHOWN "; enter the key as Ring shows it"

const struct mistake key_mistakes[] = {
    {append, CRLF, "only with CR LF after it: the signer reads it from a file and keeps the line break", 0},
    {append, LF, "only with a line break after it: the signer reads it from a file and keeps the line break",
     0},
    {append, PADDING, CUT_OFF, 0},
    {append, PADDING_OF_TWO, CUT_OFF, 0},
    {from_base64, sodium_base64_VARIANT_ORIGINAL_NO_PADDING, CUT_OFF, 0},
    {from_base64, sodium_base64_VARIANT_URLSAFE,
     "only decoded from URL-safe base64: write it in standard base64, with + and / instead of - and _", 0},
    {from_base64, sodium_base64_VARIANT_URLSAFE_NO_PADDING,
     "only decoded from URL-safe base64: write it in standard base64, with + and / instead of - and _, and = "
     "at its end",
     0},
    {from_hex, 0, "only decoded from hexadecimal, which Ring's keys are not" AS_SHOWN, 0},
    {to_base64, sodium_base64_VARIANT_ORIGINAL,
     "only encoded in base64 again: the file has the decoded key" AS_SHOWN, 0},
    {NULL, 0, NULL, 0}};

const struct mistake key_wrappings[] = {
    {unquote, 0, "only without the quotation marks: remove them from the key file", 0},
    {without_name, 0, "only without the name before it: the key must be alone on its line", 0},
    {without_prefix, 0,
     "only without the prefix whsec_: Ring's keys do not have it; check that this is not another service's "
     "key",
     0},
    {pick, 0,
     "only without the other text on its line: the key must be alone there, without quotation marks, a name "
     "or a comment",
     RUNS - 1},
    {without_blanks, 0, "only without the white space in it: remove it from the key file", 0},
    {NULL, 0, NULL, 0}};
