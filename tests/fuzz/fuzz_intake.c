/* Any bytes, rightly signed, are decided on: usable, or rejected with a reason. What is usable makes a
 * journal line that reads back as what it was. */
#include "intake.h"
#include "record.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keys *keys;
static struct event_parser *parser;

static void start(void) {
    static const char key[] = "a-signing-key-for-the-fuzzer";
    char path[] = "/tmp/doorpost-fuzz-XXXXXX";
    struct reason reason;
    int file = sodium_init() < 0 ? -1 : mkstemp(path);
    keys = keys_alloc();
    parser = event_parser_new();
    if (file < 0 || keys == NULL || parser == NULL ||
        write(file, key, sizeof key - 1) != (ssize_t)sizeof key - 1 || keys_load(keys, path, &reason) != 0)
        abort();
    close(file);
    unlink(path);
}

/* The line of a usable event, written and read. */
static void check_line(const struct decision *decision, char *body, size_t length) {
    static char line[RECORD_LIMIT];
    struct link writing = link_start(), reading = link_start();
    struct record record;
    size_t used;
    bool verbatim = record_flatten(body, length);
    size_t head = record_head(&writing, 0, decision->key, decision->signature, verbatim, body, length, line);
    memcpy(line + head, body, length);
    memcpy(line + head + length, RECORD_TAIL, sizeof RECORD_TAIL - 1);
    size_t whole = head + length + sizeof RECORD_TAIL - 1;
    struct event again;
    if (record_scan(line, whole, &reading, &record, &used) != SCAN_RECORD || used != whole ||
        record.event_length != length || memcmp(record.event, body, length) != 0 ||
        record.verbatim != verbatim ||
        event_parse(parser, record.event, record.event_length, &again, NULL) != 0 ||
        memcmp(&again, &decision->event, sizeof again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char body[BODY_LIMIT];
    static const struct config config = {.max_body = BODY_LIMIT};
    struct decision decision = {.verdict = VERDICT_TROUBLE};
    uint8_t digest[SIGNATURE_BYTES];
    char signature[SIGNATURE_TEXT_SIZE];
    if (keys == NULL)
        start();
    if (size > sizeof body)
        return 0;
    memcpy(body, data, size);
    signature_make(keys, 0, body, size, digest);
    signature_format(digest, signature);
    const struct head head = {.method = "POST", .content_length = "1", .signature = signature};
    intake_head(&config, &head, &decision);
    intake_body(keys, parser, &head, body, size, &decision);
    if (decision.verdict == VERDICT_USABLE)
        check_line(&decision, body, size);
    else if (decision.verdict != VERDICT_REJECTED || decision.cause.text[0] == '\0')
        abort();
    return 0;
}
