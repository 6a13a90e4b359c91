/* Invisible characters are found and named, and no others. */
#include "support.h"

#include "invisible.h"

#include <stdio.h>
#include <string.h>

static void each_character_is_named_and_its_neighbours_are_not(void **state) {
    static const struct {
        const char *text; /* "": nothing is found in the text that follows */
        const char *found;
    } cases[] = {{"\x01", "U+0001 (control)"},
                 {"\x08", "U+0008 (control)"},
                 {"\t", ""},
                 {"\n", "U+000A (control)"},
                 {"\x1f", "U+001F (control)"},
                 {" ", ""},
                 {"~", ""},
                 {"\x7f", "U+007F (control)"},
                 {"\xc2\x80", "U+0080 (control)"},
                 {"\xc2\x9f", "U+009F (control)"},
                 {"\xc2\xa0", "U+00A0 (no-break space)"},
                 {"\xc2\xa1", ""},
                 {"\xc2\xac", ""},
                 {"\xc2\xad", "U+00AD (soft hyphen)"},
                 {"\xc2\xae", ""},
                 {"\xe1\x9a\x80", "U+1680 (space)"},
                 {"\xe1\xa0\x8e", "U+180E (separator)"},
                 {"\xe1\xbf\xbf", ""},
                 {"\xe2\x80\x80", "U+2000 (space)"},
                 {"\xe2\x80\x8b", "U+200B (zero width)"},
                 {"\xe2\x80\x8f", "U+200F (direction)"},
                 {"\xe2\x80\x90", ""}, /* a hyphen */
                 {"\xe2\x80\xa9", "U+2029 (line break)"},
                 {"\xe2\x80\xae", "U+202E (direction)"},
                 {"\xe2\x80\xaf", "U+202F (no-break space)"},
                 {"\xe2\x80\xb0", ""},
                 {"\xe2\x81\x9f", "U+205F (space)"},
                 {"\xe2\x81\xa0", "U+2060 (zero width)"},
                 {"\xe2\x81\xa5", "U+2065 (zero width)"},
                 {"\xe2\x81\xaf", "U+206F (direction)"},
                 {"\xe3\x80\x80", "U+3000 (space)"},
                 {"\xe3\x80\x81", ""},
                 {"\xef\xb8\x8f", "U+FE0F (variation)"},
                 {BYTE_ORDER_MARK, "U+FEFF (byte order mark)"},
                 {"\xef\xbb\xbe", ""},
                 /* Invalid UTF-8 hides nothing. */
                 {"\xc0\x80", ""}, /* overlong */
                 {"\xa0", "U+00A0 (no-break space)"},
                 {"\xc2", ""},
                 {"\xc2(", ""},
                 {"\xe2\x80", ""},
                 {"\xf0\x9f\x94\x94", ""}};
    char text[32], out[INVISIBLE_SIZE], wanted[INVISIBLE_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int surrounded = 0; surrounded < 2; surrounded++) {
            int length = snprintf(text, sizeof text, "%s%s%s", surrounded ? "Ring\xc3\x9c" : "",
                                  cases[i].text, surrounded ? "key" : "");
            bool found = invisible_find(text, (size_t)length, out);
            assert_int_equal(found, cases[i].found[0] != '\0');
            snprintf(wanted, sizeof wanted, "the invisible character %s", cases[i].found);
            if (found)
                assert_string_equal(out, wanted);
        }
}

static void a_nul_is_named(void **state) {
    char out[INVISIBLE_SIZE];
    (void)state;
    assert_true(invisible_find("a\0b", 3, out));
    assert_string_equal(out, "the invisible character U+0000 (NUL, probably UTF-16)");
    assert_false(invisible_find("a\0b", 1, out)); /* what follows is not part of the text */
    assert_false(invisible_find("\xc2\xa0", 1, out));
}

static void the_first_character_is_named(void **state) {
    char out[INVISIBLE_SIZE];
    (void)state;
    assert_true(invisible_find("a\xe3\x80\x80\xc2\xa0", 6, out));
    assert_string_equal(out, "the invisible character U+3000 (space)");
}

static void utf16_is_recognized_by_its_mark_or_zeros(void **state) {
    static const struct {
        const char *text;
        size_t length;
        bool is;
    } cases[] = {{"\xff\xfe", 2, true},
                 {"\xfe\xff", 2, true},
                 {"k\0", 2, true},
                 {"\0k", 2, true},
                 {"ke", 2, false},
                 {"\0\0", 2, false},
                 {BYTE_ORDER_MARK, 3, false},
                 {"\xff", 1, false},
                 {"", 0, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(is_utf16(cases[i].text, cases[i].length), cases[i].is);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_character_is_named_and_its_neighbours_are_not),
        cmocka_unit_test(a_nul_is_named),
        cmocka_unit_test(the_first_character_is_named),
        cmocka_unit_test(utf16_is_recognized_by_its_mark_or_zeros),
    };
    return cmocka_run_group_tests_name("invisible", tests, NULL, NULL);
}
