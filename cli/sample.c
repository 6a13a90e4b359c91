#include "sample.h"

#include "quote.h"
#include "ring.h"
#include "timestamp.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define UUID_SIZE 37

bool sample_knows(const char *type) {
    size_t length = strlen(type), word;
    for (const char *at = RING_TYPES; *at != '\0'; at += word + strspn(at + word, " ")) {
        word = strcspn(at, " ");
        if (word == length && memcmp(at, type, length) == 0)
            return true;
    }
    return false;
}

/* RFC 9562, version 4. */
static void make_uuid(char out[UUID_SIZE]) {
    unsigned char b[16];
    randombytes_buf(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

/* A placeholder in samples and its value. */
struct value {
    const char *name, *text;
};

static const char *find_value(const struct value *values, const char *name, size_t length) {
    while (values->name != NULL &&
           (strlen(values->name) != length || memcmp(values->name, name, length) != 0))
        values++;
    return values->text;
}

/* Writes a sample with its placeholders replaced. Returns the length. */
static size_t fill_in(const char *sample, const struct value *values, char *out, size_t size) {
    size_t used = 0;
    for (; *sample != '\0'; sample++) {
        const char *text = *sample == '\'' ? "\"" : sample;
        size_t length = 1;
        if (*sample == '<') {
            length = strcspn(sample, ">");
            text = find_value(values, sample + 1, length - 1);
            sample += length;
            length = strlen(text);
        }
        length = length < size - 1 - used ? length : size - 1 - used;
        memcpy(out + used, text, length);
        used += length;
    }
    out[used] = '\0';
    return used;
}

/* Escapes text for a JSON string literal, without the quotation marks. */
static void escape(char out[QUOTE_SIZE(256)], const char *text) {
    char quoted[QUOTE_SIZE(256)];
    size_t length = quote(quoted, sizeof quoted, text, strlen(text));
    memcpy(out, quoted + 1, length - 2);
    out[length - 2] = '\0';
}

size_t sample_write(const char *type, const char *device, const char *account, int64_t at,
                    char out[SAMPLE_SIZE]) {
    char time[TIMESTAMP_SIZE], later[TIMESTAMP_SIZE], timestamp[24], request[UUID_SIZE], id[UUID_SIZE];
    char escaped_device[QUOTE_SIZE(256)], escaped_account[QUOTE_SIZE(256)];
    const struct value values[] = {
        {"time", time}, {"later", later}, {"timestamp", timestamp},      {"request_id", request},
        {"id", id},     {"type", type},   {"device_id", escaped_device}, {"account_id", escaped_account},
        {NULL, ""},
    };
    timestamp_format(at, time);
    timestamp_format(at + INT64_C(30) * 86400 * SECOND, later);
    snprintf(timestamp, sizeof timestamp, "%" PRId64, at / 1000);
    make_uuid(request);
    make_uuid(id);
    escape(escaped_device, device);
    escape(escaped_account, account);
    return fill_in(ring_sample(type), values, out, SAMPLE_SIZE);
}
