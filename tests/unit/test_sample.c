/* Generated events are as Ring documents them: each is accepted as its own type. */
#include "support.h"

#undef SAMPLE_SIZE /* of the recorded ones */
#include "event.h"
#include "ring.h"
#include "sample.h"
#include "timestamp.h"

#include <string.h>

#define AT (INT64_C(1795435200) * SECOND + 123456)

static struct event event;
static char body[SAMPLE_SIZE];
static struct reason reason;

static void parse(const char *type, const char *device, const char *account) {
    struct event_parser *parser = event_parser_new();
    assert_non_null(parser);
    size_t length = sample_write(type, device, account, AT, body);
    assert_int_equal(length, strlen(body));
    int result = event_parse(parser, body, length, &event, &reason);
    event_parser_free(parser);
    if (result != 0)
        fail_msg("%s: %s", type, reason.text);
}

static void each_documented_type_is_an_event(void **state) {
    char types[1024], *rest;
    unsigned count = 0;
    (void)state;
    strcpy(types, RING_TYPES);
    for (char *type = strtok_r(types, " ", &rest); type != NULL; type = strtok_r(NULL, " ", &rest), count++) {
        bool is_integration = strncmp(type, "app_integration_", 16) == 0;
        bool is_subscription = strncmp(type, "subscription_", 13) == 0;
        assert_true(sample_knows(type));
        parse(type, "front", "family");
        assert_string_equal(event.type, type);
        assert_string_equal(event.account, "family");
        assert_string_equal(event.device, is_integration || is_subscription ? "" : "front");
        assert_int_equal(event.timestamp, is_subscription ? 0 : AT / 1000);
        assert_string_equal(event.sub_type, is_subscription                        ? "paid"
                                            : strcmp(type, "motion_detected") == 0 ? "human"
                                                                                   : "");
        assert_true(event.has_time);
        assert_int_equal(event.time, AT);
        assert_int_equal(strstr(body, "\"expires_at\":\"2026-12-23T12:00:00.123456Z\"") != NULL,
                         strcmp(type, "subscription_activated") == 0);
    }
    assert_int_equal(count, 26);
}

static void no_part_of_the_type_list_is_a_type(void **state) {
    static const char *const types[] = {"",
                                        " ",
                                        "button",
                                        "press",
                                        "utton_press",
                                        "button_press ",
                                        "_added",
                                        "x",
                                        "co_detecte",
                                        "o_detected",
                                        "device_added device_removed",
                                        "DEVICE_ADDED"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (sample_knows(types[i]))
            fail_msg("\"%s\" is taken for a type", types[i]);
}

static void every_sample_is_a_different_event(void **state) {
    struct event first;
    (void)state;
    parse("button_press", "front", "family");
    first = event;
    parse("button_press", "front", "family");
    assert_string_not_equal(event.id, first.id);
    assert_string_not_equal(event.request_id, first.request_id);
}

static void any_name_is_preserved(void **state) {
    char longest[257];
    (void)state;
    parse("button_press", "a \"name\"\\\n", "T\xc3\x9cR");
    assert_string_equal(event.device, "a \"name\"\\\n");
    assert_string_equal(event.account, "T\xc3\x9cR");
    memset(longest, '\x01', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    parse("motion_detected", longest, longest);
    assert_string_equal(event.device, longest);
    assert_string_equal(event.account, longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_documented_type_is_an_event),
        cmocka_unit_test(no_part_of_the_type_list_is_a_type),
        cmocka_unit_test(every_sample_is_a_different_event),
        cmocka_unit_test(any_name_is_preserved),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
