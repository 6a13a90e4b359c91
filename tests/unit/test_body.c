/* A body is read whole up to the handler's limit; a larger one is refused, never truncated. */
#include "support.h"

#include "apart.h"
#include "body.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_bytes(void **state, size_t length) {
    static char bytes[BODY_LIMIT + 1];
    memset(bytes, 'x', sizeof bytes);
    write_file(path_in(*state, "body"), bytes, length, 0600);
}

/* Returns the length of the body, read from this path and from standard input. */
static int read_it(void *context) {
    const char *path = path_in(context, "body");
    const char *const names[] = {path, "-", NULL};
    for (size_t i = 0; i < 3; i++) {
        size_t length;
        dup2(open(path, O_RDONLY), STDIN_FILENO);
        char *body = body_read(names[i], &length);
        printf("%zd ", body != NULL ? (ssize_t)length : -1);
        free(body);
    }
    return 0;
}

static void a_body_up_to_the_limit_is_read(void **state) {
    static const size_t lengths[] = {0, 1, 5000, BODY_LIMIT};
    char wanted[64];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_bytes(state, lengths[i]);
        snprintf(wanted, sizeof wanted, "%zu %zu %zu ", lengths[i], lengths[i], lengths[i]);
        const struct ending *ending = run_apart(read_it, *state);
        assert_string_equal(ending->out, wanted);
        assert_string_equal(ending->said, "");
    }
}

static void a_larger_body_is_refused(void **state) {
    write_bytes(state, BODY_LIMIT + 1);
    const struct ending *ending = run_apart(read_it, *state);
    assert_string_equal(ending->out, "-1 -1 -1 ");
    assert_non_null(strstr(ending->said, "/body is larger than 131072 bytes: no delivery is that large\n"));
    assert_non_null(strstr(ending->said, "doorpost: standard input is larger than 131072 bytes"));
}

static void an_unreadable_body_is_named(void **state) {
    const struct ending *ending = run_apart(read_it, *state);
    assert_non_null(strstr(ending->said, "doorpost: cannot read /"));
    assert_non_null(strstr(ending->said, "/body: No such file or directory\n"));
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        BODY_TEST(a_body_up_to_the_limit_is_read),
        BODY_TEST(a_larger_body_is_refused),
        BODY_TEST(an_unreadable_body_is_named),
    };
    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
