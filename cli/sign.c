/* doorpost sign: prints the X-Signature that Ring would send with a body. */
#include "body.h"
#include "settings.h"
#include "signature.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

struct options {
    struct settings settings;
    bool decoded;
};

/* The first key of the file in the requested reading; usually 0, the text of the first line. */
static int choose(const struct keys *keys, bool decoded) {
    if (!decoded)
        return 0;
    for (size_t i = 0; i < keys_count(keys); i++)
        if (keys_reading(keys, i) == READING_BASE64)
            return (int)i;
    problem("no key in the file is the base64 of 16 bytes or more");
    return -1;
}

static int sign_main(int argc, char *argv[]) {
    struct options options = {0};
    struct config config;
    int first = options_parse(argc, argv, &verb_sign, &options);
    if (settings_load(&options.settings, NEED_KEYS, &config) != STATUS_DONE)
        return STATUS_PROBLEM;
    struct keys *keys = settings_keys(&config);
    if (keys == NULL)
        return STATUS_PROBLEM;
    size_t length;
    int index = choose(keys, options.decoded);
    char *body = index < 0 ? NULL : body_read(first < argc ? argv[first] : NULL, &length);
    if (body != NULL) {
        uint8_t digest[SIGNATURE_BYTES];
        char text[SIGNATURE_TEXT_SIZE];
        signature_make(keys, (size_t)index, body, length, digest);
        signature_format(digest, text);
        puts(text);
    }
    free(body);
    keys_free(keys);
    return body != NULL ? STATUS_DONE : STATUS_PROBLEM;
}

static const struct option_spec table[] = {
    {0, "base64", OPTION_FLAG, NULL, "use the base64-decoded bytes as the key, not the text", AT(decoded)},
    OPTION_CONF,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_sign = {
    .name = "sign",
    .summary = "print the X-Signature of a body",
    .synopsis = "[--base64] [FILE]",
    .what = "Prints the X-Signature of the body in FILE (or standard input), byte for byte, made with the "
            "first key\n"
            "of the key file.",
    .operands = {"FILE"},
    .options = table,
    .run = sign_main,
};
