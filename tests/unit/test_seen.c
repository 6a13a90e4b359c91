#include "seen.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FEW 4 /* buckets in the first table: full after 76 identifiers */

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

static unsigned tables_of(const char *path) {
    unsigned count = 0;
    char name[64];
    for (;; count++) {
        snprintf(name, sizeof name, "seen/%02u", count);
        if (access(path_in(path, name), F_OK) != 0)
            return count;
    }
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
    assert_true(tables_of(*state) >= 5);
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

/* While a round is made, tables are sealed and begun. */
static void a_growing_index_is_synced_too(void **state) {
    struct index index = open_index(*state);
    unsigned number = DUE, steps = 0;
    insert(&index, 0, DUE);
    unsigned tables = tables_of(*state);
    for (; trusted(*state).day < 0; number += DUE, steps++) {
        assert_int_equal(step(&index), 0);
        insert(&index, number, number + DUE);
    }
    assert_true(tables > 3 && steps >= tables && steps < 100);
    assert_true(trusted(*state).offset < place_of(number).offset);
    close_index(&index);
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

static void damage_is_noticed(void **state) {
    struct index index = open_index(*state);
    insert(&index, 0, 200); /* two tables: 76 and the rest */
    close_index(&index);
    assert_int_equal(look_for_all(*state, 200), 0);
    assert_int_equal(tables_of(*state), 2);

    size_t length;
    char *good = read_file(path_in(*state, "seen/00"), &length), *bad = malloc(length);
    for (size_t at = 0; at < length; at += at < 200 ? 1 : 37) {
        bool matters = at < 144 || at >= 4096; /* the rest of the header's area is unused */
        memcpy(bad, good, length);
        bad[at] = (char)(bad[at] ^ 0x40);
        write_file(path_in(*state, "seen/00"), bad, length, 0600);
        int result = look_for_all(*state, 200);
        if (matters && result != ERROR_DAMAGED && at < 4096 + 512 * 4)
            fail_msg("byte %zu changed and nobody noticed", at);
    }
    for (size_t cut = 0; cut < length; cut += 500) {
        write_file(path_in(*state, "seen/00"), good, cut, 0600);
        assert_int_equal(look_for_all(*state, 200), ERROR_DAMAGED);
    }
    write_file(path_in(*state, "seen/00"), good, length, 0600);
    assert_int_equal(look_for_all(*state, 200), 0);

    assert_int_equal(unlink(path_in(*state, "seen/01")), 0);
    assert_int_equal(look_for_all(*state, 200), ERROR_DAMAGED); /* table 00 is sealed: there was one more */
    free(good);
    free(bad);
}

/* A table that a killed writer did not finish is made again. */
static void a_half_made_table_is_replaced(void **state) {
    struct index index = open_index(*state);
    insert(&index, 0, 70);
    write_file(path_in(*state, "seen/01"), "half", 4, 0600);
    insert(&index, 70, 200);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(look_for(&index, i), 1);
    close_index(&index);
    assert_int_equal(look_for_all(*state, 200), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_stored_is_found),          TEST(the_two_kinds_of_identifier_are_apart),
        TEST(it_grows_over_several_tables),      TEST(collisions_are_all_visited),
        TEST(its_reach_is_remembered),           TEST(after_a_reboot_the_checkpoint_counts),
        TEST(a_checkpoint_is_made_in_steps),     TEST(a_growing_index_is_synced_too),
        TEST(two_processes_make_one_checkpoint), TEST(a_reboot_begins_the_round_anew),
        TEST(a_sync_that_fails_is_damage),       TEST(the_checkpoint_does_not_outlast_the_journal),
        TEST(a_deleted_index_begins_anew),       TEST(damage_is_noticed),
        TEST(a_half_made_table_is_replaced),
    };
    return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
