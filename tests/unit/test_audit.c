/* The index is compared with the journal and rebuilt while in use, and old days are deleted. */
#include "deliveries.h"

#include "audit.h"
#include "event.h"
#include "prune.h"
#include "rebuild.h"
#include "segment.h"
#include "walk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct reason reason;

/* Events 1 to 30 on three days. */
static struct journal *open_worker(void **state) {
    struct journal *journal = open_journal(*state);
    for (unsigned i = 1; i <= 30; i++) {
        clock_now += i == 11 || i == 21 ? A_DAY : 0;
        check(append_number(journal, i), DISPOSITION_STORED, i);
    }
    return journal;
}

/* Walks the journal as `doorpost check` does. Returns the number of lines that are missing in the index, or
 * -1 on any other difference or error. */
static int audit(const char *path, bool *absent) {
    struct directory directory;
    struct audit audit;
    struct deadline deadline = distant_deadline();
    static struct walk walk;
    struct event_parser *parser = event_parser_new();
    struct event event;
    struct record record;
    struct position position;
    enum scan scan;
    int32_t first = 0, last = 0;
    int missing = 0;
    directory_start(&directory, path);
    assert_int_equal(directory_open(&directory, &reason), 0);
    assert_true(segment_range(directory.fd, 0, DAY_MAX, &first, &last, &reason) >= 0);
    int result = audit_start(&audit, &directory, first, &deadline, &reason);
    *absent = audit.absent;
    for (int turn = 0; turn < 2 && result == 0 && (turn == 0 || !audit_agrees(&audit)); turn++) {
        walk_start(&walk, directory.fd, (struct position){.day = first}, chain_start());
        walk_until(&walk, last);
        while (walk_next(&walk, &scan, &record, &position, &reason) > 0) {
            if (event_parse(parser, record.event, record.event_length, &event, &reason) != 0)
                continue;
            size_t lengths[] = {strlen(event.request_id), strlen(event.id)};
            if (turn == 0)
                audit_line(&audit, position, event.request_id, lengths[0], event.id, lengths[1]);
            else
                missing += audit_find(&audit, position, event.request_id, lengths[0], event.id, lengths[1],
                                      &reason) == 0;
        }
        walk_end(&walk);
    }
    if (result == 0 && !audit_agrees(&audit))
        result = missing > 0 ? missing : -1;
    audit_end(&audit);
    directory_close(&directory);
    event_parser_free(parser);
    return result;
}

static void an_index_in_use_agrees(void **state) {
    bool absent;
    struct journal *journal = open_worker(state);
    assert_int_equal(audit(*state, &absent), 0);
    assert_false(absent);
    struct entry entry = {.body = "x",
                          .length = 1,
                          .key = "9f86d081",
                          .signature = SIGNATURE,
                          .rejection = "no"},
                 *entries[] = {&entry};
    struct deadline deadline = distant_deadline();
    journal_append(journal, entries, 1, &deadline);
    check(entry, DISPOSITION_REJECTED, 0);
    assert_int_equal(audit(*state, &absent), 0); /* what is in rejected/ is not a line */
    journal_free(journal);
    run("rm '%s/" FIRST "'", (char *)*state); /* index entries of deleted days do not count */
    assert_int_equal(audit(*state, &absent), 0);
    run("rm -r '%s/seen'", (char *)*state);
    assert_int_equal(audit(*state, &absent), 0);
    assert_true(absent);
}

static void a_line_missing_in_the_index_is_found(void **state) {
    bool absent;
    journal_free(open_worker(state));
    struct index *index = index_new(0);
    int fd = open(*state, O_RDONLY | O_DIRECTORY);
    assert_int_equal(index_begin(index, fd, &reason), 0);
    uint64_t fingerprint = index_fingerprint(index, IDENTIFIER_EVENT, "event-11", 8);
    struct position position = {timestamp_day(DAY_ONE) + 1, 0};
    assert_int_equal(index_holds(index, fingerprint, position, &reason), 1);
    run("sed -i s/event-11/event-ab/ '%s/" SECOND_DAY "'", (char *)*state);
    assert_int_equal(audit(*state, &absent), 1);
    run("sed -i s/event-ab/event-11/ '%s/" SECOND_DAY "'", (char *)*state);
    assert_int_equal(audit(*state, &absent), 0);
    assert_int_equal(index_insert(index, fingerprint + 1, position, &reason), 0); /* one too many */
    assert_int_equal(audit(*state, &absent), -1);
    index_free(index);
    close(fd);
    run("dd if=/dev/zero of='%s/seen/00' bs=512 count=1 conv=notrunc status=none", (char *)*state);
    assert_int_equal(audit(*state, &absent), ERROR_DAMAGED);
}

static void an_index_is_rebuilt_while_a_worker_runs(void **state) {
    bool absent;
    struct directory directory;
    struct journal *journal = open_worker(state);
    directory_start(&directory, *state);
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_int_equal(rebuild_index(&directory, NULL, NULL, &reason), 0);
        assert_int_equal(audit(*state, &absent), 0);
        assert_false(absent);
        check_known(journal, 1, 30 + turn);
        check(append_number(journal, 31 + turn), DISPOSITION_STORED, 31 + turn);
        check_by_another(*state, 31 + turn, DISPOSITION_DUPLICATE, 31 + turn);
        if (turn == 0) /* leftovers of a killed run do no harm */
            run("cd '%s' && mkdir -p seen.new/seen seen.old && echo x >seen.new/seen/state && echo x "
                ">seen.old/00",
                (char *)*state);
        if (turn == 1)
            run("rm -r '%s/seen'", (char *)*state);
    }
    run("test ! -e '%s/seen.new' && test ! -e '%s/seen.old'", (char *)*state, (char *)*state);
    directory_close(&directory);
    journal_free(journal);
    assert_int_equal(verify(*state), 33);
}

/* ---- pruning ---- */

static void pruned_days_are_gone_and_the_chain_is_known(void **state) {
    struct directory directory;
    struct deadline deadline = distant_deadline();
    struct pruned pruned;
    struct chain_state chain;
    int32_t day = timestamp_day(DAY_ONE);
    struct journal *journal = open_worker(state);
    directory_start(&directory, *state);
    assert_int_equal(prune_days(&directory, day + 1, true, NULL, &deadline, &pruned, &reason), 0);
    assert_int_equal(pruned.days, 1);
    assert_int_equal(access(path_in(*state, FIRST), F_OK), 0); /* a dry run */
    assert_int_equal(prune_days(&directory, day + 1, false, NULL, &deadline, &pruned, &reason), 0);
    assert_int_equal(pruned.days, 1);
    assert_int_equal(pruned.first, day);
    assert_int_equal(pruned.last, day);
    assert_int_not_equal(access(path_in(*state, FIRST), F_OK), 0);
    assert_int_equal(prune_chain(directory.fd, 11, &chain, &reason), 1);
    assert_int_equal(chain.seq, 10);
    assert_int_equal(prune_chain(directory.fd, 12, &chain, &reason), 0);
    assert_int_equal(prune_chain(directory.fd, 1, &chain, &reason), 1);
    check_known(journal, 11, 30);
    check(append_number(journal, 1), DISPOSITION_STORED, 31); /* no longer kept */
    assert_int_equal(prune_days(&directory, day + 100, false, NULL, &deadline, &pruned, &reason), 0);
    assert_int_equal(pruned.days, 1); /* the newest is never pruned */
    check(append_number(journal, 1), DISPOSITION_DUPLICATE, 31);
    check_known(journal, 21, 30);
    check(append_number(journal, 32), DISPOSITION_STORED, 32);
    directory_close(&directory);
    journal_free(journal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(an_index_in_use_agrees),
        JOURNAL_TEST(a_line_missing_in_the_index_is_found),
        JOURNAL_TEST(an_index_is_rebuilt_while_a_worker_runs),
        JOURNAL_TEST(pruned_days_are_gone_and_the_chain_is_known),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
