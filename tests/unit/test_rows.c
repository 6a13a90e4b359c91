/* A batch of lines for the database: when it is full, and that PostgreSQL accepts each text in it, whatever
 * Ring signed: its texts are UTF-8 without NUL characters. */
#include "support.h"

#include "quote.h"
#include "rows.h"
#include "timestamp.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURE "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* Columns. */
#define SEQ 1
#define RECEIVED 2
#define PRESSED 3
#define TEXTS 4 /* six of them: */
#define REQUEST_ID 8
#define EVENT_ID 9
#define KEY 10
#define VERBATIM 12
#define BODY 13

static struct rows rows;
static struct event event;
static struct event_parser *parser;
static struct reason reason;

static int set_up(void **state) {
    (void)state;
    parser = event_parser_new();
    memset(&event, 0, sizeof event);
    rows_start(&rows, "node-1");
    return parser == NULL;
}

static int tear_down(void **state) {
    (void)state;
    event_parser_free(parser);
    rows_free(&rows);
    return 0;
}

static bool add(const char *body, size_t length) {
    const struct record record = {.seq = rows.count + 1,
                                  .received_at = "2026-11-23T12:00:00.123456Z",
                                  .key = "69ffb5b9",
                                  .signature = SIGNATURE,
                                  .event = body,
                                  .event_length = length,
                                  .verbatim = true};
    return rows_add(&rows, &record, &event);
}

/* The last element of an array. Returns its length. */
static size_t last(int column, const char **element) {
    const char *bytes;
    int length;
    uint32_t type, prefix;
    assert_true(column_end(&rows.column[column], &bytes, &length, &type));
    assert_int_equal(rows.column[column].count, rows.count);
    const char *at = bytes + 20, *end = bytes + length;
    size_t size = 0;
    while (at < end) {
        memcpy(&prefix, at, sizeof prefix);
        size = ntohl(prefix);
        *element = at + sizeof prefix;
        at = *element + size;
    }
    assert_ptr_equal(at, end);
    return size;
}

static int64_t last_number(int column) {
    const char *element;
    uint64_t number;
    assert_int_equal(last(column, &element), sizeof number);
    memcpy(&number, element, sizeof number);
    return (int64_t)be64toh(number);
}

static void check_last(int column, const char *wanted) {
    const char *element;
    size_t length = last(column, &element);
    assert_int_equal(length, strlen(wanted));
    assert_memory_equal(element, wanted, length);
}

static void a_line_has_its_columns(void **state) {
    (void)state;
    char body[SAMPLE_SIZE];
    size_t length = make_press(7, body);
    assert_int_equal(event_parse(parser, body, length, &event, &reason), 0);
    add(body, length);
    add(body, length);
    assert_int_equal(rows.count, 2);
    assert_int_equal(last_number(SEQ), 2);
    assert_int_equal(last_number(RECEIVED), INT64_C(1795435200123456));
    assert_int_equal(last_number(PRESSED), event.timestamp);
    const char *const texts[] = {event.type,    event.sub_type,   event.device,
                                 event.account, event.request_id, event.id};
    for (int i = 0; i < 6; i++)
        check_last(TEXTS + i, texts[i]);
    assert_string_equal(event.type, "button_press");
    check_last(KEY, "69ffb5b9");
    check_last(KEY + 1, SIGNATURE);
    assert_int_equal(last_number(VERBATIM), 1);
    const char *element;
    assert_int_equal(last(BODY, &element), length);
    assert_memory_equal(element, body, length);
    rows_start(&rows, "node-1");
    assert_int_equal(rows.count, 0);
    add("{}", 2);
    assert_int_equal(last_number(SEQ), 1);
}

static void a_batch_is_full_after_a_thousand_lines(void **state) {
    (void)state;
    for (int i = 0; i < ROWS_MAX; i++) {
        assert_false(rows_are_full(&rows));
        add("{}", 2);
    }
    assert_true(rows_are_full(&rows));
    rows_start(&rows, "node-1");
    assert_false(rows_are_full(&rows));
}

static void or_after_half_a_mebibyte_of_bodies(void **state) {
    (void)state;
    const size_t size = 64 * 1024;
    char *body = calloc(1, size);
    assert_non_null(body);
    for (int i = 0; i < 8; i++) {
        assert_false(rows_are_full(&rows));
        add(body, size);
    }
    assert_true(rows_are_full(&rows));
    free(body);
}

static void a_time_that_no_calendar_has_is_absent(void **state) {
    (void)state;
    static const struct {
        int64_t timestamp, sent;
    } cases[] = {{1795435200123, 1795435200123},
                 {1, 1},
                 {TIMESTAMP_END - 1, TIMESTAMP_END - 1},
                 {TIMESTAMP_END, 0},
                 {INT64_MAX - 1, 0},
                 {0, 0},
                 {-1, 0},
                 {-INT64_MAX + 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        event.timestamp = cases[i].timestamp;
        add("{}", 2);
        assert_int_equal(last_number(PRESSED), cases[i].sent);
    }
}

/* ---- whatever Ring signs ---- */

static void check_texts(void) {
    for (int column = TEXTS; column < TEXTS + 6; column++) {
        const char *element = NULL;
        uint32_t character;
        size_t length = last(column, &element), size;
        for (size_t at = 0; at < length; at += size) {
            size = utf8_decode(element + at, length - at, &character);
            assert_true(size > 0 && character != 0);
        }
        assert_true(length > 0 || (column != TEXTS && column != REQUEST_ID && column != EVENT_ID));
        assert_true(length <= RING_TEXT_LIMIT);
    }
}

/* A body with a value in the place of one of its six texts. */
static size_t make_body(const char *value, int place, char *body, size_t size) {
    const char *values[6] = {"a_type", "a_sub_type", "a_device", "an_account", "a_request", "an_event"};
    values[place] = value;
    int length = snprintf(body, size,
                          "{\"meta\":{\"request_id\":\"%s\",\"account_id\":\"%s\"},\"data\":{\"id\":\"%s\","
                          "\"type\":\"%s\",\"attributes\":{\"source\":\"%s\",\"source_type\":\"devices\","
                          "\"sub_type\":\"%s\"}}}",
                          values[4], values[3], values[5], values[0], values[2], values[1]);
    assert_true(length > 0 && (size_t)length < size);
    return (size_t)length;
}

static void the_database_can_store_whatever_is_accepted(void **state) {
    (void)state;
    enum {
        GOOD,
        NO_JSON,
        NO_TEXT /* in a text that is required, a reason to reject; in another, as if absent */
    };
    char longest[RING_TEXT_LIMIT + 1] = "", longer[RING_TEXT_LIMIT + 3] = "";
    for (size_t i = 0; i < RING_TEXT_LIMIT; i += 2)
        memcpy(longest + i, "\xc3\x9c", 3);
    snprintf(longer, sizeof longer, "%s!", longest);
    const struct {
        const char *value;
        int verdict;
    } cases[] = {
        {"T\xc3\x9cR", GOOD},
        {"\\u00dc \\ud83d\\udd14", GOOD},
        {"\x7f \xef\xbf\xbf \xf4\x8f\xbf\xbf \\uffff \\ufdd0", GOOD}, /* noncharacters */
        {"\\u0001\\u001f\\n", GOOD},
        {"\\u005cu0000 \\\\u0000", GOOD}, /* escaped backslashes */
        {longest, GOOD},
        {longer, NO_TEXT},
        {"", NO_TEXT},
        {"\\u0000", NO_TEXT},
        {"a\\u0000b", NO_TEXT},
        {"\xff", NO_JSON},
        {"\x80", NO_JSON},
        {"\xc3", NO_JSON},
        {"\xc0\x80", NO_JSON}, /* overlong */
        {"\xe0\x9f\xbf", NO_JSON},
        {"\xf0\x8f\xbf\xbf", NO_JSON},
        {"\xed\xa0\x80", NO_JSON}, /* a surrogate */
        {"\xed\xa0\xbd\xed\xb4\x94", NO_JSON},
        {"\xf4\x90\x80\x80", NO_JSON}, /* above U+10FFFF */
        {"\\ud800", NO_JSON},
        {"\\udc00", NO_JSON},
        {"\\ud800\\u0041", NO_JSON},
        {"\\ud800\\ud800", NO_JSON},
        {"\\udd14\\ud83d", NO_JSON},
        {"\n", NO_JSON},
    };
    char body[SAMPLE_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int place = 0; place < 6; place++) {
            size_t length = make_body(cases[i].value, place, body, sizeof body);
            bool required = place == 0 || place >= 4;
            bool accepted = event_parse(parser, body, length, &event, &reason) == 0;
            assert_int_equal(accepted,
                             cases[i].verdict == GOOD || (cases[i].verdict == NO_TEXT && !required));
            if (!accepted)
                continue;
            add(body, length);
            check_texts();
            const char *element;
            assert_int_equal(last(TEXTS + place, &element) > 0, cases[i].verdict == GOOD);
        }
}

static void nor_does_any_mixture_matter(void **state) {
    (void)state;
    static const char *const parts[] = {"a",    "\\u00dc",      "\\ud83d",  "\\udd14", "\\u0000",  "\\",
                                        "\\\\", "\\n",          "u0041",    "\xc3",    "\x9c",     "\xc3\x9c",
                                        "\xc0", "\xed\xa0\x80", "\xe2\x82", "\xac",    "\xf0\x9f", "\x94\x94",
                                        "\xff", "\x01",         "\x7f"};
    const unsigned count = sizeof parts / sizeof *parts;
    char body[SAMPLE_SIZE], value[64];
    unsigned accepted = 0;
    for (unsigned mixture = 0; mixture < count * count * count; mixture++) {
        snprintf(value, sizeof value, "%s%s%s", parts[mixture % count], parts[mixture / count % count],
                 parts[mixture / count / count]);
        size_t length = make_body(value, (int)(mixture % 6), body, sizeof body);
        if (event_parse(parser, body, length, &event, &reason) != 0)
            continue;
        accepted++;
        rows_start(&rows, "node-1");
        add(body, length);
        check_texts();
    }
    assert_true(accepted > 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_batch_that_memory_ran_out_for_is_not_used(void **state) {
    (void)state;
    assert_true(add("{}", 2));
    rows.column[KEY].failed = true;
    assert_false(add("{}", 2));
    rows_start(&rows, "node-1");
    assert_true(add("{}", 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_its_columns),
        TEST(a_batch_is_full_after_a_thousand_lines),
        TEST(or_after_half_a_mebibyte_of_bodies),
        TEST(a_time_that_no_calendar_has_is_absent),
        TEST(the_database_can_store_whatever_is_accepted),
        TEST(nor_does_any_mixture_matter),
        TEST(a_batch_that_memory_ran_out_for_is_not_used),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
