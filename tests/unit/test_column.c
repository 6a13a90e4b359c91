/* Parameters in PostgreSQL's binary format, compared with the bytes that array_send() writes. */
#include "support.h"

#include "column.h"

#include <string.h>

static struct column column;

static int set_up(void **state) {
    (void)state;
    column = (struct column){0};
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    column_free(&column);
    return 0;
}

static void check(const char *wanted, size_t wanted_length, uint32_t wanted_type) {
    const char *bytes;
    int length;
    uint32_t type;
    assert_true(column_end(&column, &bytes, &length, &type));
    assert_int_equal(length, wanted_length);
    assert_memory_equal(bytes, wanted, wanted_length);
    assert_int_equal(type, wanted_type);
}

#define CHECK(wanted, type) check(wanted, sizeof(wanted) - 1, type)

static void a_single_value_is_its_bytes(void **state) {
    (void)state;
    column_start(&column, COLUMN_TEXT, false);
    column_add_text(&column, "node-1");
    CHECK("node-1", 25);
    column_start(&column, COLUMN_TEXT, false);
    column_add_text(&column, "");
    CHECK("", 25);
    column_start(&column, COLUMN_NUMBER, false);
    column_add_number(&column, 1042);
    CHECK("\0\0\0\0\0\0\4\x12", 20);
    column_start(&column, COLUMN_BYTES, false);
    column_add(&column, "a\0b", 3);
    CHECK("a\0b", 17);
}

static void an_array_of_numbers(void **state) {
    (void)state;
    column_start(&column, COLUMN_NUMBER, true);
    column_add_number(&column, 1);
    column_add_number(&column, -2);
    column_add_number(&column, INT64_MIN);
    CHECK("\0\0\0\1\0\0\0\0\0\0\0\x14\0\0\0\3\0\0\0\1"
          "\0\0\0\x8\0\0\0\0\0\0\0\1"
          "\0\0\0\x8\xff\xff\xff\xff\xff\xff\xff\xfe"
          "\0\0\0\x8\x80\0\0\0\0\0\0\0",
          1016);
}

static void an_array_of_texts(void **state) {
    (void)state;
    column_start(&column, COLUMN_TEXT, true);
    column_add_text(&column, "T\xc3\x9cR");
    column_add_text(&column, "");
    CHECK("\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\2\0\0\0\1"
          "\0\0\0\4T\xc3\x9cR"
          "\0\0\0\0",
          1009);
}

static void an_array_of_bytes(void **state) {
    (void)state;
    column_start(&column, COLUMN_BYTES, true);
    column_add(&column, "\0\xff", 2);
    CHECK("\0\0\0\1\0\0\0\0\0\0\0\x11\0\0\0\1\0\0\0\1"
          "\0\0\0\2\0\xff",
          1001);
}

static void a_parameter_starts_empty_however_long_the_last_one_was(void **state) {
    (void)state;
    char body[3000];
    memset(body, 'x', sizeof body);
    for (int round = 0; round < 2; round++) {
        column_start(&column, COLUMN_BYTES, true);
        for (int i = 0; i < 100; i++)
            column_add(&column, body, sizeof body);
        const char *bytes;
        int length;
        uint32_t type;
        assert_true(column_end(&column, &bytes, &length, &type));
        assert_int_equal(length, 20 + 100 * (4 + sizeof body));
        assert_memory_equal(bytes + length - 4 - sizeof body, "\0\0\x0b\xb8xxx", 7);
    }
    size_t size = column.size;
    column_start(&column, COLUMN_TEXT, true);
    CHECK("\0\0\0\1\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0\1", 1009);
    assert_int_equal(column.size, size);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_single_value_is_its_bytes),
        TEST(an_array_of_numbers),
        TEST(an_array_of_texts),
        TEST(an_array_of_bytes),
        TEST(a_parameter_starts_empty_however_long_the_last_one_was),
    };
    return cmocka_run_group_tests_name("column", tests, NULL, NULL);
}
