/* Identity is the file name: whatever an operator does to the files while workers have them open, events are
 * stored in the file with the name, and none is stored twice. */
#include "deliveries.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *directory;

/* A journal of two days, events 1 to 10 and 11 to 20, opened by a worker. */
static struct journal *open_worker(void **state) {
    directory = *state;
    struct journal *journal = open_journal(directory);
    for (unsigned i = 1; i <= 20; i++) {
        clock_now += i == 11 ? A_DAY : 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
    }
    return journal;
}

static bool holds(const char *name, unsigned number) {
    char wanted[64];
    size_t length;
    snprintf(wanted, sizeof wanted, "\"request-%u\"", number);
    char *text = read_file(path_in(directory, name), &length);
    bool found = strstr(text, wanted) != NULL;
    free(text);
    return found;
}

/* The worker and a later one continue: old events are known, new ones are stored once, under the name. */
static void check_continues(struct journal *journal, unsigned from, unsigned to, unsigned seq) {
    check_known(journal, from, to);
    check(append_number(journal, 100), DISPOSITION_STORED, seq);
    assert_true(holds(SECOND_DAY, 100));
    check(append_number(journal, 100), DISPOSITION_DUPLICATE, seq);
    check_by_another(directory, 100, DISPOSITION_DUPLICATE, seq);
    check_by_another(directory, 101, DISPOSITION_STORED, seq + 1);
    check(append_number(journal, 101), DISPOSITION_DUPLICATE, seq + 1);
    check_known(journal, from, to);
    journal_free(journal);
    verify(directory);
}

static void the_newest_segment_is_renamed(void **state) {
    struct journal *journal = open_worker(state);
    run("mv '%s/" SECOND_DAY "' '%s/saved'", directory, directory);
    check_continues(journal, 1, 10, 21);
    assert_false(holds("saved", 100));
}

static void the_newest_segment_is_deleted_while_open(void **state) {
    struct journal *journal = open_worker(state);
    run("ln '%s/" SECOND_DAY "' '%s/saved' && rm '%s/" SECOND_DAY "'", directory, directory, directory);
    check_continues(journal, 1, 10, 21);
    assert_false(holds("saved", 100));
}

static void the_newest_segment_is_replaced_by_a_copy(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s' && cp -p " SECOND_DAY " copy && mv " SECOND_DAY " saved && mv copy " SECOND_DAY, directory);
    check_continues(journal, 1, 20, 21);
    assert_false(holds("saved", 100));
}

static void an_older_segment_is_replaced_by_a_copy(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s' && cp -p " FIRST " copy && mv " FIRST " saved && mv copy " FIRST, directory);
    check_continues(journal, 1, 20, 21);
}

static void all_segments_are_moved_away(void **state) {
    struct journal *journal = open_worker(state);
    run("mkdir '%s/away' && mv '%s'/*.jsonl '%s/away'", directory, directory, directory);
    check(append_number(journal, 5), DISPOSITION_STORED, 21); /* no longer in the journal */
    check(append_number(journal, 5), DISPOSITION_DUPLICATE, 21);
    check_by_another(directory, 5, DISPOSITION_DUPLICATE, 21);
    journal_free(journal);
    assert_int_equal(read_journal(directory).lines, 1);
}

static void an_empty_directory_takes_the_place(void **state) {
    struct journal *journal = open_worker(state);
    run("mv '%s' '%s.away' && mkdir '%s'", directory, directory, directory);
    check(append_number(journal, 5), DISPOSITION_STORED, 1);
    assert_true(holds(SECOND_DAY, 5));
    check_by_another(directory, 5, DISPOSITION_DUPLICATE, 1);
    run("rm -r '%s' && mv '%s.away' '%s'", directory, directory, directory);
    check_continues(journal, 1, 20, 21);
}

/* A copy of hard links has the same lock file, index and segments, but its own names. */
static void a_copy_of_hard_links_takes_the_place(void **state) {
    struct journal *journal = open_worker(state);
    run("cp -al '%s' '%s.away' && mv '%s' '%s.old' && mv '%s.away' '%s'", directory, directory, directory,
        directory, directory, directory);
    run("rm '%s.old/" SECOND_DAY "' '%s/" SECOND_DAY "'", directory, directory);
    check_continues(journal, 1, 10, 21);
    run("test ! -e '%s.old/" SECOND_DAY "' && rm -r '%s.old'", directory, directory);
}

static void the_lock_file_is_replaced(void **state) {
    struct journal *journal = open_worker(state);
    check(append_number(journal, 20), DISPOSITION_DUPLICATE, 20);
    run("cd '%s' && mv lock old && : >lock", directory);
    check(append_number(journal, 20), DISPOSITION_DUPLICATE, 20);
    /* Only the lock file that has the name excludes this process. */
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t holder = fork();
    if (holder == 0) {
        int lock = open(path_in(directory, "lock"), O_RDWR);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(lock, F_SETLK, &whole) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        alarm(60); /* ends the child if the test fails */
        pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct entry entry = {.rejection = "held", .signature = SIGNATURE, .key = "", .body = "", .length = 0};
    struct entry *entries[] = {&entry};
    struct deadline deadline = {.at = monotonic_now() + SECOND / 10};
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    check_continues(journal, 1, 20, 21);
}

static void the_state_of_the_index_is_replaced(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s/seen' && cp -p state copy && mv copy state", directory);
    check_continues(journal, 1, 20, 21);
}

static void a_table_of_the_index_is_replaced(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s/seen' && cp -p 00 copy && mv copy 00", directory);
    check_by_another(directory, 7, DISPOSITION_DUPLICATE, 7);
    check_continues(journal, 1, 20, 21);
}

static void the_index_is_replaced_by_one_of_another_journal(void **state) {
    struct journal *journal = open_worker(state);
    run("mkdir '%s.other'", directory);
    char other[512];
    snprintf(other, sizeof other, "%s.other", directory);
    for (unsigned i = 1; i <= 30; i++)
        check_by_another(other, 200 + i, DISPOSITION_STORED, i);
    run("cd '%s' && rm -r seen && mv '%s/seen' seen && rm -r '%s'", directory, other, other);
    check_known(journal, 1, 20);
    struct entry entry = append_number(journal, 201);
    assert_int_equal(entry.disposition, DISPOSITION_STORED);
    check_by_another(directory, 201, DISPOSITION_DUPLICATE, entry.seq);
    journal_free(journal);
    assert_int_equal(verify(directory), 21);
}

/* ---- between the write and the answer ---- */

static struct entry entry_of_hundred(struct event *event, char *body, size_t size) {
    memset(event, 0, sizeof *event);
    snprintf(event->request_id, EVENT_FIELD_SIZE, "request-100");
    snprintf(event->id, EVENT_FIELD_SIZE, "event-100");
    int length =
        snprintf(body, size, "{\"meta\":{\"request_id\":\"%s\"},\"data\":{\"id\":\"%s\",\"type\":\"test\"}}",
                 event->request_id, event->id);
    return (struct entry){.body = body,
                          .length = (size_t)length,
                          .key = "9f86d081",
                          .signature = SIGNATURE,
                          .received_at = clock_now,
                          .event = event};
}

/* Runs `act` on the newest segment between journal_write() and journal_sync(). */
static struct entry disturb(struct journal *journal, const char *act) {
    static struct event event;
    static char body[512];
    struct entry entry = entry_of_hundred(&event, body, sizeof body), *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    journal_write(journal, entries, 1, &deadline);
    run("cd '%s' && %s", directory, act);
    journal_sync(journal);
    return entry;
}

static void start_again(void) {
    run("rm -r '%s' && cp -a '%s.saved' '%s'", directory, directory, directory);
}

static void an_overwritten_line_is_not_acknowledged(void **state) {
    static const char *const acts[] = {
        "printf '%%-200s' '{\"seq\":21,' | dd of=" SECOND_DAY " bs=1 conv=notrunc status=none seek=%zu",
        "printf '{' | dd of=" SECOND_DAY " bs=1 conv=notrunc status=none seek=%zu",
        "head -c 300 /dev/zero | dd of=" SECOND_DAY " bs=1 conv=notrunc status=none seek=%zu",
        "truncate -s %zu " SECOND_DAY};
    struct journal *journal = open_worker(state);
    size_t size = size_of(path_in(directory, SECOND_DAY));
    run("cp -a '%s' '%s.saved'", directory, directory);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        char act[256];
        snprintf(act, sizeof act, acts[i], size + (i == 1 ? 1 : 0));
        check(disturb(journal, act), DISPOSITION_UNAVAILABLE, 0);
        struct entry entry = append_number(journal, 100);
        assert_int_equal(entry.disposition, DISPOSITION_STORED);
        check_by_another(directory, 100, DISPOSITION_DUPLICATE, entry.seq);
        read_journal(directory);
        start_again();
    }
    journal_free(journal);
    run("rm -r '%s.saved'", directory);
}

static void a_line_in_a_moved_segment_is_not_acknowledged(void **state) {
    static const char *const acts[] = {"mv " SECOND_DAY " moved", "rm " SECOND_DAY,
                                       "cp " SECOND_DAY " copy && mv copy " SECOND_DAY,
                                       "head -n 20 " SECOND_DAY " >copy && mv copy " SECOND_DAY};
    struct journal *journal = open_worker(state);
    run("cp -a '%s' '%s.saved'", directory, directory);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        check(disturb(journal, acts[i]), DISPOSITION_UNAVAILABLE, 0);
        struct entry entry = append_number(journal, 100);
        assert_true(entry.disposition == DISPOSITION_STORED || entry.disposition == DISPOSITION_DUPLICATE);
        assert_true(holds(SECOND_DAY, 100));
        read_journal(directory);
        start_again();
    }
    journal_free(journal);
    run("rm -r '%s.saved'", directory);
}

/* ---- a name on the disk ---- */

static void the_name_is_synced_before_the_first_line(void **state) {
    directory = *state;
    struct journal *journal = open_journal(directory);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    char *name = strrchr(disk.calls, 'n'), *line = strchr(disk.calls, 'w');
    assert_true(name != NULL && line != NULL && name < line);
    memset(disk.calls, 0, sizeof disk.calls);
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    assert_string_equal(data_calls(), "ws");
    journal_free(journal);
}

/* The process that created the file was killed before its name was on the disk. */
static void the_name_of_an_empty_file_is_synced(void **state) {
    directory = *state;
    check_by_another(directory, 1, DISPOSITION_STORED, 1);
    write_file(path_in(directory, SECOND_DAY), "", 0, 0600);
    clock_now += A_DAY;
    struct journal *journal = open_journal(directory);
    check(append_number(journal, 1), DISPOSITION_DUPLICATE, 1); /* notices the file */
    memset(disk.calls, 0, sizeof disk.calls);
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    assert_memory_equal(disk.calls, "n", 1);
    assert_string_equal(data_calls(), "ws");
    journal_free(journal);
}

/* The operator's copy may be there without a sync of the directory. */
static void the_name_of_a_replaced_file_is_synced(void **state) {
    struct journal *journal = open_worker(state);
    run("cd '%s' && cp " SECOND_DAY " copy && mv copy " SECOND_DAY, directory);
    memset(disk.calls, 0, sizeof disk.calls);
    check(append_number(journal, 20), DISPOSITION_DUPLICATE, 20);
    assert_memory_equal(disk.calls, "n", 1);
    assert_string_equal(data_calls(), "s");
    check(append_number(journal, 21), DISPOSITION_STORED, 21);
    assert_string_equal(data_calls(), "sws");
    journal_free(journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(the_newest_segment_is_renamed),
        JOURNAL_TEST(the_newest_segment_is_deleted_while_open),
        JOURNAL_TEST(the_newest_segment_is_replaced_by_a_copy),
        JOURNAL_TEST(an_older_segment_is_replaced_by_a_copy),
        JOURNAL_TEST(all_segments_are_moved_away),
        JOURNAL_TEST(an_empty_directory_takes_the_place),
        JOURNAL_TEST(a_copy_of_hard_links_takes_the_place),
        JOURNAL_TEST(the_lock_file_is_replaced),
        JOURNAL_TEST(the_state_of_the_index_is_replaced),
        JOURNAL_TEST(a_table_of_the_index_is_replaced),
        JOURNAL_TEST(the_index_is_replaced_by_one_of_another_journal),
        JOURNAL_TEST(an_overwritten_line_is_not_acknowledged),
        JOURNAL_TEST(a_line_in_a_moved_segment_is_not_acknowledged),
        JOURNAL_TEST(the_name_is_synced_before_the_first_line),
        JOURNAL_TEST(the_name_of_an_empty_file_is_synced),
        JOURNAL_TEST(the_name_of_a_replaced_file_is_synced),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
