/* A counter must never decrease, or Prometheus assumes a restart. So the counts of days that `prune` deletes
 * are kept in the file `counted` in the journal's directory, as one line:
 *
 *   {"through":"2026-08-24","events":{"button_press":50},"rejected":{},"delays":50,"delay_seconds":41.5}
 *
 * These numbers include all days up to "through", whether already deleted or not. The first hundred types,
 * and the first hundred reasons, keep a label of their own for good; later ones are counted as `other`. It
 * cannot be the hundred most frequent: a type that newly became one would either take its events out of
 * `other`, which must not decrease, or start without them, and the type it displaced would have to end. So
 * once there are a hundred labels, they are fixed. Ring has about thirty types. */
#include "counters.h"

#include "replace.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "counted"
#define LABELS 100

bool counters_start(struct counters *counters) {
    *counters = (struct counters){
        .types = json_object_new_object(), .reasons = json_object_new_object(), .through = -1};
    return counters->types != NULL && counters->reasons != NULL;
}

void counters_end(struct counters *counters) {
    json_object_put(counters->types);
    json_object_put(counters->reasons);
}

/* ---- the file ---- */

static bool take_counts(struct json_object *from, const char *name, struct json_object **out) {
    struct json_object *counts;
    if (!json_object_object_get_ex(from, name, &counts) || !json_object_is_type(counts, json_type_object) ||
        json_object_object_length(counts) > LABELS + 1)
        return false;
    json_object_object_foreach(counts, label, count) {
        (void)label;
        if (!json_object_is_type(count, json_type_int) || json_object_get_int64(count) < 0)
            return false;
    }
    json_object_put(*out);
    *out = json_object_get(counts);
    return true;
}

static bool take(struct json_object *from, struct counters *counters) {
    struct json_object *day, *delays, *sum;
    if (!json_object_object_get_ex(from, "through", &day) || !json_object_is_type(day, json_type_string) ||
        day_parse(json_object_get_string(day), (size_t)json_object_get_string_len(day), &counters->through) !=
            0 ||
        !json_object_object_get_ex(from, "delays", &delays) || !json_object_is_type(delays, json_type_int) ||
        json_object_get_int64(delays) < 0 || !json_object_object_get_ex(from, "delay_seconds", &sum) ||
        !(json_object_is_type(sum, json_type_double) || json_object_is_type(sum, json_type_int)) ||
        !isfinite(json_object_get_double(sum)) || json_object_get_double(sum) < 0)
        return false;
    counters->delays = (uint64_t)json_object_get_int64(delays);
    counters->delay_sum = json_object_get_double(sum);
    return take_counts(from, "events", &counters->types) && take_counts(from, "rejected", &counters->reasons);
}

int counters_read(int directory, struct counters *counters, struct reason *reason) {
    char *text;
    size_t length;
    int result = replace_read(directory, FILE_NAME, &text, &length, reason);
    if (result <= 0)
        return result;
    struct json_object *from = json_tokener_parse(text);
    if (!json_object_is_type(from, json_type_object) || !take(from, counters))
        result = FAIL(reason, ERROR_DAMAGED,
                      FILE_NAME " is damaged: delete it to restart the counters from what the journal holds");
    json_object_put(from);
    free(text);
    return result < 0 ? result : 0;
}

int counters_write(int directory, const struct counters *counters, struct reason *reason) {
    char day[DAY_SIZE];
    struct json_object *all = json_object_new_object();
    day_format(counters->through, day);
    json_object_object_add(all, "through", json_object_new_string(day));
    json_object_object_add(all, "events", json_object_get(counters->types));
    json_object_object_add(all, "rejected", json_object_get(counters->reasons));
    json_object_object_add(all, "delays", json_object_new_int64((int64_t)counters->delays));
    json_object_object_add(all, "delay_seconds", json_object_new_double(counters->delay_sum));
    const char *text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
    int result = text != NULL
                     ? replace_write(directory, FILE_NAME ".new", FILE_NAME, text, strlen(text), reason)
                     : FAIL(reason, ERROR_SYSTEM, "out of memory for the counters");
    json_object_put(all);
    return result;
}

/* ---- counting ---- */

bool counters_count(struct json_object *counts, const char *name, int most) {
    struct json_object *count;
    if (!json_object_object_get_ex(counts, name, &count) && json_object_object_length(counts) >= most)
        name = "other";
    if (json_object_object_get_ex(counts, name, &count))
        return json_object_int_inc(count, 1) == 1;
    count = json_object_new_int64(1);
    return count != NULL && json_object_object_add(counts, name, count) == 0;
}

bool counters_delay(const struct lines *lines, double *seconds) {
    *seconds = ((double)lines->received_at / 1000 - (double)lines->event.timestamp) / 1000;
    if (*seconds < 0) /* the two clocks disagree */
        *seconds = 0;
    return lines->event.timestamp > 0;
}

bool counters_add(struct counters *counters, const struct lines *lines) {
    double delay;
    if (lines->position.day <= counters->through || strcmp(lines->event.device, EVENT_TEST_DEVICE) == 0)
        return true;
    if (counters_delay(lines, &delay)) {
        counters->delays++;
        counters->delay_sum += delay;
    }
    return counters_count(counters->types, lines->event.type, LABELS);
}

bool counters_add_rejection(struct counters *counters, const struct rejection *rejection) {
    return rejection->day <= counters->through ||
           counters_count(counters->reasons, rejection->reason, LABELS);
}
