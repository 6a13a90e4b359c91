/* Index entries are verified: whatever is done to the lines of a day, an event that is still in a file is a
 * duplicate, under its own number, and a new one is stored once. */
#include "deliveries.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *directory;
static char day_one[512], day_two[512], day_three[512];

/* Events 1 to 6 on day one, 7 to 12 on day two, 13 to 18 on day three. */
static struct journal *open_worker(void **state) {
    directory = *state;
    snprintf(day_one, sizeof day_one, "%s/" FIRST, directory);
    snprintf(day_two, sizeof day_two, "%s/" SECOND_DAY, directory);
    snprintf(day_three, sizeof day_three, "%s/" THIRD_DAY, directory);
    clock_now = DAY_ONE;
    struct journal *journal = open_journal(directory);
    for (unsigned i = 1; i <= 18; i++) {
        clock_now += i == 7 || i == 13 ? A_DAY : 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
    }
    return journal;
}

/* The files' contents when check_all() began. */
static struct contents read_before;

static void later(void) {
    nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL); /* longer than a tick of any file system */
}

/* Each event that is in a file is a duplicate; the others are stored, once. Checked with this worker, and
 * then with another process. */
static void check_all(struct journal *journal) {
    uint64_t seq[31] = {0};
    read_before = read_journal(directory);
    struct entry entry = append_number(journal, 30);
    if (entry.disposition != DISPOSITION_STORED || entry.seq <= read_before.last)
        fail_msg("a new event: disposition %d, seq %llu: %s", entry.disposition,
                 (unsigned long long)entry.seq, entry.reason.text);
    seq[30] = entry.seq;
    for (unsigned i = 1; i <= 18; i++) {
        uint64_t there = read_before.seq_of[i];
        entry = append_number(journal, i);
        if (entry.disposition != (there > 0 ? DISPOSITION_DUPLICATE : DISPOSITION_STORED) ||
            (there > 0 && entry.seq != there))
            fail_msg("event %u, which is %sthere: disposition %d, seq %llu: %s", i, there > 0 ? "" : "not ",
                     entry.disposition, (unsigned long long)entry.seq, entry.reason.text);
        seq[i] = entry.seq;
    }
    journal_free(journal);
    for (unsigned i = 1; i <= 18; i++)
        check_by_another(directory, i, DISPOSITION_DUPLICATE, seq[i]);
    check_by_another(directory, 30, DISPOSITION_DUPLICATE, seq[30]);
    read_journal(directory);
}

/* Runs `act` in a shell on the journal, with a worker that has it open, a new one, one after a reboot, and
 * one without an index. */
static void disturb(void **state, const char *act) {
    for (unsigned who = 0; who < 4; who++) {
        disk.boot = "one boot";
        struct journal *journal = open_worker(state);
        later();
        run("cd '%s' && %s", directory, act);
        if (who > 0) {
            journal_free(journal);
            disk.boot = who == 2 ? "another boot" : disk.boot;
            if (who == 3)
                run("rm -r '%s/seen'", directory);
            journal = open_journal(directory);
        }
        check_all(journal);
        run("rm -r '%s'/*", directory);
    }
}

static void disturb_each(void **state, const char *const acts[], size_t count) {
    for (size_t i = 0; i < count; i++)
        disturb(state, acts[i]);
}
#define DISTURB(state, acts) disturb_each(state, acts, sizeof acts / sizeof *acts)

#define ONE FIRST
#define TWO SECOND_DAY
#define THREE THIRD_DAY
#define IN_PLACE(command, file) command " " file " >/tmp/$$ && cat /tmp/$$ >" file " && rm /tmp/$$"

static void a_line_is_erased(void **state) {
    static const char *const acts[] = {
        IN_PLACE("sed 1d", ONE),   IN_PLACE("sed 3d", ONE),   IN_PLACE("sed '$d'", ONE),
        IN_PLACE("sed 1d", TWO),   IN_PLACE("sed '$d'", TWO), IN_PLACE("sed 1d", THREE),
        IN_PLACE("sed 3d", THREE), "sed -i 2,5d " ONE,        "sed -i 1,5d " THREE,
    };
    DISTURB(state, acts);
}

/* The numbers of lines erased from the end in this boot are not given again. */
static void the_last_line_is_erased(void **state) {
    for (unsigned who = 0; who < 2; who++) {
        struct journal *journal = open_worker(state);
        later();
        run("cd '%s' && " IN_PLACE("sed '$d'", THREE), directory);
        if (who == 1) {
            journal_free(journal);
            journal = open_journal(directory);
        }
        check_known(journal, 1, 17);
        check(append_number(journal, 18), DISPOSITION_STORED, 19);
        check(append_number(journal, 18), DISPOSITION_DUPLICATE, 19);
        journal_free(journal);
        verify(directory);
        run("rm -r '%s'/*", directory);
    }
}

static void editors_add_marks_and_line_ends(void **state) {
    static const char *const acts[] = {
        IN_PLACE("sed '1s/^/\\xef\\xbb\\xbf/'", ONE),
        IN_PLACE("sed '1s/^/\\xef\\xbb\\xbf/'", THREE),
        IN_PLACE("sed 's/$/\\r/'", ONE),
        IN_PLACE("sed 's/$/\\r/'", THREE),
        IN_PLACE("sed '2a\\\\'", ONE),
        IN_PLACE("sed '2a\\\\'", THREE),
        "echo >>" ONE,
        "echo >>" THREE,
        "sed -i '1i\\\\' " ONE,
        "sed -i 's/$/\\r/' " TWO,
    };
    DISTURB(state, acts);
}

/* The index then names lines that are elsewhere, and the day is searched. */
static void either_identifier_is_enough_after_an_edit(void **state) {
    static const char *const acts[] = {IN_PLACE("tac", ONE), "mv " ONE " 2026-11-20.jsonl"};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        struct journal *journal = open_worker(state);
        later();
        run("cd '%s' && %s", directory, acts[i]);
        for (unsigned number = 1; number <= 6; number++) {
            char request[32], id[32];
            snprintf(request, sizeof request, "request-%u", number);
            snprintf(id, sizeof id, "event-%u", number);
            check(append_one(journal, request, "another"), DISPOSITION_DUPLICATE, number);
            check(append_one(journal, "another", id), DISPOSITION_DUPLICATE, number);
        }
        journal_free(journal);
        run("rm -r '%s'/*", directory);
    }
}

static void lines_are_swapped(void **state) {
    static const char *const acts[] = {
        IN_PLACE("sed -n '2{h;d};3{p;x};p'", ONE),
        IN_PLACE("sed -n '1{h;d};2{p;x};p'", TWO),
        IN_PLACE("sed -n '2{h;d};3{p;x};p'", THREE),
        IN_PLACE("tac", ONE),
    };
    DISTURB(state, acts);
}

static void a_line_break_is_lost(void **state) {
    static const char *const acts[] = {
        "truncate -s -1 " ONE,
        "truncate -s -1 " TWO,
        "truncate -s -1 " THREE,
        IN_PLACE("sed '1{N;s/\\n//}'", ONE),
        IN_PLACE("sed '1{N;s/\\n/x/}'", ONE),
        IN_PLACE("sed '3{N;s/\\n/ /}'", ONE),
        IN_PLACE("sed '1{N;s/\\n/x/}'", THREE),
        IN_PLACE("sed '5{N;s/\\n/x/}'", TWO),
        IN_PLACE("sed '1{N;N;s/\\n/x/g}'", TWO),
        IN_PLACE("sed '1{N;s/\\n/}/}'", ONE),
        IN_PLACE("sed '5{N;s/\\n/}/}'", THREE),
        IN_PLACE("sed '1{N;N;s/\\n/}/g}'", TWO),
        IN_PLACE("sed 's/$/}/'", TWO),
        "truncate -s -1 " ONE " && " IN_PLACE("sed '5{N;s/\\n//}'", ONE),
        "truncate -s -1 " TWO " && " IN_PLACE("sed '$s/^/{\"se/'", TWO),
        "truncate -s -1 " THREE " && " IN_PLACE("sed '5{N;s/\\n/x/}'", THREE),
        "truncate -s -1 " THREE " && " IN_PLACE("sed '$s/^/{\"se/'", THREE),
    };
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        disturb(state, acts[i]);
        assert_int_equal(read_before.lines, 18);
    }
}

/* Only the next line is lost, which is damaged too. */
static void a_line_is_damaged_with_the_line_break_before_it(void **state) {
    static const char *const acts[] = {
        IN_PLACE("sed '1{N;s/\\n/x/;s/\"key\":\"/&x/2}'", ONE),
        IN_PLACE("sed '1{N;s/\\n/}/;s/\"key\":\"/&x/2}'", ONE),
        IN_PLACE("sed '5{N;s/\\n{\"seq/garbage/}'", TWO),
        IN_PLACE("sed '3{N;s/\\n/x/;s/\"key\":\"/&x/2}'", THREE),
        IN_PLACE("sed '5{N;s/\\n/x/;s/\"key\":\"/&x/2}'", THREE),
        "truncate -s -50 " ONE " && " IN_PLACE("sed '5{N;s/\\n//}'", ONE),
        "truncate -s -50 " THREE " && " IN_PLACE("sed '5{N;s/\\n//}'", THREE),
        "truncate -s -50 " THREE " && " IN_PLACE("sed '5{N;s/\\n/x/}'", THREE),
    };
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        disturb(state, acts[i]);
        assert_int_equal(read_before.lines, 17);
    }
}

static void a_line_is_damaged(void **state) {
    static const char *const acts[] = {
        IN_PLACE("sed '1s/seq/sqe/'", ONE),
        IN_PLACE("sed '3s/^/x/'", ONE),
        IN_PLACE("sed '$s/^{/x/'", ONE),
        IN_PLACE("sed '5,6s/.*/gone/'", TWO),
        IN_PLACE("sed '5,6s/.*/gone/'", THREE),
        IN_PLACE("sed 's/.*/gone/'", TWO),
        IN_PLACE("sed '3s/\"type\"/\"tpye\"/'", ONE),
        IN_PLACE("sed '1d;3s/\"type\"/\"kind\"/'", TWO),
    };
    DISTURB(state, acts);
}

/* ---- files from another time ---- */

/* Keeps a copy of one day, or of all, taken when each had four events. */
static void older_copies_are_put_back(void **state) {
    static const char *const acts[] = {
        IN_PLACE("head -n 4", ONE),
        IN_PLACE("head -n 4", THREE),
        "head -n 4 " ONE " >copy && mv copy " ONE,
        "head -n 4 " THREE " >copy && mv copy " THREE,
        "head -n 2 " TWO " >copy && mv copy " TWO " && head -n 1 " THREE " >copy && mv copy " THREE,
        ": >" THREE,
        ": >" TWO,
        "rm " THREE " && : >" THREE,
    };
    DISTURB(state, acts);
}

static void days_are_renamed(void **state) {
    static const char *const acts[] = {
        "mv " ONE " 2026-11-01.jsonl",
        "mv " ONE " 2026-11-01.jsonl && mv 2026-11-01.jsonl " ONE,
        "mv " TWO " 2026-11-22.jsonl",
        "mv " ONE " saved && mv " TWO " " ONE " && mv saved " TWO,
        "mv " ONE " 2026-11-22.jsonl && ln 2026-11-22.jsonl 2026-11-21.jsonl && rm 2026-11-22.jsonl",
    };
    DISTURB(state, acts);
}

/* There and back, with deliveries in between. */
static void a_day_is_away_for_a_while(void **state) {
    static const char *const away[] = {"2026-11-01.jsonl", "2026-11-22.jsonl", "saved"};
    for (size_t i = 0; i < 3; i++) {
        struct journal *journal = open_worker(state);
        run("cd '%s' && mv " TWO " %s", directory, away[i]);
        check_known(journal, 1, 6);
        check(append_number(journal, 19), DISPOSITION_STORED, 19);
        if (i < 2)
            check_known(journal, 7, 12);
        later();
        run("cd '%s' && mv %s " TWO, directory, away[i]);
        check_known(journal, 1, 19);
        check_all(journal);
        run("rm -r '%s'/*", directory);
    }
}

/* A day older than the index; its last lines may be damaged. */
static void a_day_is_brought_in_from_a_backup(void **state) {
    static const char *const damage[] = {":",
                                         IN_PLACE("sed '$s/seq/sqe/'", ONE),
                                         IN_PLACE("sed '4,6s/seq/sqe/'", ONE),
                                         "truncate -s -1 " ONE,
                                         "truncate -s -20 " ONE,
                                         "printf garbage >>" ONE,
                                         "head -c 1000000 /dev/zero >>" ONE};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++)
        for (unsigned who = 0; who < 2; who++) {
            struct journal *journal = open_worker(state);
            run("cd '%s' && %s && mv " ONE " saved && rm -r seen", directory, damage[i]);
            check_known(journal, 7, 18);
            later();
            run("cd '%s' && mv saved " ONE, directory);
            if (who == 1) {
                journal_free(journal);
                journal = open_journal(directory);
            }
            check_all(journal);
            run("rm -r '%s'/*", directory);
        }
}

/* Within one tick of the file system's clock: the directory's modification time is as when it was listed. */
static void a_day_is_brought_in_within_one_tick(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s' && mv " ONE " saved && rm -r seen", directory);
    check_known(journal, 7, 18);
    struct stat status;
    assert_int_equal(stat(directory, &status), 0);
    run("cd '%s' && mv saved " ONE, directory);
    assert_int_equal(utimensat(AT_FDCWD, directory, (struct timespec[]){{0, UTIME_OMIT}, status.st_mtim}, 0),
                     0);
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 200000000}, NULL);
    check_known(journal, 1, 6);
    check_all(journal);
}

/* Restores the index as it was after event `at`, with the same inode numbers, and then changes the files: the
 * recorded end of the index may happen to be the end of a line, or lie within one. */
static void put_index_back(void **state, unsigned at, bool worker_lives, const char *act) {
    clock_now = DAY_ONE;
    directory = *state;
    struct journal *journal = open_journal(directory);
    for (unsigned i = 1; i <= 18; i++) {
        clock_now += i == 7 || i == 13 ? A_DAY : 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
        if (i == at)
            run("cd '%s' && mkdir saved && cp seen/* saved", directory);
    }
    later();
    run("cd '%s/saved' && for file in *; do cat $file >../seen/$file; done", directory);
    run("cd '%s' && %s", directory, act);
    if (!worker_lives) {
        journal_free(journal);
        journal = open_journal(directory);
    }
    check_all(journal);
    run("rm -r '%s'/*", directory);
}

static void an_older_index_is_put_back(void **state) {
    static const char *const acts[] = {
        ":",
        IN_PLACE("sed 1d", ONE),
        IN_PLACE("sed 1d", TWO),
        IN_PLACE("sed 1d", THREE),
        IN_PLACE("sed '1i\\'", THREE),
        IN_PLACE("sed -n '3{h;d};4{p;x};p'", THREE),
        "mv " ONE " other && mv " TWO " " ONE " && mv other " TWO,
    };
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (unsigned at = 3; at <= 15; at += 6) {
            put_index_back(state, at, true, acts[i]);
            put_index_back(state, at, false, acts[i]);
        }
}

/* An identifier with more wrong positions than one search visits. */
static void a_day_is_edited_again_and_again(void **state) {
    struct journal *journal = open_worker(state);
    for (unsigned i = 0; i < 12; i++) {
        later();
        run("cd '%s' && " IN_PLACE("sed '1i\\\\'", ONE), directory);
        run("cd '%s' && mv " ONE " saved && mv saved " ONE, directory); /* is searched again */
        check(append_number(journal, 18), DISPOSITION_DUPLICATE, 18);
    }
    run("cd '%s' && " IN_PLACE("sed '1i\\\\'", ONE), directory);
    check_all(journal);
}

/* Each entry is for a different day, and only the last one is right. */
static void a_day_is_renamed_repeatedly(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s' && mv " ONE " 2026-11-01.jsonl", directory);
    for (unsigned i = 1; i <= 11; i++) {
        check(append_number(journal, 18), DISPOSITION_DUPLICATE, 18);
        later();
        run("cd '%s' && mv 2026-11-%02u.jsonl 2026-11-%02u.jsonl", directory, i, i + 1);
    }
    check(append_number(journal, 18), DISPOSITION_DUPLICATE, 18);
    /* Something else now has all the earlier names. */
    run("cd '%s' && for day in 01 02 03 04 05 06 07 08 09 10 11; do echo none >2026-11-$day.jsonl; done",
        directory);
    check(append_number(journal, 18), DISPOSITION_DUPLICATE, 18);
    run("cd '%s' && " IN_PLACE("sed '1i\\\\'", "2026-11-12.jsonl"), directory);
    check_all(journal);
}

/* ---- an error is not an absence ---- */

static void check_error(struct journal *journal, unsigned from, unsigned to) {
    for (unsigned i = from; i <= to; i++) {
        struct entry entry = append_number(journal, i);
        check(entry, DISPOSITION_UNAVAILABLE, 0);
        assert_true(entry.reason.text[0] != '\0');
    }
}

static void check_error_by_another(unsigned number) {
    check_by_another(directory, number, DISPOSITION_UNAVAILABLE, 0);
}

static void a_directory_in_place_of_a_day(void **state) {
    static const char *const days[] = {FIRST, SECOND_DAY, THIRD_DAY};
    struct journal *journal = open_worker(state);
    for (unsigned i = 0; i < 3; i++) {
        unsigned first = 6 * i + 1;
        run("cd '%s' && mv %s saved && mkdir %s", directory, days[i], days[i]);
        check_error(journal, first, first + 5);
        check_error_by_another(first);
        run("cd '%s' && rmdir %s && mv saved %s", directory, days[i], days[i]);
        check_known(journal, 1, 18);
    }
    check_all(journal);
}

static void a_day_that_cannot_be_read(void **state) {
    const char *days[] = {day_one, day_two, day_three};
    struct journal *journal = open_worker(state);
    for (unsigned i = 0; i < 3; i++) {
        struct stat status;
        assert_int_equal(stat(days[i], &status), 0);
        disk.unreadable = status.st_ino;
        check_error(journal, 6 * i + 1, 6 * i + 6);
        check_error_by_another(6 * i + 1);
        disk.unreadable = 0;
        check_known(journal, 1, 18);
    }
    check_all(journal);
}

/* With every possible number of descriptors left. */
static void descriptors_run_out(void **state) {
    struct journal *journal = open_worker(state);
    struct rlimit saved, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
    for (unsigned worker = 0; worker < 2; worker++) {
        unsigned troubles = 0;
        for (rlim_t left = 0; left < 12; left++)
            for (unsigned number = 1; number <= 18; number += 6) {
                if (worker == 1) {
                    journal_free(journal);
                    journal = open_journal(directory);
                }
                int next = dup(0);
                close(next);
                few = (struct rlimit){.rlim_cur = (rlim_t)next + left, .rlim_max = saved.rlim_max};
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                struct entry entry = append_number(journal, number);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
                troubles += entry.disposition == DISPOSITION_UNAVAILABLE;
                if (entry.disposition != DISPOSITION_UNAVAILABLE)
                    check(entry, DISPOSITION_DUPLICATE, number);
            }
        assert_true(troubles > 0);
    }
    check_all(journal);
}

/* As a user who may not read an older day. */
static int append_as_nobody(unsigned number, enum disposition wanted) {
    pid_t child = fork();
    int status;
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        struct journal *journal = open_journal(directory);
        struct entry entry = append_number(journal, number);
        journal_free(journal);
        _exit(entry.disposition == wanted && (wanted == DISPOSITION_UNAVAILABLE || entry.seq == number) ? 0
                                                                                                        : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_day_that_may_not_be_read(void **state) {
    journal_free(open_worker(state));
    if (geteuid() != 0)
        skip();
    run("chown -R 65534:65534 '%s'", directory);
    assert_int_equal(append_as_nobody(3, DISPOSITION_DUPLICATE), 0);
    assert_int_equal(chmod(day_one, 0400), 0); /* an older day need not be writable */
    assert_int_equal(append_as_nobody(3, DISPOSITION_DUPLICATE), 0);
    assert_int_equal(chmod(day_one, 0), 0);
    assert_int_equal(append_as_nobody(3, DISPOSITION_UNAVAILABLE), 0);
    run("rm -r '%s/seen'", directory);
    assert_int_equal(append_as_nobody(3, DISPOSITION_UNAVAILABLE), 0);
    assert_int_equal(append_as_nobody(99, DISPOSITION_UNAVAILABLE), 0);
    assert_int_equal(chmod(day_one, 0600), 0);
    assert_int_equal(append_as_nobody(3, DISPOSITION_DUPLICATE), 0);
    assert_int_equal(chmod(path_in(directory, "seen"), 0), 0);
    assert_int_equal(append_as_nobody(3, DISPOSITION_UNAVAILABLE), 0);
    assert_int_equal(chmod(path_in(directory, "seen"), 0700), 0);
    assert_int_equal(append_as_nobody(3, DISPOSITION_DUPLICATE), 0);
    assert_int_equal(verify(directory), 18);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(a_line_is_erased),
        JOURNAL_TEST(the_last_line_is_erased),
        JOURNAL_TEST(editors_add_marks_and_line_ends),
        JOURNAL_TEST(either_identifier_is_enough_after_an_edit),
        JOURNAL_TEST(lines_are_swapped),
        JOURNAL_TEST(a_line_break_is_lost),
        JOURNAL_TEST(a_line_is_damaged_with_the_line_break_before_it),
        JOURNAL_TEST(a_line_is_damaged),
        JOURNAL_TEST(older_copies_are_put_back),
        JOURNAL_TEST(days_are_renamed),
        JOURNAL_TEST(a_day_is_away_for_a_while),
        JOURNAL_TEST(a_day_is_brought_in_from_a_backup),
        JOURNAL_TEST(a_day_is_brought_in_within_one_tick),
        JOURNAL_TEST(an_older_index_is_put_back),
        JOURNAL_TEST(a_day_is_edited_again_and_again),
        JOURNAL_TEST(a_day_is_renamed_repeatedly),
        JOURNAL_TEST(a_directory_in_place_of_a_day),
        JOURNAL_TEST(a_day_that_cannot_be_read),
        JOURNAL_TEST(descriptors_run_out),
        JOURNAL_TEST(a_day_that_may_not_be_read),
    };
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
