#include "event.h"
#include "support.h"
#include "timestamp.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct event_parser *parser;
static struct event event;
static struct reason reason;

static int set_up(void **state) {
    (void)state;
    parser = event_parser_new();
    return parser == NULL;
}

static int tear_down(void **state) {
    (void)state;
    event_parser_free(parser);
    return 0;
}

static int parse(const char *body, size_t length) {
    reason.text[0] = '\0';
    return event_parse(parser, body, length, &event, &reason);
}

static void check_refused(const char *body, size_t length, const char *wanted) {
    if (parse(body, length) != ERROR_INVALID)
        fail_msg("took %.*s", (int)length, body);
    if (strstr(reason.text, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\" of %.*s", reason.text, wanted, (int)length, body);
}

static void every_documented_type_is_read(void **state) {
    (void)state;
    static const struct {
        const char *file, *type, *id, *device, *account;
    } cases[] = {
#define FRONT "ava1.ring.device.FRONTDOOR01"
#define ACCOUNT "ava1.ring.account.EXAMPLE1"
        {"button_press.json", "button_press", FRONT "_button_press_1771027372393", FRONT, ACCOUNT},
        {"button_press_pretty.json", "button_press", FRONT "_button_press_1771027372396", FRONT, ACCOUNT},
        {"motion_detected.json", "motion_detected", FRONT "_human_1770989995231", FRONT, ACCOUNT},
        {"motion_detected_sub_type.json", "motion_detected", FRONT "_package_1770990055231", FRONT, ACCOUNT},
        {"device_added.json", "device_added", FRONT "_device_added_1770985219558", FRONT, ACCOUNT},
        {"device_removed.json", "device_removed", FRONT "_device_removed_1770985219559", FRONT, ACCOUNT},
        {"device_online.json", "device_online", FRONT "_device_online_1770985219560", FRONT, ACCOUNT},
        {"device_offline.json", "device_offline", FRONT "_device_offline_1770985219561", FRONT, ACCOUNT},
        {"contact_sensor_faulted.json", "contact_sensor_faulted",
         FRONT "_contact_sensor_faulted_1770985219562", FRONT, ACCOUNT},
        {"app_integration_added.json", "app_integration_added", "evt-app_integration_added-1", "", ACCOUNT},
        {"app_integration_removed.json", "app_integration_removed", "evt-app_integration_removed-1", "",
         ACCOUNT},
        {"subscription_activated.json", "subscription_activated", "evt-sub-1", "", ACCOUNT},
        {"subscription_deactivated.json", "subscription_deactivated", "evt-sub-2", "", ACCOUNT},
        {"unknown_type.json", "package_delivered_by_drone", FRONT "_package_delivered_by_drone_1771027372393",
         FRONT, ACCOUNT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[SAMPLE_SIZE];
        size_t length = read_sample(cases[i].file, body);
        if (parse(body, length) != 0)
            fail_msg("%s: %s", cases[i].file, reason.text);
        assert_string_equal(event.type, cases[i].type);
        assert_string_equal(event.id, cases[i].id);
        assert_string_equal(event.device, cases[i].device);
        assert_string_equal(event.account, cases[i].account);
        assert_true(event.has_time);
    }
    char body[SAMPLE_SIZE];
    assert_int_equal(parse(body, read_sample("button_press.json", body)), 0);
    assert_string_equal(event.request_id, "c83081fc-2f1b-4cb7-8b18-b18a318b8bab");
    assert_int_equal(event.timestamp, INT64_C(1771027372393));
    assert_int_equal(event.time, INT64_C(1771027373027052));
    assert_int_equal(parse(body, read_sample("button_press_utf8.json", body)), 0);
    assert_string_equal(event.device, "ava1.ring.device.EINGANGST\xc3\x9cR");
}

/* A sample with the member at `path` replaced by the JSON text `value`, or removed if `value` is NULL. */
static size_t altered(const char *sample, const char *path, const char *value, char *out, size_t size) {
    char body[SAMPLE_SIZE], parts[64];
    read_sample(sample, body);
    struct json_object *root = json_tokener_parse(body), *object = root;
    snprintf(parts, sizeof parts, "%s", path);
    char *rest = parts, *name = strsep(&rest, ".");
    for (; rest != NULL; name = strsep(&rest, "."))
        object = json_object_object_get(object, name);
    json_object_object_del(object, name);
    char marker[] = "@@value@@";
    if (value != NULL)
        json_object_object_add(object, name, json_object_new_string(marker));
    const char *text =
        json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    const char *at = value != NULL ? strstr(text, "\"@@value@@\"") : NULL;
    int length = at == NULL
                     ? snprintf(out, size, "%s", text)
                     : snprintf(out, size, "%.*s%s%s", (int)(at - text), text, value, at + sizeof marker + 1);
    json_object_put(root);
    assert_true(length > 0 && (size_t)length < size);
    return (size_t)length;
}

static void check_altered(const char *sample, const char *path, const char *value, const char *wanted) {
    static char body[2 * SAMPLE_SIZE];
    size_t length = altered(sample, path, value, body, sizeof body);
    if (wanted != NULL)
        check_refused(body, length, wanted);
    else if (parse(body, length) != 0)
        fail_msg("%s: %s", body, reason.text);
}

static const char *const strings_of_a_press[] = {
    "meta.request_id", "meta.account_id",        "data.id",
    "data.type",       "data.attributes.source", "data.attributes.source_type"};

static void every_field_of_a_press_is_required(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof strings_of_a_press / sizeof *strings_of_a_press; i++) {
        const char *path = strings_of_a_press[i];
        check_altered("button_press.json", path, NULL, path);
        check_altered("button_press.json", path, "null", path);
        check_altered("button_press.json", path, "\"\"", path);
        check_altered("button_press.json", path, "17", path);
        check_altered("button_press.json", path, "{}", path);
        check_altered("button_press.json", path, "[\"x\"]", path);
        check_altered("button_press.json", path, "true", path);
        check_altered("button_press.json", path, "\"a\\u0000b\"", path);
    }
    check_altered("button_press.json", "data.attributes.source_type", "\"users\"", "source_type");
    check_altered("button_press.json", "meta", NULL, "meta is missing");
    check_altered("button_press.json", "meta", "[]", "meta is missing or not an object");
    check_altered("button_press.json", "data", "7", "data is missing or not an object");
    check_altered("button_press.json", "data.attributes", NULL, "data.attributes.source is missing");
    check_altered("button_press.json", "data.attributes", "\"x\"", "data.attributes.source is missing");
}

static void a_press_has_an_integer_timestamp(void **state) {
    (void)state;
    static const char *const wrong[] = {NULL,
                                        "null",
                                        "\"1771027372393\"",
                                        "1.5",
                                        "1771027372393.0000000000000000000000000001",
                                        "1e-1",
                                        "15e-2",
                                        "0.1e0",
                                        "1e16",
                                        "9007199254740993.0",
                                        "-9007199254740993.0",
                                        "1e400",
                                        "-1e99999999999999999999",
                                        "1e-99999999999999999999",
                                        "true",
                                        "{}",
                                        "99999999999999999999",
                                        "-99999999999999999999",
                                        "18446744073709551616"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_altered("button_press.json", "data.attributes.timestamp", wrong[i],
                      "data.attributes.timestamp");
    check_altered("button_press.json", "data.attributes.timestamp", "9007199254740993", NULL); /* 2^53 + 1 */
    assert_int_equal(event.timestamp, INT64_C(9007199254740993));
    static const struct {
        const char *text;
        int64_t number;
    } right[] = {{"-1", -1},
                 {"1771027372393.0", INT64_C(1771027372393)},
                 {"1.771027372393e12", INT64_C(1771027372393)},
                 {"1771027372393000E-3", INT64_C(1771027372393)},
                 {"17710273723930.00e-01", INT64_C(1771027372393)},
                 {"0.000001771027372393e+18", INT64_C(1771027372393)},
                 {"-0.0", 0},
                 {"0e99999999999999999999", 0},
                 {"0.0e-5", 0},
                 {"1e3", 1000},
                 {"-1.5e1", -15},
                 {"9007199254740992.0", INT64_C(1) << 53},
                 {"-9007199254740992e0", -(INT64_C(1) << 53)},
                 {"9223372036854775806", INT64_MAX - 1}};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        check_altered("button_press.json", "data.attributes.timestamp", right[i].text, NULL);
        assert_int_equal(event.timestamp, right[i].number);
    }
    check_altered("motion_detected.json", "data.attributes.timestamp", "1.5", NULL);
    assert_int_equal(event.timestamp, 0);
}

static void other_types_require_three_fields(void **state) {
    (void)state;
    static const char *const needed[] = {"meta.request_id", "data.id", "data.type"};
    static const char *const free_ones[] = {
        "meta.account_id",           "meta.version",           "meta.time",
        "data.attributes",           "data.attributes.source", "data.attributes.source_type",
        "data.attributes.timestamp", "data.relationships"};
    for (size_t i = 0; i < 3; i++)
        check_altered("motion_detected.json", needed[i], NULL, needed[i]);
    for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones; i++)
        check_altered("motion_detected.json", free_ones[i], NULL, NULL);
    check_altered("motion_detected.json", "data.attributes", "[1,2]", NULL);
    check_altered("motion_detected.json", "meta.account_id", "{}", NULL);
    assert_string_equal(event.account, "");
    check_altered("motion_detected.json", "data.attributes.source", "[]", NULL);
    assert_string_equal(event.device, "");
}

static void an_older_press_may_lack_the_account(void **state) {
    (void)state;
    static const char *const others[] = {NULL, "\"1.0\"", "1.1", "\"1.1\\u0000x\"", "\"1.10\"", "null", "{}"};
    static const char *const accounts[] = {"null", "\"\"", "17", "{}", "[\"x\"]", "\"a\\u0000b\""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_altered("button_press.json", "meta.version", others[i], NULL);
    for (size_t i = 0; i < sizeof accounts / sizeof *accounts; i++) {
        char meta[128];
        snprintf(meta, sizeof meta, "{\"version\":\"1.0\",\"request_id\":\"r\",\"account_id\":%s}",
                 accounts[i]);
        check_altered("button_press.json", "meta", meta, NULL);
        assert_string_equal(event.account, "");
        assert_string_equal(reason.text, "");
    }
    char body[SAMPLE_SIZE];
    int length = snprintf(
        body, sizeof body,
        "{\"meta\":{\"version\":\"1.0\",\"request_id\":\"r\"},\"data\":{\"id\":\"i\",\"type\":"
        "\"button_press\",\"attributes\":{\"source\":\"d\",\"source_type\":\"devices\",\"timestamp\":1}}}");
    assert_int_equal(parse(body, (size_t)length), 0);
    assert_string_equal(event.account, "");
    assert_false(event.has_time);
}

static void any_meta_time_is_accepted(void **state) {
    (void)state;
    static const char *const unreadable[] = {"\"\"",
                                             "17",
                                             "true",
                                             "{}",
                                             "[\"2026-02-14T00:02:53Z\"]",
                                             "\"simulated\"",
                                             "\"half past two\"",
                                             "\"2026-02-30T00:00:00Z\"",
                                             "\"2026-02-14T00:02:53Z\\u0000\""};
    static const char *const readable[] = {"\"2026-02-14T00:02:53Z\"", "\"2026-02-14T00:02:53.0123456789Z\"",
                                           "\"2026-02-14 01:02:53+01:00\"", "\"20260214T000253\""};
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        check_altered("button_press.json", "meta.time", unreadable[i], NULL);
        assert_true(event.time_is_present);
        assert_false(event.has_time);
    }
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
        check_altered("button_press.json", "meta.time", readable[i], NULL);
        assert_true(event.time_is_present && event.has_time);
        assert_int_equal(event.time / SECOND, INT64_C(1771027373));
    }
    for (int i = 0; i < 2; i++) {
        check_altered("button_press.json", "meta.time", i == 0 ? NULL : "null", NULL);
        assert_false(event.time_is_present || event.has_time);
    }
}

static void identifiers_have_a_maximum_length(void **state) {
    (void)state;
    char value[EVENT_FIELD_SIZE + 3];
    memset(value, 'x', sizeof value);
    value[0] = value[EVENT_FIELD_SIZE] = '"';
    value[EVENT_FIELD_SIZE + 1] = '\0'; /* EVENT_FIELD_SIZE - 1 characters */
    for (size_t i = 0; i < sizeof strings_of_a_press / sizeof *strings_of_a_press; i++)
        if (i < 3 || i == 4)
            check_altered("button_press.json", strings_of_a_press[i], value, NULL);
    value[EVENT_FIELD_SIZE] = 'x';
    value[EVENT_FIELD_SIZE + 1] = '"';
    value[EVENT_FIELD_SIZE + 2] = '\0';
    for (size_t i = 0; i < sizeof strings_of_a_press / sizeof *strings_of_a_press; i++)
        check_altered("button_press.json", strings_of_a_press[i], value, strings_of_a_press[i]);
}

static void the_last_of_duplicate_members_counts(void **state) {
    (void)state;
    check_altered("button_press.json", "data.id", "\"first\",\"id\":\"last\"", NULL);
    assert_string_equal(event.id, "last");
    check_altered("button_press.json", "data.id", "\"first\",\"id\":7", "data.id");
    check_altered("button_press.json", "data.id", "7,\"i\\u0064\":\"last\"", NULL);
    assert_string_equal(event.id, "last");
    check_altered("button_press.json", "meta.request_id", "\"1\",\"request\\u005fid\":\"2\"", NULL);
    assert_string_equal(event.request_id, "2");
    check_altered("button_press.json", "meta.request_id", "\"1\",\"request_id\":null",
                  "meta.request_id is missing");
#define META(id) "{\"version\":\"1.0\",\"request_id\":\"" id "\"}"
    check_altered("button_press.json", "meta", META("1") ",\"meta\":" META("2"), NULL);
    assert_string_equal(event.request_id, "2");
    check_altered("button_press.json", "meta", META("1") ",\"m\\u0065ta\":{}", "meta.request_id is missing");
    check_altered("button_press.json", "meta", "{},\"\\u006Deta\":" META("2"), NULL);
#define DATA(id) "{\"type\":\"t\",\"id\":\"" id "\"}"
    check_altered("button_press.json", "data", DATA("1") ",\"data\":" DATA("2"), NULL);
    assert_string_equal(event.id, "2");
    check_altered("button_press.json", "data", DATA("1") ",\"data\":[]", "data is missing or not an object");
}

static void names_are_compared_whole(void **state) {
    (void)state;
    static const char nul[] = "a member name contains a NUL character";
    check_altered("button_press.json", "meta.request_id", "\"1\",\"request_id\\u0000x\":\"2\"", nul);
    check_altered("button_press.json", "meta.version", "1,\"\\u0000\":{}", nul);
    check_altered("button_press.json", "data.relationships", "[[{\"a\":1,\"\\u0000b\":2}]]", nul);
    check_altered("button_press.json", "data.relationships", "{\"a\\\\u0000\":\"\\u0000\"}",
                  NULL); /* u0000 after a backslash */
    check_altered("button_press.json", "data.id", NULL, "data.id is missing");
    check_altered("button_press.json", "data.relationships",
                  "1,\"ID\":\"x\",\"id \":\"x\",\"id\\u200b\":\"x\"", NULL);
    assert_string_equal(event.id, "ava1.ring.device.FRONTDOOR01_button_press_1771027372393");
}

/* event_identifiers() finds the same identifiers as event_parse(), or none. */
static bool identifies(const char *body) {
    struct span request_id, id;
    size_t length = strlen(body);
    assert_int_equal(parse(body, length), 0);
    if (!event_identifiers(body, length, &request_id, &id))
        return false;
    assert_true(request_id.length == strlen(event.request_id) && id.length == strlen(event.id));
    assert_memory_equal(request_id.text, event.request_id, request_id.length);
    assert_memory_equal(id.text, event.id, id.length);
    return true;
}

static void identifiers_are_found_without_parsing(void **state) {
    (void)state;
#define BODY(meta, data) "{\"meta\":{" meta "},\"data\":{" data ",\"type\":\"t\"}}"
#define REQUEST "\"request_id\":\"r\""
#define ID "\"id\":\"i\""
    static const char *const identified[] = {
        BODY(REQUEST, ID),
        BODY("\"request_id\" :\t\"\xc3\x9c\"", ID),
        BODY(REQUEST ",\"x\":\"id\xc3\x9c,request_id\"", ID ",\"xid\":1,\"id \":2"),
        "{\"data\":{\"type\":\"t\"," ID "},\"meta\":{" REQUEST "}}",
    };
    static const char *const not_identified[] = {
        BODY(REQUEST "," REQUEST, ID),
        BODY(REQUEST, ID "," ID),
        BODY(REQUEST ",\"id\":\"x\"", ID),
        BODY(REQUEST, ID ",\"request_id\":\"x\""),
        BODY(REQUEST, ID ",\"x\":{\"id\":\"x\"}"),
        BODY(REQUEST, ID ",\"x\":[\"id\"]"),
        BODY(REQUEST ",\"x\":\"request_id\"", ID),
        BODY("\"request\\u005fid\":\"r\"", ID),
        BODY(REQUEST ",\"request\\u005fid\":\"x\"", ID),
        BODY(REQUEST, ID ",\"\\u0069d\":\"x\""),
        BODY(REQUEST, "\"id\":\"a\\\"b\""),
        BODY("\"request_id\":\n\"r\"", ID),
        BODY("\"request_id\":\"id\"", ID),
    };
    for (size_t i = 0; i < sizeof identified / sizeof *identified; i++)
        assert_true(identifies(identified[i]));
    for (size_t i = 0; i < sizeof not_identified / sizeof *not_identified; i++)
        assert_false(identifies(not_identified[i]));
}

static void unknown_members_are_ignored(void **state) {
    (void)state;
    check_altered("button_press.json", "data.relationships",
                  "{\"new\":[1,2.5e-3,-0,null,false,{\"a\":\"\\ud83d\\udd14\"}]}", NULL);
    check_altered("button_press.json", "data.relationships", "123456789012345678901234567890.5", NULL);
}

#define TEN(text) text text text text text text text text text text
#define OPENING TEN(TEN("["))
#define CLOSING TEN(TEN("]"))

/* `levels` nested arrays, the innermost holding `inner`. */
static const char *nested(int levels, const char *inner) {
    static char text[4096];
    snprintf(text, sizeof text, "%.*s%s%.*s", levels, OPENING, inner, levels, CLOSING);
    return text;
}

static void depth_is_limited(void **state) {
    (void)state;
    /* The body, data and 62 arrays are 64 levels. */
    check_altered("button_press.json", "data.relationships", nested(62, ""), NULL);
    check_altered("button_press.json", "data.relationships", nested(62, "1,null,\"a\""), NULL);
    check_altered("button_press.json", "data.relationships", nested(62, "{}"),
                  "nested deeper than 64 levels");
    check_altered("button_press.json", "data.relationships", nested(63, ""), "nested deeper than 64 levels");
    check_refused(OPENING, strlen(OPENING), "nested deeper than 64 levels");
    assert_int_equal(parse("{}", 2), ERROR_INVALID); /* the parser still works */
    assert_string_equal(reason.text, "meta is missing or not an object");
}

static void invalid_json_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "{\"meta\":",
        "x",
        "nul",
        "{} {}",
        "{}x",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1,}",
        "[1,]",
        "{\"a\":01}",
        "{\"a\":-01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":TRUE}",
        "{\"a\":\"x\ty\"}",
        "{\"a\":\"x\ny\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\u00",
        "{\"a\":1 /* c */}",
        "{\"a\":1}\f",
        "\xef\xbb\xbf{}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "{\"\xc3\":1}",
        "{\"a\":\xc3\x9c}",
        "{\"a\"}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,,\"b\":2}",
        "{,}",
        "{1:2}",
        "{null:2}",
        "{\"a\":}",
        "{\"a\":]",
        "[1 2]",
        "[,1]",
        "[1,,2]",
        "[}",
        "[1}",
        "[1]]",
        "[\"a\":1]",
        "]",
        "}",
        ",",
        ":",
        "truefalse",
        "tru e",
        "nulll",
        "1-2",
        "\"a\"\"b\"",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i], strlen(cases[i]), "not valid JSON");
    check_refused("{}\0", 3, "not valid JSON");
    check_refused("{\"a\":\0}", 7, "not valid JSON");
    static const char *const early[] = {"",  " \r\n\t", "{",   "{\"a\":",   "{\"a\":1,",
                                        "[", "[1",      "[1,", "{\"a\":[1]"};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        check_refused(early[i], strlen(early[i]), "the body is not valid JSON: unexpected end");
    static const char *const others[] = {"[]", " null", "17", "-0.5e+1 ", "\"x\"", "true", "[{\"a\":1}]"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        check_refused(others[i], strlen(others[i]), "the body is not a JSON object");
}

static void surrounding_white_space_is_allowed(void **state) {
    (void)state;
    char body[SAMPLE_SIZE + 16], whole[SAMPLE_SIZE];
    size_t length = read_sample("button_press.json", whole);
    int used = snprintf(body, sizeof body, "\t\n\r %.*s \r\n\t", (int)length, whole);
    assert_int_equal(parse(body, (size_t)used), 0);
    /* A byte order mark is not white space. */
    used = snprintf(body, sizeof body, "\xef\xbb\xbf%.*s", (int)length, whole);
    check_refused(body, (size_t)used, "the body is not valid JSON");
}

/* Versions of json-c differ in which of these they accept. */
static void all_valid_json_is_accepted(void **state) {
    (void)state;
    static const char *const values[] = {
        "\"\xc3\x9c\xe2\x82\xac\xf0\x9f\x94\x94\x7f\"",
        "{\"\xc3\x9c\":\"\xc3\x9c\"}",
        "\"\\u00dc\\ud83d\\udd14\\uFFFF\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\"",
        "[0,-0,-0.0,1e400,-1E-400,1e+05,99999999999999999999,-99999999999999999999,18446744073709551616]",
        "[ true , false , null , { } , [ ] , \"\" ]",
        "{\"\":{\"\":\"\"}}",
        "\"/*\"",
        "\"NaN\""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_altered("button_press.json", "data.relationships", values[i], NULL);
}

/* Every prefix of a sample, and every sample with one byte changed, is refused or read; nothing else happens.
 */
static void damaged_samples_are_handled(void **state) {
    (void)state;
    char body[SAMPLE_SIZE];
    size_t length = read_sample("button_press_utf8.json", body);
    for (size_t i = 0; i < length; i++) {
        char *copy =
            malloc(i == 0 ? 1 : i); /* exactly sized, so that a sanitizer detects an overrun of one byte */
        memcpy(copy, body, i);
        assert_int_equal(parse(copy, i), ERROR_INVALID);
        free(copy);
        char saved = body[i];
        for (int value = 0; value < 256; value += 5) {
            body[i] = (char)value;
            int result = parse(body, length);
            assert_true(result == 0 || (result == ERROR_INVALID && reason.text[0] != '\0'));
        }
        body[i] = saved;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_documented_type_is_read),
        cmocka_unit_test(every_field_of_a_press_is_required),
        cmocka_unit_test(a_press_has_an_integer_timestamp),
        cmocka_unit_test(other_types_require_three_fields),
        cmocka_unit_test(an_older_press_may_lack_the_account),
        cmocka_unit_test(any_meta_time_is_accepted),
        cmocka_unit_test(identifiers_have_a_maximum_length),
        cmocka_unit_test(the_last_of_duplicate_members_counts),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(identifiers_are_found_without_parsing),
        cmocka_unit_test(unknown_members_are_ignored),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(invalid_json_is_refused),
        cmocka_unit_test(surrounding_white_space_is_allowed),
        cmocka_unit_test(all_valid_json_is_accepted),
        cmocka_unit_test(damaged_samples_are_handled),
    };
    return cmocka_run_group_tests_name("event", tests, set_up, tear_down);
}
