/* The state of the index: the newest undamaged slot counts, and only in the file it was written to. */
#include "support.h"

#include "index/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND_SLOT 4096

static int fd;
static struct state state, read_back;
static struct reason reason;

static int set_up(void **directory) {
    struct stat status;
    if (make_directory(directory) != 0)
        return -1;
    fd = open(path_in(*directory, "state"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(&state, 0, sizeof state);
    if (fd < 0 || fstat(fd, &status) != 0)
        return -1;
    state.file = (uint64_t)status.st_ino;
    return 0;
}

static int tear_down(void **directory) {
    close(fd);
    return remove_directory(directory);
}

/* Writes a state that differs from the previous ones. */
static void write_next(void) {
    state.last_seq = state.generation + 101;
    assert_int_equal(state_write(fd, &state, &reason), 0);
    assert_int_equal(state.last_seq, state.generation + 100);
}

static void check_generation(uint64_t generation) {
    memset(&read_back, 0, sizeof read_back);
    assert_int_equal(state_read(fd, &read_back, &reason), 0);
    assert_int_equal(read_back.generation, generation);
    assert_int_equal(read_back.last_seq, generation + 100);
}

static void flip(off_t at) {
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void the_last_state_written_is_read(void **directory) {
    (void)directory;
    for (uint64_t generation = 1; generation <= 5; generation++) {
        write_next();
        check_generation(generation);
    }
    assert_int_equal(read_back.checksum, state.checksum);
}

static void a_torn_write_leaves_the_previous_state(void **directory) {
    (void)directory;
    for (uint64_t generation = 1; generation <= 3; generation++)
        write_next();
    for (uint64_t newest = 3; newest <= 4; newest++) { /* it is in either slot */
        for (off_t at = 0; at < (off_t)sizeof state; at++) {
            off_t slot = newest % 2 == 1 ? SECOND_SLOT : 0;
            flip(slot + at);
            check_generation(newest - 1);
            flip(slot + at);
        }
        check_generation(newest);
        write_next();
    }
}

static void the_last_good_slot_is_never_overwritten(void **directory) {
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    (void)directory;
    write_next();
    write_next();
    state.last_seq = 999;
    assert_int_equal(state_write(full, &state, &reason), ERROR_SYSTEM);
    assert_string_equal(reason.text, "cannot write the index in seen/: No space left on device");
    assert_int_equal(state.generation, 2);
    close(full);
    write_next();
    flip(SECOND_SLOT); /* generation 3 */
    check_generation(2);
}

static void without_an_undamaged_slot_it_is_damaged(void **directory) {
    (void)directory;
    assert_int_equal(state_read(fd, &read_back, &reason), ERROR_DAMAGED); /* empty */
    write_next();
    write_next();
    flip(0);
    flip(SECOND_SLOT);
    assert_int_equal(state_read(fd, &read_back, &reason), ERROR_DAMAGED);
    assert_string_equal(reason.text, "the index state in seen/ is damaged");
}

static void a_copy_is_not_trusted(void **directory) {
    size_t length;
    write_next();
    char *bytes = read_file(path_in(*directory, "state"), &length);
    write_file(path_in(*directory, "copy"), bytes, length, 0600);
    free(bytes);
    int copy = open(path_in(*directory, "copy"), O_RDWR | O_CLOEXEC);
    assert_int_equal(state_read(copy, &read_back, &reason), ERROR_DAMAGED);
    assert_string_equal(reason.text, "the index in seen/ is a copy");
    close(copy);
}

static void an_io_error_is_not_damage(void **directory) {
    int closed = open(path_in(*directory, "state"), O_WRONLY | O_CLOEXEC);
    write_next();
    assert_int_equal(state_read(closed, &read_back, &reason), ERROR_SYSTEM);
    close(closed);
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        STATE_TEST(the_last_state_written_is_read),
        STATE_TEST(a_torn_write_leaves_the_previous_state),
        STATE_TEST(the_last_good_slot_is_never_overwritten),
        STATE_TEST(without_an_undamaged_slot_it_is_damaged),
        STATE_TEST(a_copy_is_not_trusted),
        STATE_TEST(an_io_error_is_not_damage),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
