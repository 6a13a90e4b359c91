/* Reading forward in a day file: every line once and in order, whatever its length and surroundings. */
#include "days.h"

#include "disk.h"
#include "reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW (2 * RECORD_LIMIT)
#define BODY "{\"a\":1}"

static const char *path;
static int fd;
static struct reader reader;
static struct reason reason;
static struct chain_state chain_now;

static int set_up(void **state) {
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    path = path_in(*state, "file");
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    text.length = 0;
    chain_now = chain_start();
    return fd < 0;
}

static int tear_down(void **state) {
    close(fd);
    return remove_directory(state);
}

static size_t add_next(void) {
    return add_line(&chain_now, 0, BODY);
}

static void write_text(void) {
    assert_int_equal(pwrite(fd, text.bytes, text.length, 0), text.length);
}

static void start(void) {
    reader_start(&reader, fd, 0, chain_start());
}

/* Checks the next line. */
static void check_line(enum scan wanted, uint64_t seq, size_t begins) {
    struct record record;
    enum scan scan;
    uint64_t offset;
    assert_int_equal(reader_next(&reader, &scan, &record, &offset, &reason), 1);
    assert_int_equal(scan, wanted);
    assert_int_equal(offset, begins);
    if (scan != SCAN_DAMAGED)
        assert_int_equal(record.seq, seq);
}

static void check_end(size_t offset) {
    struct record record;
    enum scan scan;
    uint64_t begins;
    for (int again = 0; again < 2; again++)
        assert_int_equal(reader_next(&reader, &scan, &record, &begins, &reason), 0);
    assert_int_equal(reader_offset(&reader), offset);
}

static void a_line_counts_once_it_is_whole(void **state) {
    (void)state;
    add_next();
    size_t second = add_next();
    start();
    for (size_t length = 0; length < text.length; length += 7) {
        assert_int_equal(pwrite(fd, text.bytes, length, 0), length);
        if (length >= second && reader_offset(&reader) == 0)
            check_line(SCAN_RECORD, 1, 0);
        check_end(length >= second ? second : 0);
    }
    write_text();
    check_line(SCAN_RECORD, 2, second);
    check_end(text.length);
    assert_int_equal(reader_chain(&reader).seq, 2);
    assert_string_equal(reader_chain(&reader).recorded, chain_now.recorded);
}

static void lines_of_every_length_are_read(void **state) {
    static const size_t lengths[] = {500, RECORD_LIMIT,     4096,        RECORD_LIMIT - 1, RECORD_LIMIT,
                                     300, RECORD_LIMIT / 2, RECORD_LIMIT};
    size_t begins[sizeof lengths / sizeof *lengths];
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        begins[i] = add_long_line(&chain_now, lengths[i]);
    write_text();
    start();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_line(SCAN_RECORD, i + 1, begins[i]);
    check_end(text.length);
}

/* More than a window of bytes without a line break is skipped in pieces. */
static void a_line_is_found_after_garbage_of_any_length(void **state) {
    static const size_t lengths[] = {1, RECORD_LIMIT, WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW};
    static char garbage[3 * WINDOW];
    (void)state;
    memset(garbage, 'x', sizeof garbage);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        text.length = 0;
        chain_now = chain_start();
        add_next();
        size_t begins = add_text(garbage, lengths[i]);
        add_text("\n", 1);
        size_t second = add_next();
        write_text();
        start();
        check_line(SCAN_RECORD, 1, 0);
        for (; reader_offset(&reader) < second; begins = reader_offset(&reader))
            check_line(SCAN_DAMAGED, 0, begins);
        check_line(SCAN_RECORD, 2, second);
        check_end(text.length);
    }
}

static void a_huge_hole_is_skipped_without_reading_it(void **state) {
    uint64_t far = UINT64_C(1) << 40, begins = 0;
    struct record record;
    enum scan scan;
    (void)state;
    add_next();
    write_text();
    size_t first = text.length;
    text.length = 0;
    add_text("\n", 1);
    add_next();
    assert_int_equal(pwrite(fd, text.bytes, text.length, (off_t)far), text.length);
    start();
    check_line(SCAN_RECORD, 1, 0);
    for (int lines = 0; lines < 9 && begins <= far; lines++)
        assert_int_equal(reader_next(&reader, &scan, &record, &begins, &reason), 1);
    assert_int_equal(begins, far + 1);
    assert_int_equal(record.seq, 2);
    assert_true(disk.read < 5 * WINDOW);

    /* And a hole at the end of the file. */
    assert_int_equal(ftruncate(fd, (off_t)first), 0);
    assert_int_equal(ftruncate(fd, (off_t)far), 0);
    disk.read = 0;
    start();
    check_line(SCAN_RECORD, 1, 0);
    check_line(SCAN_DAMAGED, 0, first);
    check_end(far);
    assert_true(disk.read < 3 * WINDOW);
}

/* The last line of a day that gets no more lines may lack its line break. */
static void a_last_line_may_lack_its_line_break(void **state) {
    static const struct {
        const char *before; /* on the same line of text */
        size_t missing;     /* bytes missing at the end of the line */
        int found;          /* lines, including damaged ones */
    } cases[] = {{"", 1, 1}, {"", 3, 0}, {"", 100, 0}, {"xyz", 1, 2}, {"xyz", 3, 0}};
    struct record record;
    enum scan scan;
    uint64_t offset;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text.length = 0;
        chain_now = chain_start();
        add_next();
        size_t rest = add_text(cases[i].before, strlen(cases[i].before));
        size_t second = add_next();
        text.length -= cases[i].missing;
        assert_int_equal(ftruncate(fd, 0), 0);
        write_text();
        start();
        check_line(SCAN_RECORD, 1, 0);
        check_end(rest);
        for (int lines = 0; lines < cases[i].found; lines++) {
            assert_int_equal(reader_rest(&reader, &scan, &record, &offset), 1);
            assert_int_equal(scan == SCAN_DAMAGED, lines + 1 < cases[i].found);
        }
        assert_int_equal(reader_rest(&reader, &scan, &record, &offset), 0);
        assert_int_equal(reader_offset(&reader), cases[i].found > 0 ? text.length : rest);
        if (cases[i].found == 0)
            continue;
        assert_int_equal(record.seq, 2);
        assert_int_equal(offset, second);
        assert_string_equal(reader_chain(&reader).recorded, chain_now.recorded);
    }
}

static void without_a_rest_there_is_no_line_in_it(void **state) {
    struct record record;
    enum scan scan;
    uint64_t offset;
    (void)state;
    start();
    check_end(0);
    assert_int_equal(reader_rest(&reader, &scan, &record, &offset), 0);
}

static void reading_may_begin_at_any_line(void **state) {
    (void)state;
    add_next();
    size_t second = add_next();
    add_next();
    write_text();
    reader_start(&reader, fd, second, (struct chain_state){.known = false});
    check_line(SCAN_RECORD, 2, second); /* accepted without proof */
    check_line(SCAN_RECORD, 3, reader_offset(&reader));
    reader_start(&reader, fd, second, chain_start());
    check_line(SCAN_UNCHAINED, 2, second);
    reader_start(&reader, fd, second + 1, (struct chain_state){.known = false});
    check_line(SCAN_DAMAGED, 0, second + 1);
}

static void an_error_is_not_the_end_and_may_be_temporary(void **state) {
    struct record record;
    enum scan scan;
    uint64_t offset;
    struct stat status;
    (void)state;
    add_next();
    write_text();
    assert_int_equal(fstat(fd, &status), 0);
    disk.unreadable = status.st_ino;
    start();
    assert_int_equal(reader_next(&reader, &scan, &record, &offset, &reason), ERROR_SYSTEM);
    assert_string_equal(reason.text, "cannot read the journal: Input/output error");
    disk.unreadable = 0;
    check_line(SCAN_RECORD, 1, 0);
}

#define READER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        READER_TEST(a_line_counts_once_it_is_whole),
        READER_TEST(lines_of_every_length_are_read),
        READER_TEST(a_line_is_found_after_garbage_of_any_length),
        READER_TEST(a_huge_hole_is_skipped_without_reading_it),
        READER_TEST(a_last_line_may_lack_its_line_break),
        READER_TEST(without_a_rest_there_is_no_line_in_it),
        READER_TEST(reading_may_begin_at_any_line),
        READER_TEST(an_error_is_not_the_end_and_may_be_temporary),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
