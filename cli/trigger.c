/* doorpost trigger: imitates Ring, to test an endpoint without pressing a bell. */
#include "delivery.h"
#include "nearest.h"
#include "ring.h"
#include "sample.h"
#include "settings.h"
#include "signature.h"
#include "terminal.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STALE (INT64_C(30) * 86400 * SECOND)
#define IDENTIFIER_MAX 256

struct options {
    struct settings settings;
    const char *type, *url, *device, *account;
    int64_t count;
    bool duplicate, bad_signature, stale, retry, print;
};

static bool is_expected(const struct options *options, const struct answer *answer) {
    if (options->bad_signature)
        return answer->status == 401;
    if (options->stale && answer->status == 400 && strstr(answer->body, "\"stale\"") != NULL)
        return true;
    return answer->status >= 200 && answer->status < 300;
}

static void print_answer(const struct options *options, const struct answer *answer) {
    bool expected = is_expected(options, answer);
    size_t length = strcspn(answer->body, "\r\n");
    printf("%s%d%s  ", colour(expected ? COLOUR_GOOD : COLOUR_BAD), answer->status, colour(COLOUR_NONE));
    for (size_t i = 0; i < length && i < 300; i++)
        putchar(answer->body[i] >= ' ' && answer->body[i] <= '~' ? answer->body[i] : '?');
    printf("  %s%.1f ms%s\n", colour(COLOUR_FAINT), answer->seconds * 1000, colour(COLOUR_NONE));
    fflush(stdout);
}

/* Sends one delivery, with its retries. Returns true if it ended as expected. */
static bool deliver(const struct options *options, const char *body, size_t length, const char *signature) {
    struct answer answer;
    struct reason reason;
    for (int attempt = 0;; attempt++) {
        int result = delivery_send(options->url, body, length, signature, &answer, &reason);
        if (result != 0)
            problem("%s", reason.text);
        else
            print_answer(options, &answer);
        if (!options->retry || attempt == RING_RETRIES || (result == 0 && ring_is_final(answer.status)))
            return result == 0 && is_expected(options, &answer);
        fprintf(stderr, "retrying in %d s, as Ring does\n", ring_retry_after[attempt]);
        sleep((unsigned)ring_retry_after[attempt]);
    }
}

static int send_all(const struct options *options, struct keys *keys) {
    bool good = true;
    for (int64_t i = 0; i < options->count; i++) {
        char body[SAMPLE_SIZE], signature[SIGNATURE_TEXT_SIZE];
        uint8_t digest[SIGNATURE_BYTES];
        int64_t at = timestamp_now() - (options->stale ? STALE : 0);
        size_t length = sample_write(options->type, options->device, options->account, at, body);
        if (options->print || keys == NULL) {
            print_text(body, length);
            putchar('\n');
            continue;
        }
        signature_make(keys, 0, body, length, digest);
        if (options->bad_signature)
            digest[0] ^= 1;
        signature_format(digest, signature);
        good &= deliver(options, body, length, signature);
        if (options->duplicate)
            good &= deliver(options, body, length, signature);
    }
    return good ? STATUS_DONE : STATUS_PROBLEM;
}

__attribute__((noreturn)) static void refuse_type(const char *type) {
    struct nearest nearest;
    char types[] = RING_TYPES, hint[NEAREST_SIZE];
    nearest_start(&nearest, type);
    for (const char *name = strtok(types, " "); name != NULL; name = strtok(NULL, " "))
        nearest_try(&nearest, name);
    usage_error("\"%.100s\" is not an event type documented by Ring%s; --help lists the types", type,
                nearest_hint(&nearest, "", hint));
}

static int trigger_main(int argc, char *argv[]) {
    struct options options = {
        .type = RING_PRESS, .device = RING_SAMPLE_DEVICE, .account = RING_SAMPLE_ACCOUNT, .count = 1};
    struct config config;
    int first = options_parse(argc, argv, &verb_trigger, &options);
    if (first < argc)
        options.type = argv[first];
    if (!sample_knows(options.type))
        refuse_type(options.type);
    if (options.url == NULL && !options.print)
        usage_error("no URL given: use --url https://YOUR.HOST/doorpost");
    if (strlen(options.device) > IDENTIFIER_MAX || strlen(options.account) > IDENTIFIER_MAX)
        usage_error("an identifier may have at most %d bytes", IDENTIFIER_MAX);
    if (settings_load(&options.settings, options.print ? NEED_NOTHING : NEED_KEYS, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    if (options.print)
        return send_all(&options, NULL);
    struct keys *keys = settings_keys(&config);
    if (keys == NULL)
        return STATUS_PROBLEM;
    int status = send_all(&options, keys);
    keys_free(keys);
    return status;
}

static const struct option_spec table[] = {
    {'u', "url", OPTION_TEXT, "URL", "the endpoint registered with Ring", AT(url)},
    {'n', "count", OPTION_NUMBER, "N", "send N new events", AT(count)},
    {0, "device", OPTION_TEXT, "ID", "device ID of the event", AT(device)},
    {0, "account", OPTION_TEXT, "ID", "account ID of the event", AT(account)},
    {0, "duplicate", OPTION_FLAG, NULL, "send each event twice: the second must be \"duplicate\"",
     AT(duplicate)},
    {0, "bad-signature", OPTION_FLAG, NULL, "send a wrong signature: must be answered 401",
     AT(bad_signature)},
    {0, "stale", OPTION_FLAG, NULL, "date the event 30 days back, as a replayed capture would be", AT(stale)},
    {0, "retry", OPTION_FLAG, NULL, "retry after " RING_RETRY_TEXT " until 2xx or 4xx", AT(retry)},
    {0, "print", OPTION_FLAG, NULL, "print the events, send nothing", AT(print)},
    OPTION_CONF,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_trigger = {
    .name = "trigger",
    .summary = "send a fresh, signed event, as Ring would",
    .synopsis = "[TYPE] --url URL [--count N] [--device ID] [--duplicate] [--retry]",
    .what = "Sends a fresh event of TYPE (button_press), signed with the first key, as Ring would, and "
            "prints the answer.\n"
            "Types: " RING_TYPES,
    .operands = {"TYPE"},
    .options = table,
    .run = trigger_main,
};
