/* Decoding of query strings and forms. */
#include "support.h"

#include "exchange.h"

#include <string.h>

static const char *query(const char *text, const char *name) {
    static char out[16];
    struct exchange exchange = {.query = text};
    return exchange_query(&exchange, name, out, sizeof out) ? out : NULL;
}

static const char *form(const char *text, size_t length, const char *name) {
    static char out[16], body[256];
    memcpy(body, text, length);
    body[length] = '\0';
    struct exchange exchange = {.query = "", .body = body, .length = length};
    return exchange_form(&exchange, name, out, sizeof out) ? out : NULL;
}

static void a_member_is_found_by_its_whole_name(void **state) {
    (void)state;
    assert_string_equal(query("/events&after=12&wait=25", "after"), "12");
    assert_string_equal(query("/events&after=12&wait=25", "wait"), "25");
    assert_null(query("/events&after=12", "aft"));
    assert_null(query("/events&after=12", "er"));
    assert_null(query("/events&after=12", "/events&after"));
    assert_null(query("", "after"));
}

static void a_member_without_a_value_is_empty(void **state) {
    (void)state;
    assert_string_equal(query("a&b=&c=1", "a"), "");
    assert_string_equal(query("a&b=&c=1", "b"), "");
    assert_string_equal(query("&&c=1&", "c"), "1");
}

static void escapes_are_decoded_in_names_and_values(void **state) {
    (void)state;
    assert_string_equal(query("a=%41%2b%2B+%26%3d", "a"), "A++ &=");
    assert_string_equal(query("%61=x=y", "a"), "x=y");
}

static void malformed_escapes_are_no_value(void **state) {
    static const char *const bad[] = {"a=%", "a=%4", "a=%g0", "a=%0g", "a=x%", "a=%%41", "a=%-1", "a=%&b=41"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(query(bad[i], "a"));
}

static void a_nul_is_no_value(void **state) {
    (void)state;
    assert_null(query("a=x%00y", "a"));
    assert_null(form("a=x\0y", 5, "a"));
    assert_string_equal(form("b=\0&a=x", 7, "a"), "x");
}

static void a_value_that_does_not_fit_is_none(void **state) {
    (void)state;
    assert_string_equal(query("a=123456789012345", "a"), "123456789012345");
    assert_null(query("a=1234567890123456", "a"));
    assert_string_equal(query("a=%31%32%33%34%35%36%37%38%39%30%31%32%33%34%35", "a"), "123456789012345");
}

static void a_repeated_member_is_none(void **state) {
    (void)state;
    assert_null(query("a=1&b=2&a=1", "a"));
    assert_null(query("a=1&%61=2", "a"));
    assert_string_equal(query("a=1&b=2&a=1", "b"), "2");
}

static void a_form_ends_where_its_body_does(void **state) {
    (void)state;
    assert_string_equal(form("user=me&password=a+b", 20, "password"), "a b");
    assert_string_equal(form("user=me&password=a+b", 6, "user"), "m");
    assert_null(form("", 0, "user"));
    struct exchange exchange = {.query = "user=me"};
    char out[16];
    assert_false(exchange_form(&exchange, "user", out, sizeof out));
}

static void an_operand_follows_the_name(void **state) {
    char out[16];
    struct exchange exchange = {.query = "/live/a%2Fb+c%3D&id=1", .route = "live"};
    (void)state;
    assert_true(exchange_operand(&exchange, out, sizeof out));
    assert_string_equal(out, "a/b+c=");
    exchange.query = "/live&id=1";
    assert_false(exchange_operand(&exchange, out, sizeof out));
    exchange.query = "/live/%00";
    assert_false(exchange_operand(&exchange, out, sizeof out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_by_its_whole_name),
        cmocka_unit_test(a_member_without_a_value_is_empty),
        cmocka_unit_test(escapes_are_decoded_in_names_and_values),
        cmocka_unit_test(malformed_escapes_are_no_value),
        cmocka_unit_test(a_nul_is_no_value),
        cmocka_unit_test(a_value_that_does_not_fit_is_none),
        cmocka_unit_test(a_repeated_member_is_none),
        cmocka_unit_test(a_form_ends_where_its_body_does),
        cmocka_unit_test(an_operand_follows_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
