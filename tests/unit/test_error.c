/* A reason is one sentence that fits, and setting it has no side effects. */
#include "support.h"

#include "error.h"

#include <errno.h>
#include <string.h>

static void a_sentence_that_is_too_long_is_cut(void **state) {
    struct reason reason;
    char longer[sizeof reason.text + 9];
    (void)state;
    memset(longer, 'x', sizeof longer);
    explain(&reason, "%.*s", (int)sizeof reason.text - 1, longer);
    assert_int_equal(strlen(reason.text), sizeof reason.text - 1);
    explain(&reason, "%.*s", (int)sizeof longer, longer);
    assert_int_equal(strlen(reason.text), sizeof reason.text - 1);
}

static void a_reason_is_optional(void **state) {
    (void)state;
    explain(NULL, "%s", "nobody reads this");
}

/* Callers check errno after setting the reason. */
static void errno_stays(void **state) {
    struct reason reason;
    (void)state;
    errno = EACCES;
    explain(&reason, "%ls", L"\x110000"); /* cannot be converted: EILSEQ */
    assert_int_equal(errno, EACCES);
    explain(&reason, "%s", strerror(errno));
    assert_int_equal(errno, EACCES);
    assert_string_equal(reason.text, strerror(EACCES));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_that_is_too_long_is_cut),
        cmocka_unit_test(a_reason_is_optional),
        cmocka_unit_test(errno_stays),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
