/* The file of a live session. */
#include "support.h"

#include "session.h"
#include "timestamp.h"

#include <stdio.h>
#include <sys/stat.h>

static struct config config;
static struct door door;
static struct reason reason;

static int open_door(void **state) {
    if (make_directory(state) != 0)
        return -1;
    config = (struct config){0};
    snprintf(config.door, sizeof config.door, "%s", (const char *)*state);
    return chmod(config.door, 0700) != 0 || door_open(&door, &config, &reason) != 0;
}

static int close_door(void **state) {
    door_close(&door);
    return remove_directory(state);
}

/* Otherwise a device is busy for as long as the clock was ahead. */
static void a_session_ends_even_if_the_clock_is_set_back(void **state) {
    static const struct {
        int64_t seconds;
        int result;
    } rows[] = {{60, 1}, {-1, 0}, {86400, 0}, {INT64_C(1000000000), 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct session written = {.id = "0123456789abcdef0123456789abcdef", .user = "me", .device = "device"},
                       read;
        written.until = timestamp_now() + rows[i].seconds * SECOND;
        assert_int_equal(session_write(&door, &written, &reason), 0);
        assert_int_equal(session_read(&door, "device", &read, &reason), rows[i].result);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_session_ends_even_if_the_clock_is_set_back, open_door, close_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
