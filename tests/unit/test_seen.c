#define _GNU_SOURCE /* fallocate */
#include "seen.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FEW \
    4 /* buckets in a young table: full after 76 identifiers, and so is each one until 1,200 are stored */

static struct reason reason;

struct index {
    int directory;
    struct seen *seen;
};

static struct index open_index_of(const char *path, unsigned first_buckets) {
    struct index index = {.directory = open(path, O_RDONLY | O_DIRECTORY), .seen = seen_new(first_buckets)};
    assert_true(index.directory >= 0);
    assert_non_null(index.seen);
    return index;
}

static struct index open_index(const char *path) {
    return open_index_of(path, FEW);
}

static void close_index(struct index *index) {
    seen_free(index->seen);
    close(index->directory);
}

static struct place place_of(unsigned number) {
    return (struct place){.day = 20000 + (int32_t)(number / 300), .offset = (uint64_t)number * 1000};
}

static uint64_t fingerprint_of(const struct seen *seen, unsigned number) {
    char text[32];
    snprintf(text, sizeof text, "identifier-%u", number);
    return seen_fingerprint(seen, IDENTIFIER_REQUEST, text, strlen(text));
}

static void insert(struct index *index, unsigned from, unsigned to) {
    assert_int_equal(seen_begin(index->seen, index->directory, &reason), 0);
    for (unsigned i = from; i < to; i++)
        assert_int_equal(seen_insert(index->seen, fingerprint_of(index->seen, i), place_of(i), &reason), 0);
    assert_int_equal(seen_reach(index->seen, place_of(to), true, &reason), 0);
}

/* A visitor that looks for one place. */
static int is_place(void *context, struct place place) {
    const struct place *wanted = context;
    return place.day == wanted->day && place.offset == wanted->offset;
}

static int look_for(struct index *index, unsigned number) {
    struct place wanted = place_of(number);
    return seen_find(index->seen, fingerprint_of(index->seen, number), is_place, &wanted, &reason);
}

/* How many young tables there have been: the number in their headers. */
static unsigned tables_of(const char *path) {
    static const char *const names[] = {"seen/young.0", "seen/young.1"};
    unsigned count = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t head[4] = {0};
        int file = open(path_in(path, names[i]), O_RDONLY);
        if (file >= 0 && read(file, head, sizeof head) == (ssize_t)sizeof head && head[2] + 1 > count)
            count = head[2] + 1;
        if (file >= 0)
            close(file);
    }
    return count;
}

static void what_was_stored_is_found(void **state) {
    struct index index = open_index(*state);
    insert(&index, 0, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(look_for(&index, i), 1);
    for (unsigned i = 50; i < 500; i++)
        assert_int_equal(look_for(&index, i), 0);
    close_index(&index);
}

static void the_two_kinds_of_identifier_are_apart(void **state) {
    struct index index = open_index(*state);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_true(seen_fingerprint(index.seen, IDENTIFIER_REQUEST, "x", 1) !=
                seen_fingerprint(index.seen, IDENTIFIER_EVENT, "x", 1));
    close_index(&index);
}

static void it_grows_over_several_tables(void **state) {
    struct index index = open_index(*state), other = open_index(*state);
    insert(&index, 0, 10);
    insert(&other, 10, 20);
    for (unsigned from = 20; from < 6576; from += 149) { /* two processes, in turns */
        insert(&index, from, from + 70);
        insert(&other, from + 70, from + 149);
    }
    assert_true(tables_of(*state) >= 20);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    for (unsigned i = 0; i < 6576; i++)
        assert_int_equal(look_for(&index, i), 1);
    struct index fresh = open_index(*state);
    assert_int_equal(seen_begin(fresh.seen, fresh.directory, &reason), 0);
    for (unsigned i = 0; i < 6576; i++)
        assert_int_equal(look_for(&fresh, i), 1);
    close_index(&index);
    close_index(&other);
    close_index(&fresh);
}

static int count_places(void *context, struct place place) {
    (void)place;
    ++*(unsigned *)context;
    return 0;
}

/* One fingerprint for many identifiers: all their places are visited, also where they spill over many
 * buckets. */
static void collisions_are_all_visited(void **state) {
    struct index index = open_index(*state);
    unsigned visited = 0;
    insert(&index, 0, 30);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(seen_insert(index.seen, 42, place_of(1000 + i), &reason), 0);
    assert_int_equal(seen_find(index.seen, 42, count_places, &visited, &reason), 0);
    assert_int_equal(visited, 70);
    struct place last = place_of(1069);
    assert_int_equal(seen_find(index.seen, 42, is_place, &last, &reason), 1);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(look_for(&index, i), 1);
    close_index(&index);
}

static void its_reach_is_remembered(void **state) {
    struct index index = open_index(*state);
    struct place place;
    bool settled;
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_false(seen_reached(index.seen, &place, &settled));
    insert(&index, 0, 7);
    close_index(&index);
    index = open_index(*state);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_true(seen_reached(index.seen, &place, &settled));
    assert_true(settled);
    assert_int_equal(place.day, place_of(7).day);
    assert_int_equal(place.offset, place_of(7).offset);
    close_index(&index);
}

static void after_a_reboot_the_checkpoint_counts(void **state) {
    struct index index = open_index(*state);
    struct place place;
    bool settled;
    insert(&index, 0, 40);
    assert_int_equal(seen_sync(index.seen, &reason), 0);
    assert_int_equal(seen_checkpoint(index.seen, place_of(40), &reason), 0);
    insert(&index, 40, 60);
    close_index(&index);
    index = open_index(*state);
    seen_set_boot(index.seen, "another");
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_true(seen_reached(index.seen, &place, &settled));
    assert_int_equal(place.offset, place_of(40).offset);
    assert_false(settled);
    close_index(&index);
}

/* Before the C library's. */
static int failing_syncs;
int msync(void *address, size_t length, int flags) {
    (void)address;
    assert_true(length > 0 && flags == MS_SYNC);
    errno = EIO;
    return failing_syncs > 0 && failing_syncs-- > 0 ? -1 : 0;
}

/* Opens the index as after a crash of the machine. Returns up to where it can be trusted. */
static struct place trusted(const char *path) {
    struct index index = open_index(path);
    struct place place = {0};
    bool settled;
    seen_set_boot(index.seen, "after a crash");
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    if (!seen_reached(index.seen, &place, &settled))
        place.day = -1;
    close_index(&index);
    return place;
}

static int step(struct index *index) {
    assert_int_equal(seen_begin(index->seen, index->directory, &reason), 0);
    assert_int_equal(seen_step_begin(index->seen, &reason), 0);
    int result = seen_step_sync(index->seen, &reason);
    assert_int_equal(seen_begin(index->seen, index->directory, &reason), 0);
    return result != 0 ? result : seen_step_end(index->seen, &reason);
}

#define DUE 8192 /* inserts make a step due */
#define STEPS 3  /* make a checkpoint of the usual first table, of a little over two megabytes */

static void a_checkpoint_is_made_in_steps(void **state) {
    struct index index = open_index_of(*state, 0);
    insert(&index, 0, DUE - 1);
    assert_false(seen_step_due(index.seen));
    assert_int_equal(step(&index), 0);
    insert(&index, DUE - 1, DUE);
    for (unsigned i = 1; i <= 2 * STEPS; i++) {
        assert_true(seen_step_due(index.seen));
        assert_int_equal(trusted(*state).day, i <= STEPS ? -1 : place_of(DUE).day);
        assert_int_equal(step(&index), 0);
        assert_false(seen_step_due(index.seen));
        insert(&index, i * DUE, (i + 1) * DUE);
    }
    assert_int_equal(trusted(*state).offset, place_of(STEPS * DUE).offset);
    close_index(&index);
}

/* While rounds are made, tables are sealed, merged and begun: two rounds of two tables are the most that has
 * to be read again. */
static void a_growing_index_is_synced_too(void **state) {
    struct index index = open_index_of(*state, 0);
    for (unsigned turn = 1; turn <= 36; turn++) {
        insert(&index, (turn - 1) * DUE, turn * DUE);
        assert_int_equal(step(&index), 0);
        if (turn > 4 * STEPS)
            assert_true(trusted(*state).offset >= place_of((turn - 4 * STEPS) * DUE).offset);
    }
    assert_true(tables_of(*state) >= 4);
    close_index(&index);
}

static int add_up(void *context, uint64_t fingerprint, struct place place) {
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += fingerprint ^ place.offset;
    return 0;
}

/* Is each of the first `count` identifiers in the index, and once? */
static void check_whole(const char *path, unsigned count) {
    struct index index = open_index(path);
    uint64_t sums[2] = {0}, wanted = 0;
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(look_for(&index, i), 1);
        wanted += fingerprint_of(index.seen, i) ^ place_of(i).offset;
    }
    assert_int_equal(seen_each(index.seen, add_up, sums, &reason), 0);
    assert_true(seen_unchanged(index.seen));
    assert_int_equal(sums[0], count);
    assert_int_equal(sums[1], wanted);
    close_index(&index);
}

/* Two processes insert, merge and sync in turns; after each turn everything is there. */
static void tables_are_merged_piece_by_piece(void **state) {
    struct index both[] = {open_index_of(*state, 16), open_index_of(*state, 16)};
    unsigned number = 0, steps = 0;
    for (unsigned turn = 0; number < 50000; turn++) { /* old tables of more than one piece in the end */
        struct index *index = &both[turn * 7 % 3 % 2];
        insert(index, number, number + 20);
        number += 20;
        if (seen_step_due(index->seen)) {
            assert_int_equal(step(index), 0);
            steps++;
        }
        if (turn % 250 == 0)
            check_whole(*state, number);
    }
    check_whole(*state, number);
    assert_in_range(steps, 2 * 40, 2 * tables_of(*state)); /* two a merge, and no insert had to merge all */
    struct stat status;
    assert_int_equal(stat(path_in(*state, "seen/old.0"), &status), 0);
    assert_true(status.st_size > 4096 + 512 * (224 + 32));
    close_index(&both[0]);
    close_index(&both[1]);
}

/* Whoever has tables open of which the files have been taken for others since. */
static void a_process_that_slept_goes_on(void **state) {
    struct index index = open_index_of(*state, 1), sleeper = open_index_of(*state, 1);
    insert(&index, 0, 100);
    insert(&sleeper, 100, 105);
    unsigned tables = tables_of(*state), number = 105;
    for (; tables_of(*state) < tables + 4; number += 5)
        insert(&index, number, number + 5);
    assert_false(seen_unchanged(sleeper.seen));
    insert(&sleeper, number, number + 5);
    check_whole(*state, number + 5);
    close_index(&index);
    close_index(&sleeper);
}

/* ---- killed at each call ---- */

static long calls_left = -1; /* -1: no end */

static void count_call(void) {
    if (calls_left > 0 && --calls_left == 0)
        _exit(9);
}

/* These come before the C library's. A process that is killed at a call has not made it, or has and knows
 * nothing of it; the second is the first of the next call. */
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    count_call();
    return syscall(SYS_pwrite64, file, bytes, length, at);
}

int ftruncate(int file, off_t length) {
    count_call();
    return (int)syscall(SYS_ftruncate, file, length);
}

int fallocate(int file, int mode, off_t from, off_t length) {
    count_call();
    return (int)syscall(SYS_fallocate, file, mode, from, length);
}

int fdatasync(int file) {
    (void)file;
    count_call();
    return 0;
}

#define KILLED_UNTIL 150

static unsigned reached(struct index *index) {
    struct place place;
    bool settled;
    assert_int_equal(seen_begin(index->seen, index->directory, &reason), 0);
    return seen_reached(index->seen, &place, &settled) ? (unsigned)(place.offset / 1000) : 0;
}

/* Inserts, merges and makes steps, from where the index reaches until there are KILLED_UNTIL. */
static void work_on(const char *path) {
    struct index index = open_index_of(path, 1);
    for (unsigned number; (number = reached(&index)) < KILLED_UNTIL;) {
        for (unsigned end = number + 5; number < end; number++) { /* a line may be in it already */
            uint64_t fingerprint = fingerprint_of(index.seen, number);
            int held = seen_holds(index.seen, fingerprint, place_of(number), &reason);
            assert_true(held >= 0);
            if (held == 0)
                assert_int_equal(seen_insert(index.seen, fingerprint, place_of(number), &reason), 0);
        }
        assert_int_equal(seen_reach(index.seen, place_of(number), true, &reason), 0);
        if (seen_step_due(index.seen))
            assert_int_equal(step(&index), 0);
    }
    close_index(&index);
}

static void a_kill_at_any_call_costs_nothing(void **state) {
    unsigned killed = 0;
    for (int status = 1; status != 0; killed++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            calls_left = killed + 1;
            work_on(*state);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 9));
        work_on(*state);
        check_whole(*state, KILLED_UNTIL);
        assert_true(tables_of(*state) > 5);
        struct index index = open_index(*state);
        assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
        assert_int_equal(seen_discard(index.seen, &reason), 0);
        close_index(&index);
    }
    assert_true(killed > 250);
}

/* Both sync the same stretch; it counts once. */
static void two_processes_make_one_checkpoint(void **state) {
    struct index index = open_index_of(*state, 0), other = open_index_of(*state, 0);
    insert(&index, 0, DUE);
    for (unsigned i = 1; i <= STEPS; i++) {
        struct index *both[] = {&index, &other};
        assert_int_equal(trusted(*state).day, -1);
        for (unsigned one = 0; one < 2; one++) {
            assert_int_equal(seen_begin(both[one]->seen, both[one]->directory, &reason), 0);
            assert_int_equal(seen_step_begin(both[one]->seen, &reason), 0);
        }
        for (unsigned one = 0; one < 2; one++) {
            assert_int_equal(seen_step_sync(both[one]->seen, &reason), 0);
            assert_int_equal(seen_begin(both[one]->seen, both[one]->directory, &reason), 0);
            assert_int_equal(seen_step_end(both[one]->seen, &reason), 0);
        }
        insert(i % 2 == 0 ? &index : &other, i * DUE, (i + 1) * DUE);
    }
    assert_int_equal(trusted(*state).offset, place_of(DUE).offset);
    close_index(&index);
    close_index(&other);
}

/* What was inserted after a step, the machine has lost: no step of before the crash counts. */
static void a_reboot_begins_the_round_anew(void **state) {
    struct index index = open_index_of(*state, 0);
    insert(&index, 0, DUE);
    for (unsigned i = 1; i < STEPS; i++) {
        assert_int_equal(step(&index), 0);
        insert(&index, i * DUE, (i + 1) * DUE);
    }
    close_index(&index);
    index = open_index_of(*state, 0);
    seen_set_boot(index.seen, "another");
    for (unsigned i = 1; i <= STEPS; i++) {
        assert_int_equal(trusted(*state).day, -1);
        insert(&index, i * DUE, (i + 1) * DUE);
        assert_int_equal(step(&index), 0);
    }
    close_index(&index);
    assert_int_equal(trusted(*state).offset, place_of(2 * DUE).offset);
}

static void a_sync_that_fails_is_damage(void **state) {
    struct index index = open_index(*state);
    insert(&index, 0, DUE);
    failing_syncs = 1;
    assert_int_equal(step(&index), ERROR_DAMAGED);
    assert_true(seen_step_due(index.seen));
    close_index(&index);
}

/* The journal's end was lost in a crash, and what is written there now has to be indexed. */
static void the_checkpoint_does_not_outlast_the_journal(void **state) {
    struct index index = open_index(*state);
    insert(&index, 0, 40);
    assert_int_equal(seen_sync(index.seen, &reason), 0);
    assert_int_equal(seen_checkpoint(index.seen, place_of(40), &reason), 0);
    assert_int_equal(seen_reach(index.seen, place_of(30), true, &reason), 0);
    insert(&index, 30, 60);
    close_index(&index);
    assert_int_equal(trusted(*state).offset, place_of(30).offset);
}

/* Deleted while in use: the next one begins anew, and so does the process that had it open. */
static void a_deleted_index_begins_anew(void **state) {
    struct index index = open_index(*state);
    struct place place;
    bool settled;
    insert(&index, 0, 200);
    assert_int_equal(seen_discard(index.seen, &reason), 0);
    assert_int_equal(tables_of(*state), 0);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_false(seen_reached(index.seen, &place, &settled));
    assert_int_equal(look_for(&index, 0), 0);
    insert(&index, 0, 10);
    struct index other = open_index(*state);
    insert(&other, 10, 20);
    assert_int_equal(seen_discard(other.seen, &reason), 0);
    insert(&other, 20, 30);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_int_equal(look_for(&index, 5), 0);
    assert_int_equal(look_for(&index, 25), 1);
    close_index(&index);
    close_index(&other);
}

/* Opens the index again and looks for everything. Returns the first error. */
static int look_for_all(const char *path, unsigned count) {
    struct index index = open_index(path);
    int result = seen_begin(index.seen, index.directory, &reason);
    for (unsigned i = 0; i < count && result >= 0; i++)
        result = look_for(&index, i) < 0 ? ERROR_DAMAGED : 0;
    close_index(&index);
    return result;
}

#define USED_OF_HEADER 224

/* All files of an index while it is being merged for the second time: a young table, the sealed one, the
 * middle one, and the first old one. */
static void damage_is_noticed(void **state) {
    static const char *const names[] = {"seen/young.0", "seen/young.1", "seen/middle.1", "seen/old.1"};
    static const size_t buckets[] = {FEW, FEW, FEW, 1};
    struct index index = open_index(*state);
    insert(&index, 0, 210);
    close_index(&index);
    assert_int_equal(look_for_all(*state, 210), 0);
    assert_int_equal(tables_of(*state), 3);
    for (unsigned name = 0; name < 4; name++) {
        size_t length, end = 4096 + 512 * buckets[name];
        char *good = read_file(path_in(*state, names[name]), &length), *bad = malloc(length);
        for (size_t at = 0; at < end; at += at < USED_OF_HEADER ? 1 : 37) {
            bool matters = at < USED_OF_HEADER || at >= 4096; /* the rest of the header's area is unused */
            memcpy(bad, good, length);
            bad[at] = (char)(bad[at] ^ 0x40);
            write_file(path_in(*state, names[name]), bad, length, 0600);
            if (matters && look_for_all(*state, 210) != ERROR_DAMAGED)
                fail_msg("byte %zu of %s changed and nobody noticed", at, names[name]);
        }
        for (size_t cut = 500; cut < end; cut += 500) {
            write_file(path_in(*state, names[name]), good, cut, 0600);
            assert_int_equal(look_for_all(*state, 210), ERROR_DAMAGED);
        }
        if (name >= 2) { /* every bucket of a merged table was written */
            memcpy(bad, good, length);
            memset(bad + end - 512, 0, 512);
            write_file(path_in(*state, names[name]), bad, length, 0600);
            assert_int_equal(look_for_all(*state, 210), ERROR_DAMAGED);
        }
        if (name > 0) {
            assert_int_equal(unlink(path_in(*state, names[name])), 0);
            assert_int_equal(look_for_all(*state, 210), ERROR_DAMAGED);
        }
        write_file(path_in(*state, names[name]), good, length, 0600);
        assert_int_equal(look_for_all(*state, 210), 0);
        free(good);
        free(bad);
    }
}

/* A crash of the machine can leave a sealed table without the one after it: it reaches as far as it did. */
static void a_lost_young_table_is_begun_again(void **state) {
    struct index index = open_index(*state);
    struct place place;
    bool settled;
    insert(&index, 0, 70);
    insert(&index, 70, 170);
    close_index(&index);
    assert_int_equal(tables_of(*state), 2);
    assert_int_equal(unlink(path_in(*state, "seen/young.1")), 0);
    index = open_index(*state);
    assert_int_equal(seen_begin(index.seen, index.directory, &reason), 0);
    assert_true(seen_reached(index.seen, &place, &settled));
    assert_int_equal(place.offset, place_of(70).offset);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(look_for(&index, i), 1);
    close_index(&index);
}

/* A table that a killed writer did not finish is made again. */
static void a_half_made_table_is_replaced(void **state) {
    static const char zeros[5000];
    struct index index = open_index(*state);
    insert(&index, 0, 70);
    write_file(path_in(*state, "seen/young.1"), zeros, sizeof zeros, 0600);
    insert(&index, 70, 160);
    check_whole(*state, 160);
    write_file(path_in(*state, "seen/middle.1"), zeros, sizeof zeros, 0600);
    insert(&index, 160, 300);
    check_whole(*state, 300);
    close_index(&index);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_stored_is_found),
        TEST(the_two_kinds_of_identifier_are_apart),
        TEST(it_grows_over_several_tables),
        TEST(collisions_are_all_visited),
        TEST(its_reach_is_remembered),
        TEST(after_a_reboot_the_checkpoint_counts),
        TEST(a_checkpoint_is_made_in_steps),
        TEST(a_growing_index_is_synced_too),
        TEST(tables_are_merged_piece_by_piece),
        TEST(a_process_that_slept_goes_on),
        TEST(a_kill_at_any_call_costs_nothing),
        TEST(two_processes_make_one_checkpoint),
        TEST(a_reboot_begins_the_round_anew),
        TEST(a_sync_that_fails_is_damage),
        TEST(the_checkpoint_does_not_outlast_the_journal),
        TEST(a_deleted_index_begins_anew),
        TEST(damage_is_noticed),
        TEST(a_lost_young_table_is_begun_again),
        TEST(a_half_made_table_is_replaced),
    };
    return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
