/* A consumer as an object: the same members, whatever it reads. */
#include "support.h"

#include "consumer.h"

#include <string.h>

static void members_are_added_in_order(void **state) {
    struct json_object *last = json_object_new_object(), *one = json_object_new_object();
    const struct consumer consumer = {.name = "bell",
                                      .behind = INT64_C(5000000000),
                                      .behind_seconds = 7,
                                      .in_flight = 2,
                                      .retrying = 3,
                                      .waiting = 4,
                                      .failed = 5,
                                      .last = last};
    (void)state;
    consumer_describe(&consumer, one);
    json_object_put(last); /* the object has its own */
    assert_string_equal(json_object_to_json_string_ext(one, JSON_C_TO_STRING_PLAIN),
                        "{\"behind\":5000000000,\"behind_seconds\":7,\"in_flight\":2,\"retrying\":3,"
                        "\"waiting\":4,\"failed\":5,\"last_failure\":{}}");
    json_object_put(one);
}

static void nothing_has_failed_yet(void **state) {
    struct json_object *one = json_object_new_object();
    (void)state;
    consumer_describe(&(struct consumer){.name = "bell"}, one);
    assert_non_null(
        strstr(json_object_to_json_string_ext(one, JSON_C_TO_STRING_PLAIN), "\"last_failure\":null"));
    json_object_put(one);
}

static void failures_in_a_report_name_their_consumer(void **state) {
    struct json_object *failures = json_object_new_array(), *report = json_object_new_array();
    (void)state;
    json_object_array_add(failures, json_object_new_object());
    consumer_print_failures("bell", failures, report);
    json_object_put(failures);
    assert_string_equal(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PLAIN),
                        "[{\"name\":\"bell\"}]");
    json_object_put(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_added_in_order),
        cmocka_unit_test(nothing_has_failed_yet),
        cmocka_unit_test(failures_in_a_report_name_their_consumer),
    };
    return cmocka_run_group_tests_name("consumer", tests, NULL, NULL);
}
