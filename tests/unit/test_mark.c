/* A mark is valid while the line that ends there is unchanged. */
#include "deliveries.h"

#include "mark.h"
#include "record.h"
#include "tail.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory;
static int fd;
static size_t ends[4];
static struct mark marks[4];

/* Three lines on day one, and a mark at the end of each. */
static void set_up_lines(void **state) {
    directory = *state;
    for (unsigned i = 1; i <= 3; i++) {
        check_by_another(directory, i, DISPOSITION_STORED, i);
        ends[i] = size_of(path_in(directory, FIRST));
    }
    fd = open(directory, O_RDONLY | O_DIRECTORY);
    for (unsigned i = 1; i <= 3; i++) {
        static char text[RECORD_LIMIT + 1];
        struct record record;
        struct line line;
        struct position position = {timestamp_day(DAY_ONE), ends[i]};
        assert_int_equal(mark_line(fd, position, text, &line, NULL), 1);
        assert_int_equal(line.offset, i > 1 ? ends[i - 1] : 0);
        assert_int_equal(line.offset + line.length + 1, ends[i]);
        assert_int_equal(record_parse(line.text, line.length, &record), 0);
        assert_int_equal(record.seq, i);
        marks[i] = (struct mark){.position = position, .seq = i};
        memcpy(marks[i].chain, record.chain, CHAIN_SIZE - 1);
    }
}

static void a_mark_is_valid(void **state) {
    set_up_lines(state);
    for (unsigned i = 1; i <= 3; i++) {
        struct mark mark = marks[i];
        assert_int_equal(mark_check(fd, &mark, NULL), 1);
        mark.chain[0] = '\0'; /* the number alone */
        assert_int_equal(mark_check(fd, &mark, NULL), 1);
        mark.seq = 0; /* any line */
        assert_int_equal(mark_check(fd, &mark, NULL), 1);
        mark.position.offset--;
        assert_int_equal(mark_check(fd, &mark, NULL), 0);
        mark = marks[i];
        mark.seq++;
        assert_int_equal(mark_check(fd, &mark, NULL), 0);
        mark = marks[i];
        mark.chain[31] = mark.chain[31] == '0' ? '1' : '0';
        assert_int_equal(mark_check(fd, &mark, NULL), 0);
        mark = marks[i];
        mark.position.day++;
        assert_int_equal(mark_check(fd, &mark, NULL), 0);
        mark.position.offset = 0; /* the beginning of a day claims nothing */
        assert_int_equal(mark_check(fd, &mark, NULL), 1);
    }
    close(fd);
}

static void a_mark_is_invalid_if_the_line_changed(void **state) {
    static const char *const acts[] = {"sed 1d " FIRST,        "sed 3d " FIRST,
                                       "sed '1s/^/ /' " FIRST, "sed '3s/seq/qes/' " FIRST,
                                       "head -c -1 " FIRST,    "sed -n '2{h;d};3{p;x};p' " FIRST,
                                       "tr '\\n' x <" FIRST,   "true"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        set_up_lines(state);
        run("cd '%s' && %s >copy && mv copy " FIRST, directory, acts[i]);
        assert_int_equal(mark_check(fd, &marks[3], NULL), 0);
        run("rm '%s/" FIRST "'", directory);
        assert_int_equal(mark_check(fd, &marks[3], NULL), 0);
        close(fd);
        run("rm -r '%s'/*", directory);
    }
}

/* A line of the maximum length, and a longer one. */
static void long_lines_are_read(void **state) {
    static char text[3 * RECORD_LIMIT], read[RECORD_LIMIT + 1];
    static const size_t lengths[] = {4095, 4096, 4097, RECORD_LIMIT - 1, RECORD_LIMIT};
    directory = *state;
    fd = open(directory, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t before = 0; before < 5000; before += 4999) {
            struct line line;
            size_t size = before + lengths[i];
            memset(text, 'x', size);
            text[size - 1] = '\n';
            if (before > 0)
                text[before - 1] = '\n';
            write_file(path_in(directory, FIRST), text, size, 0600);
            struct position position = {timestamp_day(DAY_ONE), size};
            assert_int_equal(mark_line(fd, position, read, &line, NULL), 1);
            assert_int_equal(line.offset, before);
            assert_int_equal(line.length, lengths[i] - 1);
            assert_memory_equal(line.text, text + before, line.length);
        }
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    write_file(path_in(directory, FIRST), text, sizeof text, 0600);
    struct line line;
    struct position position = {timestamp_day(DAY_ONE), sizeof text};
    assert_int_equal(mark_line(fd, position, read, &line, NULL), 0);
    close(fd);
}

static void an_error_is_neither_valid_nor_invalid(void **state) {
    struct stat status;
    struct reason reason = {""};
    set_up_lines(state);
    assert_int_equal(stat(path_in(directory, FIRST), &status), 0);
    disk.unreadable = status.st_ino;
    assert_int_equal(mark_check(fd, &marks[3], &reason), ERROR_SYSTEM);
    assert_string_not_equal(reason.text, "");
    disk.unreadable = 0;
    run("cd '%s' && rm " FIRST " && mkdir " FIRST, directory);
    assert_int_equal(mark_check(fd, &marks[3], NULL), ERROR_SYSTEM);
    close(fd);
}

/* The last readable line of a day. */
static void the_end_of_a_day_is_marked(void **state) {
    static const struct {
        const char *act;
        unsigned line;
    } cases[] = {{"cat " FIRST, 3},
                 {"head -c -1 " FIRST, 2},
                 {"sed '3s/seq/qes/' " FIRST, 2},
                 {"sed '2,3s/.*/x/' " FIRST, 1},
                 {"sed 's/.*/x/' " FIRST, 0},
                 {"true", 0},
                 {"sed '$a\\\\' " FIRST, 3},
                 {"head -c 1000000 /dev/zero | cat " FIRST " -", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mark mark;
        set_up_lines(state);
        run("cd '%s' && %s >copy && mv copy " FIRST, directory, cases[i].act);
        assert_int_equal(tail_mark(fd, timestamp_day(DAY_ONE), &mark, NULL), 1);
        assert_int_equal(mark.seq, cases[i].line);
        assert_int_equal(mark.position.day, timestamp_day(DAY_ONE));
        assert_int_equal(mark.position.offset, cases[i].line > 0 ? ends[cases[i].line] : 0);
        assert_int_equal(mark_check(fd, &mark, NULL), 1);
        assert_int_equal(tail_mark(fd, timestamp_day(DAY_ONE) + 1, &mark, NULL), 0);
        close(fd);
        run("rm -r '%s'/*", directory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(a_mark_is_valid),
        JOURNAL_TEST(a_mark_is_invalid_if_the_line_changed),
        JOURNAL_TEST(long_lines_are_read),
        JOURNAL_TEST(an_error_is_neither_valid_nor_invalid),
        JOURNAL_TEST(the_end_of_a_day_is_marked),
    };
    return cmocka_run_group_tests_name("mark", tests, NULL, NULL);
}
