/* The boot id may be unknown, or change with every process: answers stay correct, and the amount read again
 * stays bounded. */
#include "deliveries.h"

#include "index/index.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 400       /* bytes; no line in this test is longer */
#define READ_AGAIN 512 /* lines that may be read again */

static char *directory;

static void set_up_journal(void **state, unsigned lines) {
    struct journal *journal;
    directory = *state;
    disk.boot = "before";
    journal = open_journal(directory);
    for (unsigned i = 1; i <= lines; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    journal_free(journal);
}

/* A child process delivers `count` new events, one by one, and does its background work. Returns the bytes
 * that it read for the first. */
static unsigned long deliver_some(unsigned number, unsigned count, enum disposition disposition) {
    struct deadline deadline = distant_deadline();
    struct reason reason = {""};
    struct journal *journal = open_journal(directory);
    disk.read = 0;
    check(append_number(journal, number), disposition, number);
    unsigned long read = disk.read;
    for (unsigned i = 1; i < count; i++)
        check(append_number(journal, number + i), disposition, number + i);
    assert_int_equal(journal_upkeep(journal, &deadline, &reason), 0);
    journal_free(journal);
    return read;
}

static unsigned long deliver(unsigned number, enum disposition disposition) {
    return deliver_some(number, 1, disposition);
}

static void one_shot_after_one_shot(void **state, const char *const boots[], size_t count) {
    unsigned long most = 0;
    unsigned done = 0;
    set_up_journal(state, 1500);
    for (unsigned i = 0, some = 1; done < 700; i++, done += some, some = i % 8 + 1) {
        disk.boot = boots[i % count];
        unsigned long read = deliver_some(1501 + done, some, DISPOSITION_STORED);
        if (i > 2) /* the first one reads the whole journal, because it was never synced */
            most = read > most ? read : most;
        if (i % 25 == 0)
            deliver(1 + i, DISPOSITION_DUPLICATE);
    }
    /* A line is read in overlapping blocks, so some bytes are read twice. */
    assert_in_range(most, 1, 2 * (READ_AGAIN + 64) * LINE);
    assert_int_equal(verify(directory), 1500 + done);
}

static void an_unknown_boot_id(void **state) {
    one_shot_after_one_shot(state, (const char *const[]){""}, 1);
}

static void alternating_boot_ids(void **state) {
    one_shot_after_one_shot(state, (const char *const[]){"one", "two"}, 2);
}

/* Two long-running workers without a boot id. */
static void two_workers_without_a_boot_id(void **state) {
    set_up_journal(state, 1000);
    disk.boot = "";
    struct journal *both[] = {open_journal(directory), open_journal(directory)};
    unsigned long most = 0;
    for (unsigned i = 0; i < 1000; i++) {
        struct deadline deadline = distant_deadline();
        disk.read = 0;
        check(append_number(both[i % 2], 1001 + i), DISPOSITION_STORED, 1001 + i);
        if (i > 100)
            most = disk.read > most ? disk.read : most;
        assert_int_equal(journal_upkeep(both[i / 2 % 2], &deadline, NULL), 0);
    }
    assert_in_range(most, 1, 2 * (READ_AGAIN + 64) * LINE);
    journal_free(both[0]);
    journal_free(both[1]);
    assert_int_equal(verify(directory), 2000);
}

/* After a real reboot much is read again once, and not by the next process. */
static void a_reboot_is_costly_only_once(void **state) {
    set_up_journal(state, 3000);
    disk.boot = "after";
    assert_true(deliver(3001, DISPOSITION_STORED) > 3000 * 200);
    disk.boot = "after that";
    assert_in_range(deliver(3002, DISPOSITION_STORED), 1, 64 * LINE);
    for (unsigned i = 1; i <= 3002; i += 300)
        deliver(i, DISPOSITION_DUPLICATE);
}

/* The index and the journal both lost data in a crash. */
static void after_a_crash_only_what_was_synced_counts(void **state) {
    set_up_journal(state, 300);
    run("cd '%s/seen' && for table in 0*; do head -c $(stat -c %%s $table) /dev/zero >zeros; cat zeros "
        ">$table; done",
        directory);
    disk.boot = "after";
    for (unsigned i = 1; i <= 300; i++)
        deliver(i, DISPOSITION_DUPLICATE);
    deliver(301, DISPOSITION_STORED);
    assert_int_equal(verify(directory), 301);
}

/* ---- a network file system ---- */

/* Nothing stays open between locks, and checkpoints are still made. */
static void a_remote_journal_is_opened_each_time(void **state) {
    directory = *state;
    disk.remote = true;
    struct journal *journal = open_journal(directory), *other = open_journal(directory);
    for (unsigned i = 1; i <= 60; i += 2) {
        check(append_number(journal, i), DISPOSITION_STORED, i);
        check(append_number(other, i), DISPOSITION_DUPLICATE, i);
        check(append_number(other, i + 1), DISPOSITION_STORED, i + 1);
        check(append_number(journal, i + 1), DISPOSITION_DUPLICATE, i + 1);
        clock_now += i == 31 ? A_DAY : 0;
    }
    run("mv '%s' '%s.away' && cp -a '%s.away' '%s'", directory, directory, directory, directory);
    check(append_number(journal, 61), DISPOSITION_STORED, 61);
    check(append_number(other, 61), DISPOSITION_DUPLICATE, 61);
    journal_free(journal);
    journal_free(other);
    assert_int_equal(verify(directory), 61);
    run("rm -r '%s.away'", directory);
}

/* Locally, files stay open; remotely, the lock, the segment, the state and a table are opened each time. */
static void only_a_remote_journal_is_opened_again(void **state) {
    directory = *state;
    for (unsigned remote = 0; remote < 2; remote++) {
        disk.remote = remote == 1;
        struct journal *journal = open_journal(directory);
        (void)append_number(journal, 1);
        run("touch -d yesterday '%s'", directory); /* its modification time is in the past */
        (void)append_number(journal, 1);
        disk.opened = 0;
        check(append_number(journal, 1), DISPOSITION_DUPLICATE, 1);
        if (remote == 0)
            assert_int_equal(disk.opened, 0);
        else
            assert_true(disk.opened >= 4);
        journal_free(journal);
    }
}

/* All lines are on the server before the lock is released. */
static void remote_lines_are_sent_with_the_lock_held(void **state) {
    directory = *state;
    disk.remote = true;
    struct journal *journal = open_journal(directory);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    struct entry entry = {.body = "x",
                          .length = 1,
                          .key = "9f86d081",
                          .signature = SIGNATURE,
                          .rejection = "no"},
                 *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    memset(disk.calls, 0, sizeof disk.calls);
    journal_write(journal, entries, 1, &deadline);
    assert_non_null(strstr(disk.calls, "wss")); /* the newest segment, and the file in rejected/ */
    journal_sync(journal);
    check(entry, DISPOSITION_REJECTED, 0);
    memset(disk.calls, 0, sizeof disk.calls);
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    assert_non_null(strstr(disk.calls, "wss")); /* under the lock, and for the answer */
    journal_free(journal);
}

static void a_remote_index_is_synced_too(void **state) {
    directory = *state;
    disk.remote = true;
    set_up_journal(state, 2000);
    run("rm -r '%s/seen'", directory);
    deliver(2001, DISPOSITION_STORED); /* reads much, so a whole step follows */
    struct index *index = index_new(0);
    int fd = open(directory, O_RDONLY | O_DIRECTORY);
    struct reach reach;
    disk.boot = "after a power failure";
    assert_int_equal(index_begin(index, fd, NULL), 0);
    index_reach(index, &reach);
    assert_int_equal(reach.mark.position.offset, size_of(path_in(directory, FIRST)));
    index_free(index);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(an_unknown_boot_id),
        JOURNAL_TEST(alternating_boot_ids),
        JOURNAL_TEST(two_workers_without_a_boot_id),
        JOURNAL_TEST(a_reboot_is_costly_only_once),
        JOURNAL_TEST(after_a_crash_only_what_was_synced_counts),
        JOURNAL_TEST(a_remote_journal_is_opened_each_time),
        JOURNAL_TEST(only_a_remote_journal_is_opened_again),
        JOURNAL_TEST(remote_lines_are_sent_with_the_lock_held),
        JOURNAL_TEST(a_remote_index_is_synced_too),
    };
    return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
