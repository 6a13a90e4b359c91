/* rejected/: signed deliveries that are not usable events are kept whole, once. And events that are too old.
 */
#include "deliveries.h"

#include "rejected.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *directory;

/* Signature number `number`. */
static const char *signature_of(unsigned number) {
    static char text[4][SIGNATURE_TEXT_SIZE];
    static unsigned next;
    char *out = text[next++ % 4];
    snprintf(out, SIGNATURE_TEXT_SIZE, "sha256=%064x", number);
    return out;
}

static struct entry rejected_entry(unsigned number) {
    return (struct entry){.body = "\xff not \"json\"\n",
                          .length = 13,
                          .key = "9f86d081",
                          .signature = signature_of(number),
                          .rejection = "it is no event",
                          .received_at = clock_now};
}

static struct entry reject(struct journal *journal, unsigned number) {
    struct entry entry = rejected_entry(number), *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    journal_append(journal, entries, 1, &deadline);
    return entry;
}

/* The number of lines in all of rejected/ with that signature. */
static unsigned times(unsigned number) {
    char command[1200];
    unsigned count = 0;
    snprintf(command, sizeof command, "cat '%s'/rejected/* 2>/dev/null | grep -c %s", directory,
             signature_of(number));
    FILE *pipe = popen(command, "r");
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    return count;
}

static struct journal *open_worker(void **state) {
    directory = *state;
    return open_journal(directory);
}

static struct journal *again(struct journal *journal) {
    journal_free(journal);
    return open_journal(directory);
}

/* ---- kept whole ---- */

static void a_line_has_every_field(void **state) {
    struct journal *journal = open_worker(state);
    struct entry entry = rejected_entry(1), *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    entry.rejection = "data.id is \"missing\"";
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_REJECTED, 0);
    size_t length;
    char *text = read_file(path_in(directory, "rejected/" FIRST), &length), wanted[1024];
    snprintf(wanted, sizeof wanted,
             "{\"received_at\":\"2026-11-23T12:00:00.000000Z\",\"key\":\"9f86d081\",\"signature\":\"%s\","
             "\"reason\":"
             "\"data.id is \\\"missing\\\"\",\"body\":\"/yBub3QgImpzb24iCg==\"}\n",
             signature_of(1));
    assert_string_equal(text, wanted);
    free(text);
    journal_free(journal);
    assert_int_not_equal(access(path_in(directory, FIRST), F_OK), 0);
}

static int count_lines(void *context, const struct rejection *rejection) {
    unsigned *counts = context;
    counts[rejection->signature == NULL]++;
    if (rejection->signature != NULL) {
        assert_int_equal(rejection->length, 13);
        assert_memory_equal(rejection->body, "\xff not \"json\"\n", 13);
    }
    return 0;
}

/* A killed writer leaves a line that cannot be read; the others are not affected. */
static void a_torn_line_affects_no_other(void **state) {
    struct journal *journal = open_worker(state);
    for (unsigned i = 1; i <= 5; i++) {
        check(reject(journal, i), DISPOSITION_REJECTED, 0);
        add_bytes(path_in(directory, "rejected/" FIRST), "{\"received_at\":\"2026", 20);
        journal = i % 2 == 0 ? again(journal) : journal;
    }
    for (unsigned i = 1; i <= 6; i++)
        check(reject(journal, i), DISPOSITION_REJECTED, 0);
    for (unsigned i = 1; i <= 6; i++)
        assert_int_equal(times(i), 1);
    journal_free(journal);
    unsigned counts[2] = {0};
    int fd = open(directory, O_RDONLY | O_DIRECTORY);
    assert_int_equal(rejected_each(fd, INT64_MIN, INT64_MAX, count_lines, counts, NULL), 0);
    close(fd);
    assert_int_equal(counts[0], 6);
    assert_int_equal(counts[1], 5);
}

/* ---- kept once ---- */

static void kept_once_in_a_batch(void **state) {
    struct journal *journal = open_worker(state);
    struct entry entries[8], *pointers[8];
    struct deadline deadline = distant_deadline();
    for (unsigned i = 0; i < 8; i++) {
        entries[i] = rejected_entry(i % 3);
        pointers[i] = &entries[i];
    }
    journal_append(journal, pointers, 8, &deadline);
    for (unsigned i = 0; i < 8; i++)
        check(entries[i], DISPOSITION_REJECTED, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(times(i), 1);
    journal_free(journal);
}

static void kept_once_whatever_happens_between(void **state) {
    static const char *const acts[] = {":",
                                       "rm -r seen",
                                       "rm -f seen/00",
                                       "cp -p seen/state copy && mv copy seen/state",
                                       "dd if=/dev/zero of=seen/00 bs=512 count=4 conv=notrunc status=none",
                                       "cp -a rejected copy && rm -r rejected && mv copy rejected"};
    struct journal *journal = open_worker(state);
    disk.boot = "before";
    for (size_t i = 0; i < 2 * sizeof acts / sizeof *acts; i++) {
        unsigned number = 10 * (unsigned)i;
        check(append_number(journal, number + 1), DISPOSITION_STORED, i + 1);
        check(reject(journal, number), DISPOSITION_REJECTED, 0);
        clock_now += A_DAY; /* and on another day */
        check(reject(journal, number + 1), DISPOSITION_REJECTED, 0);
        run("cd '%s' && %s", directory, acts[i / 2]);
        disk.boot = i % 4 == 3 ? "after" : "before";
        journal = i % 2 == 1 ? again(journal) : journal;
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned old = 0; old <= number; old += 10) {
                check(reject(journal, old), DISPOSITION_REJECTED, 0);
                check(reject(journal, old + 1), DISPOSITION_REJECTED, 0);
                assert_int_equal(times(old), 1);
                assert_int_equal(times(old + 1), 1);
            }
    }
    journal_free(journal);
}

/* The index starts over because none of its days is left. */
static void kept_once_when_all_days_are_gone(void **state) {
    struct journal *journal = open_worker(state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    run("rm '%s'/*.jsonl", directory);
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    assert_int_equal(times(1), 1);
    journal_free(journal);
}

static void two_workers_keep_it_once(void **state) {
    struct journal *journal = open_worker(state), *other = open_journal(directory);
    for (unsigned i = 0; i < 50; i++) {
        check(reject(i % 2 == 0 ? journal : other, i), DISPOSITION_REJECTED, 0);
        check(reject(i % 2 == 0 ? other : journal, i), DISPOSITION_REJECTED, 0);
    }
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(times(i), 1);
    journal_free(journal);
    journal_free(other);
}

/* ---- identity is a name ---- */

static void a_removed_delivery_is_kept_again(void **state) {
    static const char *const acts[] = {
        "rm -r rejected",
        "mv rejected away",
        "rm rejected/" FIRST,
        "mv rejected/" FIRST " rejected/saved",
        "mv rejected/" FIRST " away && : >rejected/" FIRST,
        "cp -a rejected copy && mv rejected old && mv copy rejected && : >rejected/" FIRST};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        struct journal *journal = open_worker(state);
        check(reject(journal, 1), DISPOSITION_REJECTED, 0);
        run("cd '%s' && %s", directory, acts[i]);
        for (unsigned turn = 0; turn < 3; turn++) {
            check(reject(journal, 1), DISPOSITION_REJECTED, 0);
            check(reject(journal, 2), DISPOSITION_REJECTED, 0);
            run("test $(grep -c %s '%s/rejected/" FIRST "') = 1", signature_of(1), directory);
            run("test $(grep -c %s '%s/rejected/" FIRST "') = 1", signature_of(2), directory);
            journal = again(journal);
        }
        journal_free(journal);
        run("rm -r '%s'/*", directory);
    }
}

/* ---- errors ---- */

static void it_is_on_the_disk_or_an_error(void **state) {
    struct journal *journal = open_worker(state);
    disk.failing_syncs = 1;
    check(reject(journal, 1), DISPOSITION_REJECTED, 0); /* it was written again */
    disk.failing_syncs = 2;
    check(reject(journal, 2), DISPOSITION_UNAVAILABLE, 0);
    disk.failing_syncs = 1;
    check(reject(journal, 2), DISPOSITION_UNAVAILABLE, 0);
    check(reject(journal, 2), DISPOSITION_REJECTED, 0);
    assert_int_equal(times(1), 1);
    assert_int_equal(times(2), 1);
    journal_free(journal);
}

/* A failed sync may have dropped the line: it is written again before it is acknowledged. */
static void a_line_lost_by_the_disk_is_written_again(void **state) {
    struct journal *journal = open_worker(state);
    disk.failing_syncs = 2;
    check(reject(journal, 1), DISPOSITION_UNAVAILABLE, 0);
    memset(disk.calls, 0, sizeof disk.calls);
    struct stat before, after;
    assert_int_equal(stat(path_in(directory, "rejected/" FIRST), &before), 0);
    nanosleep(&(struct timespec){.tv_nsec = 12000000}, NULL);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    assert_int_equal(stat(path_in(directory, "rejected/" FIRST), &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_true(before.st_mtim.tv_nsec != after.st_mtim.tv_nsec);
    assert_string_equal(data_calls(), "s");
    journal_free(journal);
}

static void an_error_is_not_an_absence(void **state) {
    struct stat status;
    struct journal *journal = open_worker(state);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    assert_int_equal(stat(path_in(directory, "rejected/" FIRST), &status), 0);
    disk.unreadable = status.st_ino;
    check(reject(journal, 1), DISPOSITION_UNAVAILABLE, 0);
    clock_now += A_DAY; /* now it would go to another file */
    check(reject(journal, 1), DISPOSITION_UNAVAILABLE, 0);
    clock_now = DAY_ONE;
    disk.unreadable = 0;
    run("cd '%s/rejected' && mv " FIRST " saved && mkdir " FIRST, directory);
    check(reject(journal, 1), DISPOSITION_UNAVAILABLE, 0);
    check_by_another(directory, 1, DISPOSITION_STORED, 1); /* which is independent */
    run("cd '%s/rejected' && rmdir " FIRST " && mv saved " FIRST, directory);
    run("cd '%s' && mv rejected saved && : >rejected", directory);
    check(reject(journal, 1), DISPOSITION_UNAVAILABLE, 0);
    run("cd '%s' && rm rejected && mv saved rejected", directory);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    assert_int_equal(times(1), 1);
    journal_free(journal);
}

static void its_name_is_synced_before_the_first_line(void **state) {
    struct journal *journal = open_worker(state);
    mkdir(path_in(directory, "rejected"), 0700); /* their creator was killed */
    write_file(path_in(directory, "rejected/" FIRST), "", 0, 0600);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    memset(disk.calls, 0, sizeof disk.calls);
    check(reject(journal, 1), DISPOSITION_REJECTED, 0);
    assert_memory_equal(disk.calls, "nn", 2);
    assert_string_equal(data_calls(), "ws");
    check(reject(journal, 2), DISPOSITION_REJECTED, 0);
    assert_string_equal(data_calls(), "wsws");
    journal_free(journal);
}

/* However much of rejected/ is not indexed yet, the lock is not held longer than a delivery may wait. */
static void unindexed_lines_do_not_hold_the_lock_past_the_deadline(void **state) {
    struct journal *journal = open_worker(state);
    for (unsigned i = 0; i < 5; i++)
        check(reject(journal, i), DISPOSITION_REJECTED, 0);
    run("rm -r '%s/seen'", directory);
    struct entry entry = rejected_entry(3), *entries[] = {&entry};
    struct deadline deadline = {.at = monotonic_now()};
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_non_null(strstr(entry.reason.text, "please wait"));
    check(reject(journal, 3), DISPOSITION_REJECTED, 0);
    assert_int_equal(times(3), 1);
    journal_free(journal);
}

/* ---- too old ---- */

#define HOUR (3600 * SECOND)

static struct event event_of_time;

/* Event `number`, sent at `sent`, with a limit of one hour. */
static struct entry append_sent(struct journal *journal, unsigned number, int64_t sent, int64_t known_time) {
    static char body[512];
    event_of_time = (struct event){.has_time = sent != 0, .time = sent};
    snprintf(event_of_time.request_id, EVENT_FIELD_SIZE, "request-%u", number);
    snprintf(event_of_time.id, EVENT_FIELD_SIZE, "event-%u", number);
    int length = snprintf(body, sizeof body,
                          "{\"meta\":{\"request_id\":\"%s\"},\"data\":{\"id\":\"%s\",\"type\":\"t\"}}",
                          event_of_time.request_id, event_of_time.id);
    struct entry entry = {.body = body,
                          .length = (size_t)length,
                          .key = "9f86d081",
                          .signature = signature_of(number),
                          .received_at = clock_now,
                          .event = &event_of_time},
                 *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    entry_set_age(&entry, 3600, known_time);
    journal_append(journal, entries, 1, &deadline);
    return entry;
}

static void an_old_event_is_rejected_as_stale_once(void **state) {
    struct journal *journal = open_worker(state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1); /* received now */
    for (unsigned turn = 0; turn < 3; turn++) {
        struct entry entry = append_sent(journal, 2, clock_now - HOUR - 1, 0);
        check(entry, DISPOSITION_REJECTED, 0);
        assert_string_equal(entry.rejection, "stale");
        assert_int_equal(times(2), 1);
        journal = again(journal);
    }
    check(append_sent(journal, 3, clock_now - HOUR, 0), DISPOSITION_STORED, 2);
    check(append_sent(journal, 4, clock_now + 10 * HOUR, 0), DISPOSITION_STORED,
          3); /* the sender's clock is ahead */
    journal_free(journal);
    assert_int_equal(verify(directory), 3);
}

static void an_event_in_the_journal_is_a_duplicate_at_any_age(void **state) {
    struct journal *journal = open_worker(state);
    check(append_sent(journal, 1, clock_now, 0), DISPOSITION_STORED, 1);
    int64_t sent = clock_now;
    clock_now += 30 * A_DAY;
    check(append_sent(journal, 2, clock_now, 0), DISPOSITION_STORED, 2);
    check(append_sent(journal, 1, sent, 0), DISPOSITION_DUPLICATE, 1);
    journal_free(journal);
}

static void a_wrong_clock_refuses_nothing_permanently(void **state) {
    struct journal *journal = open_worker(state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    int64_t truth = clock_now;
    clock_now += 30 * A_DAY; /* by a clock that ran far ahead */
    struct entry entry = append_sent(journal, 2, truth, 0);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_null(entry.rejection);
    assert_non_null(strstr(entry.reason.text, "clock"));
    assert_int_equal(times(2), 0);
    clock_now = truth + 1;
    check(append_sent(journal, 2, truth, 0), DISPOSITION_STORED, 2);
    journal_free(journal);
}

static void before_the_first_line_a_known_time_decides(void **state) {
    struct journal *journal = open_worker(state);
    int64_t sent = clock_now - 2 * HOUR;
    check(append_sent(journal, 1, sent, 0), DISPOSITION_UNAVAILABLE, 0);
    check(append_sent(journal, 1, sent, sent + HOUR), DISPOSITION_UNAVAILABLE, 0);
    check(append_sent(journal, 1, sent, sent + HOUR + 1), DISPOSITION_REJECTED, 0);
    assert_int_equal(times(1), 1);
    check(append_number(journal, 5), DISPOSITION_STORED, 1);
    check(append_sent(journal, 2, sent, 0), DISPOSITION_REJECTED, 0); /* now its line decides */
    journal_free(journal);
}

static void an_event_without_a_time_is_rejected(void **state) {
    struct journal *journal = open_worker(state);
    struct entry entry = append_sent(journal, 1, 0, 0);
    check(entry, DISPOSITION_REJECTED, 0);
    assert_string_equal(entry.rejection, "meta.time is missing");
    check(append_number(journal, 1), DISPOSITION_STORED, 1); /* without a limit it is an event */
    check(append_sent(journal, 1, 0, 0), DISPOSITION_DUPLICATE, 1);
    journal_free(journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(a_line_has_every_field),
        JOURNAL_TEST(a_torn_line_affects_no_other),
        JOURNAL_TEST(kept_once_in_a_batch),
        JOURNAL_TEST(kept_once_whatever_happens_between),
        JOURNAL_TEST(kept_once_when_all_days_are_gone),
        JOURNAL_TEST(two_workers_keep_it_once),
        JOURNAL_TEST(a_removed_delivery_is_kept_again),
        JOURNAL_TEST(it_is_on_the_disk_or_an_error),
        JOURNAL_TEST(a_line_lost_by_the_disk_is_written_again),
        JOURNAL_TEST(an_error_is_not_an_absence),
        JOURNAL_TEST(its_name_is_synced_before_the_first_line),
        JOURNAL_TEST(unindexed_lines_do_not_hold_the_lock_past_the_deadline),
        JOURNAL_TEST(an_old_event_is_rejected_as_stale_once),
        JOURNAL_TEST(an_event_in_the_journal_is_a_duplicate_at_any_age),
        JOURNAL_TEST(a_wrong_clock_refuses_nothing_permanently),
        JOURNAL_TEST(before_the_first_line_a_known_time_decides),
        JOURNAL_TEST(an_event_without_a_time_is_rejected),
    };
    return cmocka_run_group_tests_name("rejected", tests, NULL, NULL);
}
