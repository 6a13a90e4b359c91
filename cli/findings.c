#include "findings.h"

#include "options.h"
#include "signature.h"
#include "terminal.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 100 /* later ones are only counted */

int findings_start(struct findings *findings, bool json, struct keys *keys) {
    *findings = (struct findings){.json = json, .keys = keys, .list = json_object_new_array()};
    return findings->list != NULL ? STATUS_DONE : problem("out of memory");
}

void findings_end(struct findings *findings) {
    json_object_put(findings->list);
}

void findings_add(struct findings *findings, struct json_object *place, const char *name, const char *detail,
                  const char *what) {
    if (++findings->count > SHOWN) {
        json_object_put(place);
    } else if (findings->json) {
        json_object_object_add(place, "what", json_object_new_string(what));
        json_object_array_add(findings->list, place);
    } else {
        json_object_put(place);
        printf("%s%s%s: %s: ", colour(COLOUR_BAD), name, colour(COLOUR_NONE), detail);
        print_visibly(stdout, what, strlen(what));
        putchar('\n');
    }
}

/* ---- signatures ---- */

static int key_of(const struct findings *findings, const struct record *record) {
    int count = (int)keys_count(findings->keys);
    for (int i = 0; i < count; i++) {
        int index = (findings->key + i) % count;
        if (memcmp(keys_fingerprint(findings->keys, (size_t)index), record->key, FINGERPRINT_SIZE - 1) == 0)
            return index;
    }
    return -1;
}

bool findings_verify(struct findings *findings, const struct record *record) {
    uint8_t digest[SIGNATURE_BYTES];
    char text[SIGNATURE_TEXT_SIZE];
    if (findings->keys == NULL)
        return true;
    int key = key_of(findings, record);
    if (key < 0) {
        findings->unknown_key++;
        return true;
    }
    if (!record->verbatim) {
        findings->not_verbatim++;
        return true;
    }
    findings->key = key;
    signature_make(findings->keys, (size_t)key, record->event, record->event_length, digest);
    signature_format(digest, text);
    bool matches = memcmp(text, record->signature, SIGNATURE_TEXT_SIZE - 1) == 0;
    findings->verified += matches;
    return matches;
}

/* ---- reporting ---- */

int findings_report(const struct findings *findings, const char *unit, uint64_t total, const char *index) {
    struct json_object *all = json_object_new_object();
    json_object_object_add(all, unit, json_object_new_int64((int64_t)total));
    json_object_object_add(all, "signatures_verified", json_object_new_int64((int64_t)findings->verified));
    json_object_object_add(all, "signatures_without_key",
                           json_object_new_int64((int64_t)findings->unknown_key));
    json_object_object_add(all, "signatures_not_verbatim",
                           json_object_new_int64((int64_t)findings->not_verbatim));
    if (index != NULL)
        json_object_object_add(all, "index", json_object_new_string(index));
    json_object_object_add(all, "problems", json_object_new_int64((int64_t)findings->count));
    json_object_object_add(all, "findings", json_object_get(findings->list));
    int status = print_json(all);
    json_object_put(all);
    return status;
}

void findings_summarize(const struct findings *findings, const char *unit, uint64_t total,
                        const char *index) {
    if (findings->count > SHOWN)
        printf("and %" PRIu64 " more findings\n", findings->count - SHOWN);
    printf("%" PRIu64 " %s", total, unit);
    if (findings->keys != NULL) {
        printf(", %" PRIu64 " signatures verified", findings->verified);
        if (findings->unknown_key > 0)
            printf(", %" PRIu64 " not verified (key not configured)", findings->unknown_key);
        if (findings->not_verbatim > 0)
            printf(", %" PRIu64 " not verifiable (body with line breaks)", findings->not_verbatim);
    }
    printf("%s: %s%s%s\n", index, colour(findings->count == 0 ? COLOUR_GOOD : COLOUR_BAD),
           findings->count == 0 ? "no problems" : "problems found, see above", colour(COLOUR_NONE));
}
