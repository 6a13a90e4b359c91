/* The end of the journal: what a killed writer left is cut off; anything else wrong there is damage: it is
 * kept and reported, and its numbers are not given again. */
#include "deliveries.h"

#include "cursor.h"
#include "record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *directory;
static char segment[512];
static size_t ends[8]; /* the end of line n, counted from 1 */

/* A journal of events 1 to 5, on day one. */
static struct journal *open_worker(void **state) {
    directory = *state;
    snprintf(segment, sizeof segment, "%s/" FIRST, directory);
    struct journal *journal = open_journal(directory);
    for (unsigned i = 1; i <= 5; i++) {
        check(append_number(journal, i), DISPOSITION_STORED, i);
        ends[i] = size_of(segment);
    }
    return journal;
}

/* Another process, which knows of the journal what the index records. */
static struct journal *again(struct journal *journal) {
    journal_free(journal);
    return open_journal(directory);
}

static void overwrite(size_t at, const void *bytes, size_t length) {
    int fd = open(segment, O_WRONLY);
    nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL); /* later than the last write, on any clock */
    assert_int_equal(pwrite(fd, bytes, length, (off_t)at), length);
    close(fd);
}

/* damaged/NAME holds exactly these bytes. */
static void check_kept(const char *name, const void *bytes, size_t length) {
    char path[600];
    size_t got;
    snprintf(path, sizeof path, "%s/damaged/%s", directory, name);
    char *kept = read_file(path, &got);
    assert_int_equal(got, length);
    assert_memory_equal(kept, bytes, length);
    free(kept);
}

static const char *kept_name(const char *day, size_t offset) {
    static char name[64];
    snprintf(name, sizeof name, "%s-%zu", day, offset);
    return name;
}

#define DAY "2026-11-23"

/* Events up to `left` are there; new ones get numbers from `seq` on. */
static void check_continues(struct journal *journal, unsigned left, uint64_t seq) {
    check_known(journal, 1, left);
    for (unsigned i = left + 1; i <= 6; i++)
        check(append_number(journal, i), DISPOSITION_STORED, seq + i - left - 1);
    check_by_another(directory, 6, DISPOSITION_DUPLICATE, seq + 5 - left);
    assert_int_equal(verify(directory), 6);
}

static void check_warning(const struct journal *journal, const char *of) {
    if (strstr(journal_warning(journal), of) == NULL)
        fail_msg("no warning of %s: \"%s\"", of, journal_warning(journal));
}

/* ---- the same boot: what was written is known ---- */

/* Zeros or garbage from some byte of line 3, 4 or 5 to the end. */
static void known_lines_that_are_overwritten_are_kept(void **state) {
    static char bad[4096];
    for (unsigned left = 2; left <= 4; left++)
        for (unsigned how = 0; how < 12; how++) {
            struct journal *journal = open_worker(state);
            if (how % 2 == 1)
                journal = again(journal);
            size_t from = ends[left] + (how / 2 % 2 == 0 ? 0 : 40), length = ends[5] - from;
            memset(bad, how / 4 == 0 ? 0 : how / 4 == 1 ? 'g' : 0xff, length);
            overwrite(from, bad, length);
            size_t size;
            char *all = read_file(segment, &size);
            struct entry entry = append_number(journal, 1);
            check(entry, DISPOSITION_DUPLICATE, 1);
            check_warning(journal, "damaged");
            check_kept(kept_name(DAY, ends[left]), all + ends[left], size - ends[left]);
            free(all);
            check_continues(journal, left, 6);
            assert_string_equal(journal_warning(journal), ""); /* it is reported once */
            journal_free(journal);
            run("rm -r '%s'/*", directory);
        }
}

/* Even if the rest looks like the beginning of a line: it was a whole one. */
static void a_known_line_that_is_cut_short_is_kept(void **state) {
    for (size_t cut = 0; cut < 2; cut++) {
        struct journal *journal = open_worker(state);
        size_t size, keep = cut == 0 ? ends[5] - 2 : ends[4] + 1;
        char *all = read_file(segment, &size);
        assert_int_equal(truncate(segment, (off_t)keep), 0);
        check(append_number(journal, 1), DISPOSITION_DUPLICATE, 1);
        check_warning(journal, "damaged");
        check_kept(kept_name(DAY, ends[4]), all + ends[4], keep - ends[4]);
        free(all);
        check_continues(journal, 4, 6);
        journal_free(journal);
        run("rm -r '%s'/*", directory);
    }
}

static void missing_lines_are_reported_with_their_numbers(void **state) {
    for (unsigned left = 0; left <= 4; left++)
        for (unsigned how = 0; how < 2; how++) {
            struct journal *journal = open_worker(state);
            if (how == 1)
                journal = again(journal);
            assert_int_equal(truncate(segment, (off_t)ends[left]), 0);
            struct entry entry = append_number(journal, 777);
            check(entry, DISPOSITION_STORED, 6);
            check_warning(journal, "missing");
            check_known(journal, 1, left);
            for (unsigned i = left + 1; i <= 5; i++)
                check(append_number(journal, i), DISPOSITION_STORED, 6 + i - left);
            journal_free(journal);
            assert_int_equal(verify(directory), 6);
            run("rm -r '%s'/*", directory);
        }
}

/* A line written by another process is lost, which leaves the file as this process knows it. */
static void a_missing_line_of_another_process_is_reported(void **state) {
    struct stat status;
    struct journal *journal = open_worker(state);
    assert_int_equal(stat(segment, &status), 0);
    check_by_another(directory, 99, DISPOSITION_STORED, 6);
    assert_int_equal(truncate(segment, (off_t)ends[5]), 0);
    const struct timespec times[] = {{0, UTIME_OMIT}, status.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, segment, times, 0), 0); /* as if within one tick */
    check(append_number(journal, 6), DISPOSITION_STORED, 7);
    check_warning(journal, "missing");
    check_known(journal, 1, 5);
    journal_free(journal);
    verify(directory);
}

/* A kept file is not overwritten by a later one. */
static void damage_in_one_place_twice_is_kept_twice(void **state) {
    static const char *const bad[] = {"first damage", "second damage", "third damage, and longer"};
    struct journal *journal = open_worker(state);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(truncate(segment, (off_t)ends[5]), 0);
        add_bytes(segment, bad[i], strlen(bad[i]));
        check(append_number(journal, 5), DISPOSITION_DUPLICATE, 5);
        check_warning(journal, "damaged");
    }
    journal_free(journal);
    for (size_t i = 0; i < 3; i++)
        run("grep -rqx '%s' '%s/damaged'", bad[i], directory);
}

/* The process was killed after keeping it and before cutting: it is kept only once. */
static void damage_that_was_kept_is_not_kept_again(void **state) {
    journal_free(open_worker(state));
    for (size_t half = 0; half < 2; half++) {
        add_bytes(segment, "the damage", 10);
        mkdir(path_in(directory, "damaged"), 0700);
        write_file(path_in(path_in(directory, "damaged"), kept_name(DAY, ends[5])), "the damage",
                   half == 0 ? 10 : 4, 0600);
        check_by_another(directory, 5, DISPOSITION_DUPLICATE, 5);
        check_kept(kept_name(DAY, ends[5]), "the damage", 10);
        run("test \"$(ls '%s/damaged' | wc -l)\" = 1", directory);
    }
}

/* ---- unknown ends ---- */

static const char torn[] = "{\"seq\":6,\"received_at\":\"2026-11-23T12:00:00.0000";

static void a_torn_line_is_cut_silently(void **state) {
    for (size_t length = 1; length < sizeof torn; length++) {
        struct journal *journal = open_worker(state);
        add_bytes(segment, torn, length);
        if (length % 2 == 0)
            journal = again(journal);
        check(append_number(journal, 6), DISPOSITION_STORED, 6);
        assert_string_equal(journal_warning(journal), "");
        assert_int_not_equal(access(path_in(directory, "damaged"), F_OK), 0);
        check_continues(journal, 6, 7);
        journal_free(journal);
        run("rm -r '%s'/*", directory);
    }
}

/* After a system crash it is unknown what was written; but a killed writer leaves no zeros. */
static void zeros_after_another_boot_are_kept(void **state) {
    static const char zeros[10 * RECORD_LIMIT];
    static const size_t lengths[] = {1, 100, 4096, RECORD_LIMIT, 3 * RECORD_LIMIT, sizeof zeros};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (unsigned boot = 0; boot < 2; boot++) {
            disk.boot = "before";
            journal_free(open_worker(state));
            disk.boot = boot == 1 ? "after" : disk.boot;
            add_bytes(segment, zeros, lengths[i]);
            struct journal *journal = open_journal(directory);
            check(append_number(journal, 6), DISPOSITION_STORED, 6);
            check_warning(journal, "damaged");
            check_kept(kept_name(DAY, ends[5]), zeros, lengths[i]);
            check_continues(journal, 6, 7);
            journal_free(journal);
            run("rm -r '%s'/*", directory);
        }
}

/* Lines that were never synced are gone after a system crash: none was answered with 200. */
static void after_another_boot_lost_lines_are_accepted(void **state) {
    disk.boot = "before";
    journal_free(open_worker(state));
    disk.boot = "after";
    assert_int_equal(truncate(segment, (off_t)ends[4] + 30), 0);
    struct journal *journal = open_journal(directory);
    check(append_number(journal, 5), DISPOSITION_STORED,
          5); /* its number is free, and what was cut off is kept */
    assert_non_null(strstr(journal_warning(journal), "30 bytes"));
    check_continues(journal, 5, 6);
    journal_free(journal);
}

/* But a consumer runs only what was on the disk. */
static void a_line_that_a_consumer_has_run_keeps_its_number(void **state) {
    for (unsigned how = 0; how < 2; how++) {
        static struct cursor cursor;
        disk.boot = "before";
        journal_free(open_worker(state));
        int fd = open(directory, O_RDONLY | O_DIRECTORY);
        cursor = (struct cursor){.mark.position = {timestamp_day(DAY_ONE), ends[5]}, .mark.seq = 5};
        assert_int_equal(cursor_write(fd, "bell", &cursor, NULL), 0);
        close(fd);
        assert_int_equal(truncate(segment, (off_t)ends[3]), 0);
        if (how == 0)
            disk.boot = "after";
        else
            run("rm -r '%s/seen'", directory);
        struct journal *journal = open_journal(directory);
        check(append_number(journal, 4), DISPOSITION_STORED, 6);
        check(append_number(journal, 5), DISPOSITION_STORED, 7);
        check_known(journal, 1, 3);
        journal_free(journal);
        verify(directory);
        run("rm -r '%s'/*", directory);
    }
}

/* ---- line breaks ---- */

static void a_missing_last_line_break_is_repaired(void **state) {
    for (unsigned how = 0; how < 4; how++) {
        struct journal *journal = open_worker(state);
        if (how % 2 == 1)
            journal = again(journal);
        if (how / 2 == 0)
            assert_int_equal(truncate(segment, (off_t)ends[5] - 1), 0);
        else
            overwrite(ends[5] - 1, "x", 1);
        check(append_number(journal, 5), DISPOSITION_DUPLICATE, 5);
        check_continues(journal, 5, 6);
        journal_free(journal);
        run("rm -r '%s'/*", directory);
    }
}

/* In an older day, too, before the new day begins. */
static void a_missing_last_line_break_of_an_older_day_is_repaired(void **state) {
    journal_free(open_worker(state));
    assert_int_equal(truncate(segment, (off_t)ends[5] - 1), 0);
    clock_now += A_DAY;
    write_file(path_in(directory, SECOND_DAY), "", 0, 0600);
    check_by_another(directory, 5, DISPOSITION_DUPLICATE, 5);
    check_by_another(directory, 6, DISPOSITION_STORED, 6);
    assert_int_equal(verify(directory), 6);
}

/* The end of an older day was once the newest and whole, so a torn line there is damage. */
static void a_torn_line_of_an_older_day_is_kept(void **state) {
    for (unsigned how = 0; how < 2; how++) {
        struct journal *journal = open_worker(state);
        clock_now += A_DAY;
        write_file(path_in(directory, SECOND_DAY), "", 0, 0600);
        if (how == 1)
            check(append_number(journal, 5), DISPOSITION_DUPLICATE, 5);
        size_t size;
        char *all = read_file(segment, &size);
        assert_int_equal(truncate(segment, (off_t)ends[4] + 50), 0);
        journal = again(journal);
        check(append_number(journal, 6), DISPOSITION_STORED, 6);
        check_kept(kept_name(DAY, ends[4]), all + ends[4], 50);
        free(all);
        check_known(journal, 1, 4);
        journal_free(journal);
        clock_now = DAY_ONE;
        run("rm -r '%s'/*", directory);
    }
}

/* The last line of a day was damaged, and its number is known; then it is cut short, which looks like the
 * beginning of an unknown line. */
static void a_line_that_was_damaged_before_is_kept(void **state) {
    journal_free(open_worker(state));
    clock_now += A_DAY;
    check_by_another(directory, 6, DISPOSITION_STORED, 6);
    run("sed -i s/event/evemt/ '%s/" SECOND_DAY "'", directory);
    check_by_another(directory, 5, DISPOSITION_DUPLICATE, 5);
    assert_int_equal(truncate(path_in(directory, SECOND_DAY), 100), 0);
    check_by_another(directory, 5, DISPOSITION_DUPLICATE, 5);
    run("test $(stat -c %%s '%s/damaged/2026-11-24-0') = 100", directory);
}

/* ---- what is not writable ---- */

/* As a user who may not write to the file. */
static void append_as_nobody(unsigned number, enum disposition wanted) {
    pid_t child = fork();
    int status;
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        struct journal *journal = open_journal(directory);
        struct entry entry = append_number(journal, number);
        journal_free(journal);
        _exit(entry.disposition == wanted ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_read_only_end_stays_as_it_is(void **state) {
    journal_free(open_worker(state));
    run("chown -R 65534:65534 '%s' || test $(id -u) != 0", directory);
    add_bytes(segment, torn, sizeof torn - 1);
    size_t size = size_of(segment);
    assert_int_equal(chmod(segment, 0400), 0);
    append_as_nobody(5, DISPOSITION_DUPLICATE);
    append_as_nobody(6, DISPOSITION_UNAVAILABLE);
    assert_int_equal(size_of(segment), size);
    assert_int_equal(chmod(segment, 0600), 0);
    append_as_nobody(6, DISPOSITION_STORED);
    assert_int_equal(verify(directory), 6);
}

/* Of a huge sparse file, only the data is read or copied. */
static void a_huge_hole_is_not_read(void **state) {
    static const off_t huge = (off_t)1 << 40;
    journal_free(open_worker(state));
    write_file(path_in(directory, "2026-11-20.jsonl"), "", 0, 0600); /* an older day is sparse */
    assert_int_equal(truncate(path_in(directory, "2026-11-20.jsonl"), huge), 0);
    assert_int_equal(truncate(segment, huge), 0);
    run("rm -r '%s/seen'", directory); /* so that everything is read */
    struct journal *journal = open_journal(directory);
    disk.read = 0;
    check(append_number(journal, 6), DISPOSITION_STORED, 6);
    check_warning(journal, "damaged");
    assert_in_range(disk.read, 1, 10 << 20);
    check_known(journal, 1, 6);
    journal_free(journal);
    assert_int_equal(unlink(path_in(directory, "2026-11-20.jsonl")), 0);
    assert_int_equal(verify(directory), 6);
    run("test $(stat -c %%s '%s/damaged/" DAY "-%zu') = %lld", directory, ends[5],
        (long long)huge - (long long)ends[5]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(known_lines_that_are_overwritten_are_kept),
        JOURNAL_TEST(a_known_line_that_is_cut_short_is_kept),
        JOURNAL_TEST(missing_lines_are_reported_with_their_numbers),
        JOURNAL_TEST(a_missing_line_of_another_process_is_reported),
        JOURNAL_TEST(damage_in_one_place_twice_is_kept_twice),
        JOURNAL_TEST(damage_that_was_kept_is_not_kept_again),
        JOURNAL_TEST(a_torn_line_is_cut_silently),
        JOURNAL_TEST(zeros_after_another_boot_are_kept),
        JOURNAL_TEST(after_another_boot_lost_lines_are_accepted),
        JOURNAL_TEST(a_line_that_a_consumer_has_run_keeps_its_number),
        JOURNAL_TEST(a_missing_last_line_break_is_repaired),
        JOURNAL_TEST(a_missing_last_line_break_of_an_older_day_is_repaired),
        JOURNAL_TEST(a_torn_line_of_an_older_day_is_kept),
        JOURNAL_TEST(a_line_that_was_damaged_before_is_kept),
        JOURNAL_TEST(a_huge_hole_is_not_read),
        JOURNAL_TEST(a_read_only_end_stays_as_it_is),
    };
    return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
