#include "deliveries.h"

#include "index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- once ---- */

static void events_are_numbered_and_chained(void **state) {
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 200; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    journal_free(journal);
    assert_int_equal(verify(*state), 200);
}

static void either_identifier_makes_a_duplicate(void **state) {
    struct journal *journal = open_journal(*state);
    check(append_one(journal, "r1", "e1"), DISPOSITION_STORED, 1);
    check(append_one(journal, "r2", "e2"), DISPOSITION_STORED, 2);
    check(append_one(journal, "r1", "e1"), DISPOSITION_DUPLICATE, 1);
    check(append_one(journal, "r2", "e9"), DISPOSITION_DUPLICATE, 2);
    check(append_one(journal, "r9", "e1"), DISPOSITION_DUPLICATE, 1);
    check(append_one(journal, "e1", "r1"), DISPOSITION_STORED,
          3); /* identifiers of different kinds are distinct */
    journal_free(journal);
    assert_int_equal(verify(*state), 3);
}

static void a_batch_is_judged_entry_by_entry(void **state) {
    struct journal *journal = open_journal(*state);
    struct entry entries[6];
    check(append_one(journal, "old", "old"), DISPOSITION_STORED, 1);
    append_pairs(
        journal,
        (const char *const[][2]){{"a", "1"}, {"a", "2"}, {"b", "1"}, {"old", "3"}, {"c", "4"}, {"d", "4"}}, 6,
        entries);
    check(entries[0], DISPOSITION_STORED, 2);
    check(entries[1], DISPOSITION_DUPLICATE, 2);
    check(entries[2], DISPOSITION_DUPLICATE, 2);
    check(entries[3], DISPOSITION_DUPLICATE, 1);
    check(entries[4], DISPOSITION_STORED, 3);
    check(entries[5], DISPOSITION_DUPLICATE, 3);
    journal_free(journal);
    assert_int_equal(verify(*state), 3);
}

static void on_a_slow_disk_a_batch_prefetches_its_buckets(void **state) {
    static const char *const pairs[8][2] = {{"a", "1"}, {"b", "2"}, {"request-5", "3"}, {"d", "4"},
                                            {"e", "5"}, {"f", "6"}, {"g", "event-9"},   {"h", "8"}};
    struct journal *journal = open_journal(*state);
    struct entry entries[8];
    for (unsigned i = 1; i <= 400; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    assert_int_equal(disk.prefetched, 0); /* not for a single event */
    disk.slow_reads = true;
    append_pairs(journal, pairs, 8, entries);
    disk.slow_reads = false;
    check(entries[2], DISPOSITION_DUPLICATE, 5);
    check(entries[6], DISPOSITION_DUPLICATE, 9);
    check(entries[7], DISPOSITION_STORED, 406);
    assert_true(disk.prefetched >
                2 * 4); /* two identifiers of each of the last four, in more than one table */
    journal_free(journal);
    assert_int_equal(verify(*state), 406);
}

static void duplicates_are_known_across_days_and_restarts(void **state) {
    struct journal *journal = open_journal(*state);
    for (unsigned day = 0; day < 5; day++, clock_now += A_DAY)
        for (unsigned i = 1; i <= 20; i++)
            check(append_number(journal, day * 20 + i), DISPOSITION_STORED, day * 20 + i);
    journal_free(journal);
    journal = open_journal(*state);
    for (unsigned i = 1; i <= 100; i++)
        check(append_number(journal, i), DISPOSITION_DUPLICATE, i);
    journal_free(journal);
    assert_int_equal(verify(*state), 100);
}

static void two_handles_see_each_other(void **state) {
    struct journal *a = open_journal(*state), *b = open_journal(*state);
    for (unsigned i = 1; i < 100; i += 2) {
        check(append_number(a, i), DISPOSITION_STORED, i);
        check(append_number(b, i), DISPOSITION_DUPLICATE, i);
        check(append_number(b, i + 1), DISPOSITION_STORED, i + 1);
        if (i == 51)
            clock_now += A_DAY;
    }
    journal_free(a);
    journal_free(b);
    assert_int_equal(verify(*state), 100);
}

static void many_processes_write_at_once(void **state) {
    enum { PROCESSES = 8, EVENTS = 60 };
    pid_t children[PROCESSES];
    for (unsigned p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] == 0) {
            struct journal *journal = open_journal(*state);
            int wrong = 0;
            for (unsigned i = 0; i < EVENTS; i++) { /* two processes send each event */
                struct entry entry = append_number(journal, (p / 2) * EVENTS + i);
                wrong |=
                    entry.disposition != DISPOSITION_STORED && entry.disposition != DISPOSITION_DUPLICATE;
            }
            journal_free(journal);
            _exit(wrong);
        }
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status;
        assert_int_equal(waitpid(children[p], &status, 0), children[p]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(verify(*state), PROCESSES / 2 * EVENTS);
}

static void a_clock_set_back_does_not_open_an_earlier_day(void **state) {
    struct journal *journal = open_journal(*state);
    clock_now += A_DAY;
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    clock_now -= A_DAY;
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    journal_free(journal);
    journal = open_journal(*state);
    check(append_number(journal, 3), DISPOSITION_STORED, 3);
    journal_free(journal);
    assert_int_equal(access(path_in(*state, FIRST), F_OK), -1);
    assert_int_equal(verify(*state), 3);
}

/* ---- after a crash ---- */

/* Leaves 5 lines of day one in the journal. */
static void five_lines(const char *path) {
    struct journal *journal = open_journal(path);
    for (unsigned i = 1; i <= 5; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    journal_free(journal);
}

/* An old event is still known, and a new one (number 777) gets `seq`. */
static void check_continues(const char *path, uint64_t seq) {
    struct journal *journal = open_journal(path);
    check(append_number(journal, 3), DISPOSITION_DUPLICATE, 3);
    check(append_number(journal, 777), DISPOSITION_STORED, seq);
    check(append_number(journal, 777), DISPOSITION_DUPLICATE, seq);
    journal_free(journal);
}

static void a_torn_tail_is_cut(void **state) {
    size_t length;
    five_lines(*state);
    char *line = read_file(path_in(*state, FIRST), &length);
    size_t whole = strcspn(line, "\n");
    for (size_t torn = 1; torn < whole; torn += 13) { /* the beginning of a line, without its end */
        add_bytes(path_in(*state, FIRST), line, torn);
        struct journal *journal = open_journal(*state);
        struct entry entry = append_number(journal, 1000 + (unsigned)torn);
        assert_int_equal(entry.disposition, DISPOSITION_STORED);
        journal_free(journal);
    }
    free(line);
    verify(*state);
}

/* A killed writer leaves any part of its line, which was never acknowledged. The line is completed if only
 * its line break is missing; otherwise it is removed and not kept. */
static void every_torn_line_is_removed(void **state) {
    size_t known, length;
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 4; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    known = size_of(path_in(*state, FIRST));
    run("cp -a '%s' '%s.saved'", (char *)*state, (char *)*state);
    check(append_number(journal, 5), DISPOSITION_STORED, 5);
    journal_free(journal);
    char *all = read_file(path_in(*state, FIRST), &length);
    for (size_t keep = known + 1; keep < length; keep++) {
        run("rm -rf '%s' && cp -a '%s.saved' '%s'", (char *)*state, (char *)*state, (char *)*state);
        journal = open_journal(*state);
        check_known(journal, 4, 4);
        add_bytes(path_in(*state, FIRST), all + known, keep - known);
        check(append_number(journal, 5), keep == length - 1 ? DISPOSITION_DUPLICATE : DISPOSITION_STORED, 5);
        assert_string_equal(journal_warning(journal), "");
        journal_free(journal);
        assert_int_equal(verify(*state), 5);
        assert_int_not_equal(access(path_in(*state, "damaged"), F_OK), 0);
    }
    free(all);
    run("rm -rf '%s.saved'", (char *)*state);
}

static void zeros_at_the_end_are_cut(void **state) {
    static const char zeros[3 * RECORD_LIMIT];
    static const size_t lengths[] = {1, 100, 8192, RECORD_LIMIT - 1, RECORD_LIMIT, sizeof zeros};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        if (i == 0)
            five_lines(*state);
        add_bytes(path_in(*state, FIRST), zeros, lengths[i]);
        struct journal *journal = open_journal(*state);
        check(append_number(journal, 100 + (unsigned)i), DISPOSITION_STORED, 6 + i);
        journal_free(journal);
        assert_int_equal(verify(*state), 6 + i);
    }
}

static void a_segment_of_garbage_is_handled(void **state) {
    static char garbage[3 * RECORD_LIMIT];
    memset(garbage, 'g', sizeof garbage);
    write_file(path_in(*state, FIRST), garbage, sizeof garbage, 0600);
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    journal_free(journal);
    assert_int_equal(verify(*state), 1);
}

/* Damaged whole lines stay where they are, and their numbers stay used. */
static void damaged_lines_are_kept_and_counted(void **state) {
    five_lines(*state);
    size_t length;
    char *all = read_file(path_in(*state, FIRST), &length);
    for (char *c = all + length - 2; *c != '\n'; c--)
        *c = 'z';
    write_file(path_in(*state, FIRST), all, length, 0600);
    check_continues(*state, 6);
    assert_true(size_of(path_in(*state, FIRST)) > length);
    memset(all, 'z', length); /* no line is left */
    write_file(path_in(*state, FIRST), all, length - 1, 0600);
    add_bytes(path_in(*state, FIRST), "\n", 1);
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_STORED, 7);
    journal_free(journal);
    free(all);
}

static void an_empty_newest_segment_continues_the_chain(void **state) {
    five_lines(*state);
    write_file(path_in(*state, SECOND_DAY), "", 0, 0600);
    clock_now += A_DAY;
    check_continues(*state, 6);
    assert_int_equal(verify(*state), 6);
}

/* ---- the index ---- */

/* Copies one index over another, with the same inode numbers, as if nothing had been written since. */
static void copy_index(const char *path, const char *from, const char *to) {
    run("mkdir -p '%s/%s' && cd '%s/%s' && for file in *; do cat $file >'%s/%s/'$file; done", path, to, path,
        from, path, to);
}

static void a_deleted_index_changes_no_answer(void **state) {
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 300; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    run("rm -rf '%s/seen'", (char *)*state);
    for (unsigned i = 1; i <= 300; i++) /* including a process that had it open */
        check(append_number(journal, i), DISPOSITION_DUPLICATE, i);
    journal_free(journal);
    run("rm -rf '%s/seen'", (char *)*state);
    check_continues(*state, 301);
    assert_int_equal(verify(*state), 301);
}

/* Killed between writing the lines and indexing them: the index is older. */
static void an_outdated_index_catches_up(void **state) {
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 10; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    copy_index(*state, "seen", "saved");
    for (unsigned i = 11; i <= 200; i++) {
        clock_now += i == 100 ? A_DAY : 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
    }
    journal_free(journal);
    copy_index(*state, "saved", "seen");
    journal = open_journal(*state);
    for (unsigned i = 1; i <= 200; i++)
        check(append_number(journal, i), DISPOSITION_DUPLICATE, i);
    journal_free(journal);
}

/* After a power failure: the index reached the disk, the last lines of the journal did not. */
static void an_index_that_is_ahead_is_harmless(void **state) {
    five_lines(*state);
    size_t length;
    char *all = read_file(path_in(*state, FIRST), &length), *second = strchr(all, '\n') + 1;
    write_file(path_in(*state, FIRST), all, (size_t)(second - all), 0600);
    free(all);
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_DUPLICATE, 1);
    for (unsigned i = 2; i <= 5; i++) /* consumers may have seen the numbers 2 to 5 */
        check(append_number(journal, i), DISPOSITION_STORED, i + 4);
    for (unsigned i = 2; i <= 5; i++)
        check(append_number(journal, i), DISPOSITION_DUPLICATE, i + 4);
    journal_free(journal);
    assert_int_equal(verify(*state), 5);
}

static void a_scrambled_index_is_rebuilt(void **state) {
    static const char *const tables[] = {"seen/state", "seen/00", "seen/01", "seen/02"};
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 200; i++)
        check(append_number(journal, i), DISPOSITION_STORED, i);
    for (size_t t = 0; t < 4; t++)
        for (int how = 0; how < 3; how++) {
            size_t length;
            char *bytes = read_file(path_in(*state, tables[t]), &length);
            for (size_t at = 0; at < length; at++)
                bytes[at] = how == 2 ? 0 : (char)(bytes[at] ^ (char)(at * 31 + 7));
            write_file(path_in(*state, tables[t]), bytes, how == 1 ? length / 2 : length, 0600);
            free(bytes);
            for (unsigned i = 1; i <= 200; i++)
                check(append_number(journal, i), DISPOSITION_DUPLICATE, i);
        }
    journal_free(journal);
}

/* Fingerprints that lead to lines of other events, into the middle of lines, and beyond the end: none makes a
 * duplicate. */
static void a_colliding_fingerprint_drops_no_event(void **state) {
    five_lines(*state);
    struct index *index = index_new(FEW);
    int directory = open(*state, O_RDONLY | O_DIRECTORY);
    int32_t day = timestamp_day(DAY_ONE);
    const struct position places[] = {{day, 0}, {day, 5}, {day, 1000000}, {day + 9, 0}};
    assert_int_equal(index_begin(index, directory, NULL), 0);
    uint64_t request = index_fingerprint(index, IDENTIFIER_REQUEST, "request-777", strlen("request-777"));
    uint64_t event = index_fingerprint(index, IDENTIFIER_EVENT, "event-777", strlen("event-777"));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_int_equal(index_insert(index, request, places[i], NULL), 0);
        assert_int_equal(index_insert(index, event, places[i], NULL), 0);
    }
    index_free(index);
    close(directory);
    check_continues(*state, 6);
}

static int any_place(void *context, struct position position) {
    (void)context, (void)position;
    return 1;
}

static void a_checkpoint_is_made_when_due(void **state) {
    struct journal *journal = journal_new(*state, 0);
    struct reason reason = {""};
    struct entry *pointers[JOURNAL_BATCH], entries[JOURNAL_BATCH];
    static struct event events[JOURNAL_BATCH];
    static char bodies[JOURNAL_BATCH][256];
    struct deadline deadline = distant_deadline();
    for (unsigned batch = 0; batch < 100; batch++) { /* 12,800 events, 25,600 identifiers: three steps */
        for (unsigned i = 0; i < JOURNAL_BATCH; i++) {
            unsigned number = batch * JOURNAL_BATCH + i;
            snprintf(events[i].request_id, 32, "r%u", number);
            snprintf(events[i].id, 32, "e%u", number);
            int length =
                snprintf(bodies[i], sizeof bodies[i],
                         "{\"meta\":{\"request_id\":\"r%u\"},\"data\":{\"id\":\"e%u\",\"type\":\"t\"}}",
                         number, number);
            entries[i] = (struct entry){.body = bodies[i],
                                        .length = (size_t)length,
                                        .key = "9f86d081",
                                        .signature = SIGNATURE,
                                        .received_at = DAY_ONE,
                                        .event = &events[i]};
            pointers[i] = &entries[i];
        }
        deadline = distant_deadline();
        journal_append(journal, pointers, JOURNAL_BATCH, &deadline);
        assert_int_equal(entries[0].disposition, DISPOSITION_STORED);
        assert_int_equal(journal_upkeep(journal, &deadline, &reason), 0);
    }
    journal_free(journal);
    struct index *index = index_new(0);
    int directory = open(*state, O_RDONLY | O_DIRECTORY);
    struct reach reach;
    disk.boot = "after a power failure";
    assert_int_equal(index_begin(index, directory, &reason), 0);
    index_reach(index, &reach);
    assert_int_equal(reach.last_seq, 0);
    assert_true(reach.mark.position.offset > 0);
    uint64_t fingerprint = index_fingerprint(index, IDENTIFIER_EVENT, "e4000", 5);
    assert_int_equal(index_find(index, fingerprint, any_place, NULL, &reason), 1);
    index_free(index);
    close(directory);
}

/* ---- errors ---- */

static void a_failed_sync_is_followed_by_rewriting(void **state) {
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    disk.failing_syncs = 1;
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    disk.failing_syncs = 2;
    check(append_number(journal, 3), DISPOSITION_UNAVAILABLE, 0);
    check(append_number(journal, 3), DISPOSITION_DUPLICATE, 3); /* now it is on the disk */
    disk.failing_syncs = 1;
    check(append_number(journal, 3), DISPOSITION_UNAVAILABLE, 0); /* a duplicate is not promised either */
    check(append_number(journal, 3), DISPOSITION_DUPLICATE, 3);
    journal_free(journal);
    assert_int_equal(verify(*state), 3);
}

static size_t kept_by_disk;

/* Simulates a kernel that drops what it could not write: the file holds only what is on the disk. */
static void drop_pages(int fd) {
    char zeros[4096] = {0};
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    for (size_t at = kept_by_disk; at < (size_t)status.st_size; at++)
        assert_int_equal(pwrite(fd, zeros, 1, (off_t)at), 1);
}

static void dropped_pages_lose_nothing_acknowledged(void **state) {
    struct journal *journal = open_journal(*state);
    disk.on_failing_sync = drop_pages;
    for (unsigned i = 1; i <= 20; i++) {
        kept_by_disk = size_of(path_in(*state, FIRST));
        disk.failing_syncs = i % 3 == 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
    }
    kept_by_disk = size_of(path_in(*state, FIRST));
    disk.failing_syncs = 2;
    check(append_number(journal, 21), DISPOSITION_UNAVAILABLE, 0);
    disk.on_failing_sync = NULL;
    check(append_number(journal, 21), DISPOSITION_STORED, 22); /* gone from the file: cut, and stored again */
    journal_free(journal);
    assert_int_equal(verify(*state), 21);
}

static void a_full_disk_leaves_no_partial_line(void **state) {
    struct rlimit limit, saved;
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    size_t size = size_of(path_in(*state, FIRST));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
    /* Here the index file is larger than the journal, and already has its full size. */
    for (size_t room = 0; room < size; room += 50) {
        limit = (struct rlimit){.rlim_cur = size + room, .rlim_max = saved.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        struct entry entry = append_number(journal, 2);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
        check(entry, DISPOSITION_UNAVAILABLE, 0);
        assert_true(entry.reason.text[0] != '\0');
        assert_int_equal(size_of(path_in(*state, FIRST)), size);
    }
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    journal_free(journal);
    assert_int_equal(verify(*state), 2);
}

static void a_missing_directory_is_an_error_until_it_exists(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/later", (char *)*state);
    struct journal *journal = open_journal(path);
    struct entry entry = append_number(journal, 1);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_non_null(strstr(entry.reason.text, path));
    assert_int_equal(mkdir(path, 0700), 0);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    run("mv '%s' '%s.old' && mkdir '%s'", path, path, path);
    check(append_number(journal, 1), DISPOSITION_STORED, 1); /* another directory is another journal */
    check(append_number(journal, 2), DISPOSITION_STORED, 2);
    journal_free(journal);
    assert_int_equal(verify(path), 2);
}

static void a_held_lock_is_an_error_at_the_deadline(void **state) {
    struct journal *journal = open_journal(*state);
    check(append_number(journal, 1), DISPOSITION_STORED, 1);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t holder = fork();
    if (holder == 0) {
        int lock = open(path_in(*state, "lock"), O_RDWR);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        ssize_t sent = fcntl(lock, F_SETLK, &whole) == 0 ? write(ready[1], "x", 1) : 0;
        (void)sent;
        pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct event event = {.request_id = "r", .id = "e"};
    char body[] = "{\"meta\":{\"request_id\":\"r\"},\"data\":{\"id\":\"e\",\"type\":\"t\"}}";
    struct entry entry = {.body = body,
                          .length = sizeof body - 1,
                          .key = "9f86d081",
                          .signature = SIGNATURE,
                          .event = &event,
                          .received_at = DAY_ONE},
                 *entries[] = {&entry};
    struct deadline deadline = {.at = monotonic_now() + SECOND / 5};
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_non_null(strstr(entry.reason.text, "lock"));
    /* When asked to stop, it does not wait for the whole deadline. */
    static volatile sig_atomic_t stop_requested = 1;
    int64_t before = monotonic_now();
    deadline = (struct deadline){.at = before + 3600 * SECOND, .stop_requested = &stop_requested};
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_UNAVAILABLE, 0);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    deadline = distant_deadline();
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_STORED, 2);
    journal_free(journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(events_are_numbered_and_chained),
        JOURNAL_TEST(either_identifier_makes_a_duplicate),
        JOURNAL_TEST(a_batch_is_judged_entry_by_entry),
        JOURNAL_TEST(on_a_slow_disk_a_batch_prefetches_its_buckets),
        JOURNAL_TEST(duplicates_are_known_across_days_and_restarts),
        JOURNAL_TEST(two_handles_see_each_other),
        JOURNAL_TEST(many_processes_write_at_once),
        JOURNAL_TEST(a_clock_set_back_does_not_open_an_earlier_day),
        JOURNAL_TEST(a_torn_tail_is_cut),
        JOURNAL_TEST(every_torn_line_is_removed),
        JOURNAL_TEST(zeros_at_the_end_are_cut),
        JOURNAL_TEST(a_segment_of_garbage_is_handled),
        JOURNAL_TEST(damaged_lines_are_kept_and_counted),
        JOURNAL_TEST(an_empty_newest_segment_continues_the_chain),
        JOURNAL_TEST(a_deleted_index_changes_no_answer),
        JOURNAL_TEST(an_outdated_index_catches_up),
        JOURNAL_TEST(an_index_that_is_ahead_is_harmless),
        JOURNAL_TEST(a_scrambled_index_is_rebuilt),
        JOURNAL_TEST(a_colliding_fingerprint_drops_no_event),
        JOURNAL_TEST(a_checkpoint_is_made_when_due),
        JOURNAL_TEST(a_failed_sync_is_followed_by_rewriting),
        JOURNAL_TEST(dropped_pages_lose_nothing_acknowledged),
        JOURNAL_TEST(a_full_disk_leaves_no_partial_line),
        JOURNAL_TEST(a_missing_directory_is_an_error_until_it_exists),
        JOURNAL_TEST(a_held_lock_is_an_error_at_the_deadline),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
