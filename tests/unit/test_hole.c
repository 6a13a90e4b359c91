/* Where holes begin and end, compared with a scan of every block of a file. */
#include "support.h"

#include "hole.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCKS 24
#define FAR (INT64_C(1) << 40)

/* Fills the blocks of a new file whose bits are set. Returns its block size, or 0 if the file has no holes.
 */
static uint64_t make_file(const char *path, uint32_t filled, int *fd) {
    struct stat status;
    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(*fd >= 0 && fstat(*fd, &status) == 0);
    uint64_t block = (uint64_t)status.st_blksize;
    for (unsigned i = 0; i < BLOCKS; i++)
        if ((filled >> i & 1) != 0)
            assert_int_equal(pwrite(*fd, "x", 1, (off_t)(i * block)), 1);
    assert_int_equal(ftruncate(*fd, (off_t)(BLOCKS * block)), 0);
    return hole_before(*fd, BLOCKS * block) || filled == (1U << BLOCKS) - 1 ? block : 0;
}

static bool is_data(uint32_t filled, uint64_t block, uint64_t at) {
    return (filled >> (at / block) & 1) != 0;
}

static void holes_are_found(void **state) {
    uint32_t filled = 0x5a1c93;
    for (int turn = 0; turn < 40; turn++, filled = (filled * 1103515245U + 12345U) & ((1U << BLOCKS) - 1)) {
        int fd;
        uint64_t block = make_file(path_in(*state, "file"), filled, &fd), size = BLOCKS * block;
        if (block == 0)
            skip();
        for (uint64_t at = 0; at <= size; at += block / 2) {
            uint64_t end = at, start = at;
            while (end < size && !is_data(filled, block, end))
                end++;
            while (start > 0 && !is_data(filled, block, start - 1))
                start--;
            assert_int_equal(hole_end(fd, at), end);
            assert_int_equal(hole_start(fd, at), start);
        }
        close(fd);
    }
}

static void huge_files_take_no_time(void **state) {
    int fd;
    uint64_t block = make_file(path_in(*state, "file"), 1, &fd);
    if (block == 0 || ftruncate(fd, FAR) != 0 || pwrite(fd, "x", 1, FAR) != 1)
        skip();
    assert_int_equal(hole_start(fd, FAR), block);
    assert_int_equal(hole_end(fd, block), FAR);
    assert_int_equal(hole_start(fd, FAR + 1), FAR + 1);
    assert_int_equal(hole_end(fd, FAR + 1), FAR + 1);
    assert_int_equal(hole_end(fd, 2 * FAR), 2 * FAR);
    close(fd);
}

static void files_without_holes_have_none(void **state) {
    int fd, ends[2];
    uint64_t block = make_file(path_in(*state, "file"), (1U << BLOCKS) - 1, &fd);
    assert_false(hole_before(fd, BLOCKS * block));
    assert_int_equal(hole_end(fd, 0), 0);
    assert_int_equal(hole_start(fd, BLOCKS * block), BLOCKS * block);
    close(fd);
    assert_int_equal(pipe(ends), 0);
    assert_false(hole_before(ends[0], 10));
    assert_int_equal(hole_end(ends[0], 5), 5);
    assert_int_equal(hole_start(ends[0], 5), 5);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(holes_are_found, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(huge_files_take_no_time, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(files_without_holes_have_none, make_directory, remove_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
