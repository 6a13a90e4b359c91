#include "quote.h"
#include "support.h"

#include <string.h>

static void check(const char *text, size_t length, const char *wanted) {
    char out[256];
    assert_int_equal(quote(out, sizeof out, text, length), strlen(wanted));
    assert_string_equal(out, wanted);
}

#define CHECK(text, wanted) check(text, sizeof(text) - 1, wanted)

static void plain_text_stays(void **state) {
    (void)state;
    CHECK("", "\"\"");
    CHECK("ava1.ring.device.FRONTDOOR01", "\"ava1.ring.device.FRONTDOOR01\"");
}

static void nothing_ends_a_string_or_a_line(void **state) {
    (void)state;
    CHECK("a\"b\\c", "\"a\\\"b\\\\c\"");
    CHECK("a\nb\rc\0d\x1b[31m\x7f", "\"a\\nb\\u000dc\\u0000d\\u001b[31m\\u007f\"");
}

static void what_is_not_ascii_is_escaped(void **state) {
    (void)state;
    CHECK("T\xc3\x9cR", "\"T\\u00dcR\"");
    CHECK("\xf0\x9f\x94\x94", "\"\\ud83d\\udd14\"");
    CHECK("\xc2\x9b", "\"\\u009b\""); /* the control sequence introducer of an 8-bit terminal */
    CHECK("\xff\xc0\x80", "\"\\u00ff\\u00c0\\u0080\"");
}

static void long_text_is_cut_between_characters(void **state) {
    (void)state;
    char out[16];
    for (size_t size = 3; size <= sizeof out; size++) {
        size_t length = quote(out, size, "ab\n\xc3\x9c\"cd", 8);
        assert_true(length < size);
        assert_int_equal(out[0], '"');
        assert_int_equal(out[length - 1], '"');
        assert_int_equal(out[length], '\0');
        assert_true(length < 3 || out[length - 2] != '\\');
    }
}

static void utf8_is_decoded_strictly(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        uint32_t character;
    } cases[] = {
        {"a", 1, 'a'},
        {"\xc3\x9c", 2, 0xdc},
        {"\xe2\x82\xac", 3, 0x20ac},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\x80", 0, 0},
        {"\xc0\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xc3", 0, 0},
        {"\xc3(", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xf5\x80\x80\x80", 0, 0},
        {"\xff", 0, 0},
        {"", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t character = 0;
        assert_int_equal(utf8_decode(cases[i].text, strlen(cases[i].text), &character), cases[i].length);
        assert_int_equal(character, cases[i].character);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stays),
        cmocka_unit_test(nothing_ends_a_string_or_a_line),
        cmocka_unit_test(what_is_not_ascii_is_escaped),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(utf8_is_decoded_strictly),
    };
    return cmocka_run_group_tests_name("quote", tests, NULL, NULL);
}
