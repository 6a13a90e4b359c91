#include "support.h"

#include "event.h"
#include "ring.h"

#include <stdio.h>
#include <string.h>

static void the_text_of_the_retries_matches_the_schedule(void **state) {
    (void)state;
    char text[128] = "";
    for (size_t i = 0; i < RING_RETRIES; i++) {
        int seconds = ring_retry_after[i], hour = seconds % 3600 == 0, minute = !hour && seconds % 60 == 0;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d %s", i > 0 ? ", " : "",
                 seconds / (hour     ? 3600
                            : minute ? 60
                                     : 1),
                 hour     ? "h"
                 : minute ? "min"
                          : "s");
    }
    assert_string_equal(text, RING_RETRY_TEXT);
}

static void only_server_errors_are_retried(void **state) {
    (void)state;
    assert_true(ring_is_final(200) && ring_is_final(299) && ring_is_final(400) && ring_is_final(499));
    assert_false(ring_is_final(100) || ring_is_final(500) || ring_is_final(503) || ring_is_final(599));
}

static bool is_value(const char *name, size_t length) {
    static const char *const names[] = {"time", "request_id", "account_id", "id",
                                        "type", "device_id",  "timestamp",  "later"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return true;
    return false;
}

/* Writes a sample, replacing each value with 1 or its own name, except for the type. */
static size_t fill_in(const char *type, char out[SAMPLE_SIZE]) {
    FILE *stream = fmemopen(out, SAMPLE_SIZE, "w");
    for (const char *next = ring_sample(type); *next != '\0'; next++) {
        size_t length = *next == '<' ? strcspn(next, ">") - 1 : 0;
        if (length == 0) {
            fputc(*next == '\'' ? '"' : *next, stream);
            continue;
        }
        if (!is_value(next + 1, length))
            fail_msg("the sample of %s names %.*s", type, (int)length, next + 1);
        if (strncmp(next, "<type>", 6) == 0)
            fputs(type, stream);
        else if (strncmp(next, "<timestamp>", 11) == 0)
            fputc('1', stream);
        else
            fwrite(next + 1, 1, length, stream);
        next += length + 1;
    }
    long length = ftell(stream);
    fclose(stream);
    return (size_t)length;
}

static void each_sample_is_an_event_of_its_type(void **state) {
    (void)state;
    char types[] = RING_TYPES, body[SAMPLE_SIZE];
    struct event_parser *parser = event_parser_new();
    struct event event;
    struct reason reason;
    for (const char *type = strtok(types, " "); type != NULL; type = strtok(NULL, " ")) {
        size_t length = fill_in(type, body);
        if (event_parse(parser, body, length, &event, &reason) != 0)
            fail_msg("%s: %s: %.*s", type, reason.text, (int)length, body);
        assert_string_equal(event.type, type);
        assert_string_equal(event.account, "account_id");
        assert_string_equal(event.device,
                            event.timestamp == 1 && strncmp(type, "app_", 4) != 0 ? "device_id" : "");
        assert_string_equal(event.sub_type, strcmp(type, "motion_detected") == 0 ? "human"
                                            : event.timestamp == 0               ? "paid"
                                                                                 : "");
    }
    event_parser_free(parser);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_text_of_the_retries_matches_the_schedule),
                                       cmocka_unit_test(only_server_errors_are_retried),
                                       cmocka_unit_test(each_sample_is_an_event_of_its_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
