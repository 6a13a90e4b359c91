/* Which requests another site's page could have caused. */
#include "support.h"

#include "route.h"

#include <stdlib.h>

static bool is_ours(const char *site, const char *origin, const char *host) {
    struct exchange exchange = {.query = ""}; /* CGI: the variables are the environment's */
    setenv("HTTP_SEC_FETCH_SITE", site, 1);
    setenv("HTTP_ORIGIN", origin, 1);
    setenv("HTTP_HOST", host, 1);
    return route_is_ours(&exchange);
}

static void only_same_origin_passes(void **state) {
    (void)state;
    assert_true(is_ours("same-origin", "", "a.example"));
    assert_false(is_ours("same-site", "https://a.example", "a.example"));
    assert_false(is_ours("cross-site", "https://a.example", "a.example"));
    assert_false(is_ours("none", "https://a.example", "a.example"));
    assert_false(is_ours("Same-Origin", "https://a.example", "a.example"));
    assert_false(is_ours("same-origin, cross-site", "", "a.example"));
}

static void an_older_browsers_origin_must_be_this_host(void **state) {
    (void)state;
    assert_true(is_ours("", "https://a.example", "a.example"));
    assert_true(is_ours("", "http://a.example:8080", "a.example:8080"));
    assert_false(is_ours("", "https://b.example", "a.example"));
    assert_false(is_ours("", "https://a.example.b.example", "a.example"));
    assert_false(is_ours("", "https://a.example:444", "a.example"));
    assert_false(is_ours("", "ftp://a.example", "a.example"));
    assert_false(is_ours("", "a.example", "a.example"));
    assert_false(is_ours("", "null", "null"));
    assert_false(is_ours("", "null", "a.example"));
}

static void a_request_that_says_nothing_is_refused(void **state) {
    (void)state;
    assert_false(is_ours("", "", "a.example"));
    assert_false(is_ours("", "https://", ""));
    assert_false(is_ours("", "", ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_same_origin_passes),
        cmocka_unit_test(an_older_browsers_origin_must_be_this_host),
        cmocka_unit_test(a_request_that_says_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
