/* Any correctly signed bytes get a decision: usable, or rejected with a reason. A usable body makes a journal
 * line that reads back unchanged and has the identifiers that event_identifiers() finds. */
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
    int fd = sodium_init() < 0 ? -1 : mkstemp(path);
    keys = keys_alloc();
    parser = event_parser_new();
    if (fd < 0 || keys == NULL || parser == NULL ||
        write(fd, key, sizeof key - 1) != (ssize_t)sizeof key - 1 || keys_load(keys, path, &reason) != 0)
        abort();
    close(fd);
    unlink(path);
}

/* The fast extraction of the identifiers finds the same ones. */
static void check_identifiers(const struct event *event, const char *body, size_t length) {
    struct span request, id;
    if (event_identifiers(body, length, &request, &id) &&
        (request.length != strlen(event->request_id) || id.length != strlen(event->id) ||
         memcmp(request.text, event->request_id, request.length) != 0 ||
         memcmp(id.text, event->id, id.length) != 0))
        abort();
}

/* Writes the line of a usable event and reads it back. */
static void check_line(const struct decision *decision, char *body, size_t length) {
    static char line[RECORD_LIMIT];
    struct chain_state writing = chain_start(), reading = chain_start();
    struct record record;
    size_t used;
    bool verbatim = record_flatten(body, length);
    size_t header_length =
        record_write_header(&writing, 0, decision->key, decision->signature, verbatim, body, length, line);
    memcpy(line + header_length, body, length);
    memcpy(line + header_length + length, RECORD_TAIL, sizeof RECORD_TAIL - 1);
    size_t whole = header_length + length + sizeof RECORD_TAIL - 1;
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
    struct decision decision = {.disposition = DISPOSITION_UNAVAILABLE};
    uint8_t digest[SIGNATURE_BYTES];
    char signature[SIGNATURE_TEXT_SIZE];
    if (keys == NULL)
        start();
    if (size > sizeof body)
        return 0;
    memcpy(body, data, size);
    signature_make(keys, 0, body, size, digest);
    signature_format(digest, signature);
    const struct request_metadata metadata = {.method = "POST", .signature = signature};
    if (size > 0)
        intake_request(&config, keys, parser, &metadata, body, size, &decision);
    else
        intake_body(keys, parser, signature, body, size, &decision);
    if (decision.disposition == DISPOSITION_ACCEPTED) {
        check_identifiers(&decision.event, body, size);
        check_line(&decision, body, size);
    } else if (decision.disposition != DISPOSITION_REJECTED || decision.cause.text[0] == '\0')
        abort();
    return 0;
}
