/* The index alone: what was stored is found, whichever process is killed at any time; untrustworthy files are
 * reported. */
#include "deliveries.h"

#include "directory.h"
#include "index/index.h"

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

#define FULL_FIRST 76   /* number of identifiers that fills a table of FEW buckets, */
#define FULL_SECOND 380 /* that fills the second table too, */
#define FULL_THIRD 1596 /* and the third */
#define SIZE_OF(table) ((size_t)512 * FEW << 2 * (table))

static struct reason reason;

/* One process's view. */
struct view {
    int directory;
    struct index *index;
};

static struct view open_view_of(const char *path, unsigned first_buckets) {
    struct view view = {.directory = open(path, O_RDONLY | O_DIRECTORY), .index = index_new(first_buckets)};
    assert_true(view.directory >= 0);
    assert_non_null(view.index);
    return view;
}

static struct view open_view(const char *path) {
    return open_view_of(path, FEW);
}

static void close_view(struct view *view) {
    index_free(view->index);
    close(view->directory);
}

static int begin(struct view *view) {
    return index_begin(view->index, view->directory, &reason);
}

static struct position place_of(unsigned number) {
    return (struct position){.day = 20000 + (int32_t)(number / 300), .offset = (uint64_t)number * 1000};
}

static struct reach reach_of(unsigned number) {
    return (struct reach){.mark = {.position = place_of(number), .seq = number}, .last_seq = number};
}

static uint64_t fingerprint_of(const struct index *index, unsigned number) {
    char text[32];
    snprintf(text, sizeof text, "identifier-%u", number);
    return index_fingerprint(index, IDENTIFIER_REQUEST, text, strlen(text));
}

static void insert_one(struct view *view, unsigned number) {
    uint64_t fingerprint = fingerprint_of(view->index, number);
    assert_int_equal(index_insert_once(view->index, fingerprint, place_of(number), &reason), 0);
}

static void insert(struct view *view, unsigned from, unsigned to) {
    struct reach reach = reach_of(to);
    assert_int_equal(begin(view), 0);
    for (unsigned i = from; i < to; i++)
        insert_one(view, i);
    assert_int_equal(index_set_reach(view->index, &reach, &reason), 0);
}

static unsigned reached(struct view *view) {
    struct reach reach;
    assert_int_equal(begin(view), 0);
    index_reach(view->index, &reach);
    return (unsigned)reach.mark.seq;
}

static int look_for(struct view *view, unsigned number) {
    return index_holds(view->index, fingerprint_of(view->index, number), place_of(number), &reason);
}

static int add_up(void *context, uint64_t fingerprint, struct position position) {
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += fingerprint ^ position.offset;
    return 0;
}

/* Checks that each of the first `count` identifiers is in the index, once. */
static void check_whole(const char *path, unsigned count) {
    struct view view = open_view(path);
    uint64_t sums[2] = {0}, wanted = 0;
    assert_int_equal(begin(&view), 0);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(look_for(&view, i), 1);
        wanted += fingerprint_of(view.index, i) ^ place_of(i).offset;
    }
    assert_int_equal(index_each(view.index, add_up, sums, &reason), 0);
    assert_true(index_is_current(view.index));
    assert_int_equal(sums[0], count);
    assert_int_equal(sums[1], wanted);
    close_view(&view);
}

static bool has_table(const char *path, unsigned number) {
    char name[16];
    snprintf(name, sizeof name, "seen/%02u", number);
    return access(path_in(path, name), F_OK) == 0;
}

/* ---- storing and finding ---- */

static void what_was_stored_is_found(void **state) {
    struct view view = open_view(*state);
    insert(&view, 0, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(look_for(&view, i), 1);
    for (unsigned i = 50; i < 500; i++)
        assert_int_equal(look_for(&view, i), 0);
    assert_int_equal(index_count(view.index), 50);
    close_view(&view);
    check_whole(*state, 50);
}

static void the_kinds_of_identifier_are_distinct(void **state) {
    struct view view = open_view(*state);
    assert_int_equal(begin(&view), 0);
    uint64_t request = index_fingerprint(view.index, IDENTIFIER_REQUEST, "x", 1);
    uint64_t event = index_fingerprint(view.index, IDENTIFIER_EVENT, "x", 1);
    uint64_t signature = index_fingerprint(view.index, IDENTIFIER_SIGNATURE, "x", 1);
    assert_true(request != event && event != signature && signature != request);
    close_view(&view);
}

static void storing_twice_is_storing_once(void **state) {
    struct view view = open_view(*state);
    for (unsigned turn = 0; turn < 3; turn++)
        insert(&view, 0, FULL_SECOND); /* including those in an older table */
    assert_int_equal(index_count(view.index), FULL_SECOND);
    close_view(&view);
    check_whole(*state, FULL_SECOND);
}

static void it_grows_over_several_tables(void **state) {
    struct view view = open_view(*state), other = open_view(*state), sleeper = open_view(*state);
    insert(&view, 0, 10);
    insert(&other, 10, 20);
    insert(&sleeper, 20, 30);
    for (unsigned from = 30; from < 6586; from += 149) { /* two processes, alternating */
        insert(&view, from, from + 70);
        insert(&other, from + 70, from + 149);
    }
    assert_true(has_table(*state, 4));
    assert_int_equal(begin(&view), 0);
    for (unsigned i = 0; i < 6586; i++)
        assert_int_equal(look_for(&view, i), 1);
    insert(&sleeper, 6586, 6590); /* which knew of only one table */
    close_view(&view);
    close_view(&other);
    close_view(&sleeper);
    check_whole(*state, 6590);
}

/* What another process added to the newest table is found, although its bucket was read before. */
static void a_bucket_is_read_again_under_each_lock(void **state) {
    struct view view = open_view(*state), other = open_view(*state);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(begin(&view), 0);
        assert_int_equal(look_for(&view, i), 0);
        insert(&other, i, i + 1);
        assert_int_equal(begin(&view), 0);
        assert_int_equal(look_for(&view, i), 1);
    }
    close_view(&view);
    close_view(&other);
}

static int count_places(void *context, struct position position) {
    (void)position;
    ++*(unsigned *)context;
    return 0;
}

/* Many identifiers with one fingerprint: all their positions are visited, even if they spill over many
 * buckets. */
static void collisions_are_all_visited(void **state) {
    struct view view = open_view(*state);
    unsigned visited = 0;
    insert(&view, 0, 4);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(index_insert(view.index, 42, place_of(1000 + i), &reason), 0);
    assert_int_equal(index_find(view.index, 42, count_places, &visited, &reason), 0);
    assert_int_equal(visited, 70);
    assert_int_equal(index_holds(view.index, 42, place_of(1069), &reason), 1);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(look_for(&view, i), 1);
    close_view(&view);
}

static void the_indexed_position_is_remembered(void **state) {
    struct view view = open_view(*state);
    struct reach reach, wanted = {.mark = {{20001, 777}, 5, "0123456789abcdef0123456789abcdef"},
                                  .last_seq = 6,
                                  .newest = 20003,
                                  .listed = INT64_C(1795435200000000001),
                                  .checked = {19999, 3},
                                  .rejected = {20002, UINT64_C(1) << 40}};
    assert_int_equal(begin(&view), 0);
    index_reach(view.index, &reach);
    assert_int_equal(reach.mark.seq + reach.last_seq, 0);
    assert_int_equal(reach.mark.position.day, 0);
    assert_int_equal(index_set_reach(view.index, &wanted, &reason), 0);
    close_view(&view);
    view = open_view(*state);
    assert_int_equal(begin(&view), 0);
    index_reach(view.index, &reach);
    assert_int_equal(reach.mark.position.day, wanted.mark.position.day);
    assert_int_equal(reach.mark.position.offset, wanted.mark.position.offset);
    assert_int_equal(reach.mark.seq, wanted.mark.seq);
    assert_string_equal(reach.mark.chain, wanted.mark.chain);
    assert_int_equal(reach.last_seq, wanted.last_seq);
    assert_int_equal(reach.newest, wanted.newest);
    assert_int_equal(reach.listed, wanted.listed);
    assert_int_equal(reach.checked.offset, wanted.checked.offset);
    assert_int_equal(reach.rejected.day, wanted.rejected.day);
    assert_int_equal(reach.rejected.offset, wanted.rejected.offset);
    close_view(&view);
}

/* ---- checkpoints ---- */

/* Overrides the C library's. */
static int failing_msyncs;
int msync(void *address, size_t length, int flags) {
    (void)address;
    assert_true(length > 0 && flags == MS_SYNC);
    errno = EIO;
    return failing_msyncs > 0 && failing_msyncs-- > 0 ? -1 : 0;
}

/* The sequence number up to which the index can be trusted after a system crash; 0: not at all. */
static unsigned trusted(const char *path) {
    struct view view = open_view(path);
    struct reach reach;
    disk.boot = "after a crash";
    assert_int_equal(begin(&view), 0);
    disk.boot = NULL;
    index_reach(view.index, &reach);
    assert_int_equal(reach.last_seq, 0);
    close_view(&view);
    return (unsigned)reach.mark.seq;
}

static int step(struct view *view) {
    assert_int_equal(begin(view), 0);
    assert_int_equal(index_step_begin(view->index, false, &reason), 0);
    int result = index_step_sync(view->index, &reason);
    assert_int_equal(begin(view), 0);
    return result != 0 ? result : index_step_end(view->index, &reason);
}

static void whole_step(struct view *view) {
    index_request_checkpoint(view->index);
    assert_true(index_step_due(view->index));
    assert_int_equal(step(view), 0);
}

#define DUE 8192 /* inserts until a step is due */
#define STEPS 2  /* steps in a round of the usual first table of two megabytes */

static void a_checkpoint_is_made_in_steps(void **state) {
    struct view view = open_view_of(*state, 0);
    insert(&view, 0, DUE - 1);
    assert_false(index_step_due(view.index));
    assert_int_equal(step(&view), 0);
    insert(&view, DUE - 1, DUE);
    for (unsigned i = 1; i <= 2 * STEPS; i++) {
        assert_true(index_step_due(view.index));
        assert_int_equal(trusted(*state), i <= STEPS ? 0 : DUE);
        assert_int_equal(step(&view), 0);
        assert_false(index_step_due(view.index));
        insert(&view, i * DUE, (i + 1) * DUE);
    }
    assert_int_equal(trusted(*state), STEPS * DUE); /* where the second round began */
    close_view(&view);
}

/* While rounds are made, tables fill up and new ones begin: at most two rounds have to be read again. */
static void a_growing_index_is_synced_too(void **state) {
    struct view view = open_view_of(*state, 0);
    for (unsigned turn = 1; turn <= 30; turn++) {
        insert(&view, (turn - 1) * DUE, turn * DUE);
        if (index_step_due(view.index))
            assert_int_equal(step(&view), 0);
        unsigned most = turn <= 10 ? 2 * STEPS : 2 * 10; /* the second table has eight megabytes */
        if (turn > most)
            assert_true(trusted(*state) >= (turn - most) * DUE);
    }
    assert_true(has_table(*state, 1));
    close_view(&view);
}

/* When the newest table is full, the next one is ready. */
static void the_next_table_is_prepared(void **state) {
    struct view view = open_view_of(*state, 0);
    size_t last = 0;
    for (unsigned turn = 0; turn < 9; turn++) {
        insert(&view, turn * DUE, (turn + 1) * DUE);
        assert_int_equal(step(&view), 0);
        struct stat status = {0};
        (void)stat(path_in(*state, "seen/01"), &status);
        if (turn < 4)
            assert_int_equal(status.st_size, 0);
        else /* inserts into the second half of the table prepare it, piece by piece */
            assert_in_range((size_t)status.st_size, last + 1, last + 4 * (2 << 20) / 4);
        last = (size_t)status.st_size;
    }
    assert_in_range(last, 3 * (2 << 20), 4 * (2 << 20));
    close_view(&view);
    view = open_view_of(*state, 0); /* another process continues from there */
    insert(&view, 9 * DUE, 10 * DUE);
    assert_int_equal(size_of(path_in(*state, "seen/01")), 4 * (2 << 20));
    close_view(&view);
    check_whole(*state, 10 * DUE);
}

static void a_whole_step_is_a_checkpoint(void **state) {
    struct view view = open_view(*state);
    insert(&view, 0, 40);
    assert_false(index_step_due(view.index));
    whole_step(&view);
    assert_false(index_step_due(view.index));
    insert(&view, 40, 60);
    assert_int_equal(trusted(*state), 40);
    insert(&view, 60, FULL_THIRD + 100);
    whole_step(&view);
    assert_int_equal(trusted(*state), FULL_THIRD + 100);
    close_view(&view);
}

/* Both sync the same range; it counts once. */
static void two_processes_make_one_checkpoint(void **state) {
    struct view view = open_view_of(*state, 0), other = open_view_of(*state, 0);
    insert(&view, 0, DUE);
    for (unsigned i = 1; i <= STEPS; i++) {
        struct view *both[] = {&view, &other};
        assert_int_equal(trusted(*state), 0);
        for (unsigned one = 0; one < 2; one++) {
            assert_int_equal(begin(both[one]), 0);
            assert_int_equal(index_step_begin(both[one]->index, false, &reason), 0);
        }
        for (unsigned one = 0; one < 2; one++) {
            assert_int_equal(index_step_sync(both[one]->index, &reason), 0);
            assert_int_equal(begin(both[one]), 0);
            assert_int_equal(index_step_end(both[one]->index, &reason), 0);
        }
        insert(i % 2 == 0 ? &view : &other, i * DUE, (i + 1) * DUE);
    }
    assert_int_equal(trusted(*state), DUE);
    close_view(&view);
    close_view(&other);
}

/* One process is slow to sync a range while the other completes that round and another. */
static void a_late_step_changes_nothing(void **state) {
    struct view late = open_view_of(*state, 0), view = open_view_of(*state, 0);
    insert(&late, 0, DUE);
    assert_int_equal(index_step_begin(late.index, false, &reason), 0);
    for (unsigned i = 1; i <= 2 * STEPS; i++) {
        insert(&view, i * DUE, (i + 1) * DUE);
        assert_int_equal(step(&view), 0);
    }
    unsigned before = trusted(*state);
    assert_true(before > DUE);
    assert_int_equal(index_step_sync(late.index, &reason), 0);
    assert_int_equal(begin(&late), 0);
    assert_int_equal(index_step_end(late.index, &reason), 0);
    assert_int_equal(trusted(*state), before);
    close_view(&late);
    close_view(&view);
}

/* What was inserted after a step was lost in the crash: no step from before the crash counts. */
static void a_reboot_restarts_the_round(void **state) {
    struct view view = open_view_of(*state, 0);
    insert(&view, 0, DUE);
    for (unsigned i = 1; i < STEPS; i++) {
        assert_int_equal(step(&view), 0);
        insert(&view, i * DUE, (i + 1) * DUE);
    }
    close_view(&view);
    view = open_view_of(*state, 0);
    disk.boot = "another";
    assert_int_equal(begin(&view), 0);
    for (unsigned i = 1; i <= STEPS; i++) {
        assert_int_equal(trusted(*state), 0);
        insert(&view, (i + 1) * DUE, (i + 2) * DUE);
        assert_int_equal(step(&view), 0);
    }
    close_view(&view);
    assert_int_equal(trusted(*state), 3 * DUE);
}

static void after_a_reboot_later_tables_do_not_count(void **state) {
    struct view view = open_view(*state);
    insert(&view, 0, FULL_FIRST - 10);
    whole_step(&view);
    insert(&view, FULL_FIRST - 10, FULL_SECOND + 10);
    close_view(&view);
    assert_true(has_table(*state, 2));
    for (unsigned i = 1; i <= 2; i++) /* their blocks never reached the disk */
        run("truncate -s 0 '%s/seen/0%u'", (char *)*state, i);
    view = open_view(*state);
    disk.boot = "another";
    assert_int_equal(begin(&view), 0);
    for (unsigned i = 0; i < FULL_FIRST - 10; i++)
        assert_int_equal(look_for(&view, i), 1);
    for (unsigned i = FULL_FIRST; i < FULL_SECOND + 10; i++)
        assert_int_equal(look_for(&view, i), 0);
    insert(&view, FULL_FIRST - 10, FULL_SECOND + 20);
    close_view(&view);
    view = open_view(*state);
    disk.boot = "another";
    assert_int_equal(begin(&view), 0);
    for (unsigned i = 0; i < FULL_SECOND + 20; i++)
        assert_int_equal(look_for(&view, i), 1);
    close_view(&view);
}

/* Two workers that do not know the boot id: what each has synced counts, although the other does not trust it
 * at first. A new table may cost each of them one more attempt. */
static void checkpoints_advance_without_a_boot_id(void **state) {
    struct view both[] = {open_view(*state), open_view(*state)};
    unsigned number = 0, behind = 0;
    disk.boot = "one";
    assert_int_equal(begin(&both[0]), 0);
    disk.boot = "two";
    assert_int_equal(begin(&both[1]), 0);
    for (unsigned turn = 1; turn <= 40; turn++) {
        struct view *view = &both[turn % 2], *other = &both[(turn + 1) % 2];
        insert(view, reached(view), number + 20);
        number += 20;
        index_request_checkpoint(view->index);
        assert_int_equal(index_step_begin(view->index, false, &reason), 0);
        insert(other, reached(other), number + 10);
        assert_int_equal(index_step_sync(view->index, &reason), 0);
        assert_int_equal(begin(view), 0);
        assert_int_equal(index_step_end(view->index, &reason), 0);
        behind = trusted(*state) >= number ? 0 : behind + 1;
        assert_true(behind <= 2);
    }
    assert_true(has_table(*state, 2));
    assert_int_equal(behind, 0);
    assert_int_equal(begin(&both[0]), 0);
    for (unsigned i = 0; i < number; i++)
        assert_int_equal(look_for(&both[0], i), 1);
    close_view(&both[0]);
    close_view(&both[1]);
}

static void a_sync_that_fails_is_damage(void **state) {
    struct view view = open_view(*state);
    insert(&view, 0, DUE);
    failing_msyncs = 1;
    assert_int_equal(step(&view), ERROR_DAMAGED);
    assert_true(index_step_due(view.index));
    disk.failing_syncs = 1;
    index_request_checkpoint(view.index);
    assert_int_equal(step(&view), ERROR_DAMAGED);
    close_view(&view);
    assert_int_equal(trusted(*state), 0);
}

/* The journal's end was lost in a crash; what is written there now must be indexed. */
static void the_checkpoint_does_not_outlast_the_journal(void **state) {
    struct view view = open_view(*state);
    struct reach back = reach_of(30);
    insert(&view, 0, 40);
    whole_step(&view);
    assert_int_equal(index_set_reach(view.index, &back, &reason), 0);
    insert(&view, 30, 60);
    close_view(&view);
    assert_int_equal(trusted(*state), 30);
}

/* ---- killed at each call ---- */

static long calls_left = -1; /* -1: unlimited */

/* Overrides the C library's. A process killed at a call either has not made it, or has made it without seeing
 * the result; the latter equals the start of the next call. */
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    if (calls_left > 0 && --calls_left == 0)
        _exit(9);
    return syscall(SYS_pwrite64, fd, bytes, length, at);
}

#define KILLED_UNTIL 150

/* Inserts and makes steps, from the end of the index up to KILLED_UNTIL. */
static void work_on(const char *path) {
    struct view view = open_view_of(path, 1);
    for (unsigned number; (number = reached(&view)) < KILLED_UNTIL;) {
        insert(&view, number, number + 5);
        if (number % 25 == 0)
            whole_step(&view);
    }
    close_view(&view);
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
        struct view view = open_view(*state);
        /* If it was killed before the first state was written, there is no usable index. */
        if (begin(&view) == ERROR_DAMAGED)
            assert_int_equal(index_discard(view.index, &reason), 0);
        close_view(&view);
        work_on(*state);
        check_whole(*state, KILLED_UNTIL);
        assert_true(has_table(*state, 2));
        assert_int_equal(directory_clear(AT_FDCWD, path_in(*state, "seen"), &reason), 0);
    }
    assert_true(killed > 150);
}

/* ---- starting over ---- */

/* Deleted while in use: the next process starts over, and so does the one that had it open. */
static void a_deleted_index_starts_over(void **state) {
    struct view view = open_view(*state), other = open_view(*state);
    insert(&view, 0, 200);
    assert_true(index_exists(view.directory));
    assert_int_equal(index_discard(view.index, &reason), 0);
    assert_false(index_exists(view.directory));
    assert_false(has_table(*state, 0));
    assert_int_equal(reached(&view), 0);
    assert_int_equal(look_for(&view, 0), 0);
    insert(&view, 0, 10);
    insert(&other, 10, 20);
    assert_int_equal(index_discard(other.index, &reason), 0);
    insert(&other, 20, 30);
    assert_false(index_is_current(view.index));
    assert_int_equal(begin(&view), 0);
    assert_int_equal(look_for(&view, 5), 0);
    assert_int_equal(look_for(&view, 25), 1);
    close_view(&view);
    close_view(&other);
}

static const char *const older[] = {"young.0", "young.1", "middle.1", "old.1", "state.new", "99"};

static void write_older_files(const char *path) {
    char name[32];
    mkdir(path_in(path, "seen"), 0700);
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        snprintf(name, sizeof name, "seen/%s", older[i]);
        write_file(path_in(path, name), "of an earlier version", 21, 0600);
    }
}

static void check_no_older_files(const char *path) {
    char name[32];
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        snprintf(name, sizeof name, "seen/%s", older[i]);
        assert_int_not_equal(access(path_in(path, name), F_OK), 0);
    }
}

static void files_of_older_versions_are_removed(void **state) {
    struct view view = open_view(*state);
    write_older_files(*state);
    insert(&view, 0, 10); /* the first index replaces them */
    check_no_older_files(*state);
    check_whole(*state, 10);
    write_older_files(*state);
    assert_int_equal(index_discard(view.index, &reason), 0);
    check_no_older_files(*state);
    write_older_files(*state);
    assert_int_equal(directory_clear(view.directory, "seen", &reason), 0);
    check_no_older_files(*state);
    assert_int_equal(directory_clear(view.directory, "nowhere", &reason), 0);
    close_view(&view);
}

/* ---- untrustworthy files ---- */

#define STORED (FULL_SECOND + 20)

/* Opens the index again and looks for everything. Returns the first error; fails the test if an entry is
 * missing without an error. */
static int look_for_all(const char *path) {
    struct view view = open_view(path);
    int result = begin(&view);
    for (unsigned i = 0; i < STORED && result >= 0; i++) {
        result = look_for(&view, i);
        if (result == 0)
            fail_msg("identifier %u is not found, and nobody says why", i);
    }
    close_view(&view);
    return result < 0 ? result : 0;
}

/* A directory with an index of three tables. */
static int set_up_tables(void **state) {
    reset_disk();
    if (make_directory(state) != 0)
        return -1;
    struct view view = open_view(*state);
    insert(&view, 0, STORED);
    close_view(&view);
    return look_for_all(*state);
}

/* Reading every bucket finds the damage; a search does too, unless it needs only other buckets. */
static void check_damaged(const char *path) {
    struct view view = open_view(path);
    uint64_t sums[2] = {0};
    assert_int_equal(begin(&view), 0);
    assert_int_equal(index_each(view.index, add_up, sums, &reason), ERROR_DAMAGED);
    close_view(&view);
    int result = look_for_all(path);
    assert_true(result == ERROR_DAMAGED || result == 0);
}

static void damage_of_any_bucket_is_found(void **state) {
    static const char *const names[] = {"seen/00", "seen/01", "seen/02"};
    for (unsigned table = 0; table < 3; table++) {
        size_t length;
        char *good = read_file(path_in(*state, names[table]), &length), *bad = malloc(length);
        assert_int_equal(length, SIZE_OF(table));
        for (size_t at = 0; at < length; at += at < 1024 ? 13 : 509) {
            memcpy(bad, good, length);
            bad[at] = (char)(bad[at] ^ 0x40);
            write_file(path_in(*state, names[table]), bad, length, 0600);
            check_damaged(*state);
        }
        for (size_t bucket = 0; bucket < length; bucket += 512) {
            memcpy(bad, good, length);
            memset(bad + bucket, 0, 512);
            write_file(path_in(*state, names[table]), bad, length, 0600);
            check_damaged(*state);
            memcpy(bad + bucket, good + (bucket + 512) % length, 512); /* another bucket in its place */
            write_file(path_in(*state, names[table]), bad, length, 0600);
            check_damaged(*state);
        }
        for (size_t cut = 0; cut < length; cut += 500) {
            write_file(path_in(*state, names[table]), good, cut, 0600);
            check_damaged(*state);
        }
        write_file(path_in(*state, names[table]), good, length, 0600);
        assert_int_equal(look_for_all(*state), 0);
        free(good);
        free(bad);
    }
}

static void a_missing_table_is_found(void **state) {
    static const char *const names[] = {"seen/00", "seen/01", "seen/02"};
    for (unsigned table = 0; table < 3; table++) {
        assert_int_equal(rename(path_in(*state, names[table]), path_in(*state, "away")), 0);
        assert_int_equal(look_for_all(*state), ERROR_DAMAGED);
        assert_int_equal(rename(path_in(*state, "away"), path_in(*state, names[table])), 0);
        assert_int_equal(look_for_all(*state), 0);
    }
}

/* A copy may be of any age. */
static void a_copied_file_is_found(void **state) {
    static const char *const names[] = {"seen/00", "seen/01", "seen/02", "seen/state"};
    for (unsigned i = 0; i < 4; i++) {
        char path[512];
        size_t length;
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        char *bytes = read_file(path, &length);
        write_file(path_in(*state, "copy"), bytes, length, 0600);
        free(bytes);
        assert_int_equal(rename(path, path_in(*state, "away")), 0);
        assert_int_equal(rename(path_in(*state, "copy"), path), 0);
        assert_int_equal(look_for_all(*state), ERROR_DAMAGED);
        assert_int_equal(rename(path_in(*state, "away"), path), 0);
        assert_int_equal(look_for_all(*state), 0);
    }
}

static void a_table_of_another_index_is_found(void **state) {
    size_t length;
    char *bytes = read_file(path_in(*state, "seen/01"), &length);
    struct view view = open_view(*state);
    assert_int_equal(begin(&view), 0);
    assert_int_equal(index_discard(view.index, &reason), 0);
    insert(&view, 0, STORED);
    close_view(&view);
    write_file(path_in(*state, "seen/01"), bytes, length, 0600); /* in place */
    free(bytes);
    assert_int_equal(look_for_all(*state), ERROR_DAMAGED);
}

static void a_damaged_state_is_found(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/seen/state", (char *)*state);
    size_t length;
    char *good = read_file(path, &length), *bad = malloc(length);
    for (size_t at = 0; at < 400; at++) { /* both slots */
        memcpy(bad, good, length);
        bad[at] ^= 1;
        bad[4096 + at] ^= 1;
        write_file(path, bad, length, 0600);
        int result = look_for_all(*state);
        if (result != ERROR_DAMAGED)
            fail_msg("byte %zu of both slots was changed: %d", at, result);
    }
    static const char nothing[8192] = "";
    write_file(path, nothing, sizeof nothing, 0600);
    assert_int_equal(look_for_all(*state), ERROR_DAMAGED);
    write_file(path, "", 0, 0600);
    assert_int_equal(look_for_all(*state), ERROR_DAMAGED);
    write_file(path, good, length, 0600);
    assert_int_equal(look_for_all(*state), 0);
    free(good);
    free(bad);
}

/* The other slot has the previous state, which claims less, but nothing false. */
static void one_damaged_slot_costs_one_step(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/seen/state", (char *)*state);
    size_t length;
    char *good = read_file(path, &length), *bad = malloc(length);
    struct view view = open_view(*state);
    assert_int_equal(reached(&view), STORED);
    for (size_t slot = 0; slot < 8192; slot += 4096) {
        memcpy(bad, good, length);
        bad[slot + 100] ^= 1;
        write_file(path, bad, length, 0600);
        struct view fresh = open_view(*state);
        unsigned number = reached(&fresh);
        assert_true(number == STORED || number == 0);
        insert(&fresh, number, STORED);
        close_view(&fresh);
        check_whole(*state, STORED);
        write_file(path, good, length, 0600);
    }
    close_view(&view);
    free(good);
    free(bad);
}

static void an_older_state_is_detected_by_a_process_that_knew_more(void **state) {
    char path[512];
    snprintf(path, sizeof path, "%s/seen/state", (char *)*state);
    struct view view = open_view(*state);
    assert_int_equal(begin(&view), 0);
    size_t length;
    char *older_state = read_file(path, &length);
    insert(&view, STORED, STORED + 5);
    write_file(path, older_state, length, 0600);
    assert_int_equal(begin(&view), ERROR_DAMAGED);
    close_view(&view);
    view = open_view(*state); /* one that did not know reads on from there; nothing is missing */
    assert_int_equal(reached(&view), STORED);
    insert(&view, STORED, STORED + 5);
    close_view(&view);
    check_whole(*state, STORED + 5);
    free(older_state);
}

/* I/O errors are neither damage nor absence. */
static void system_errors_are_distinguished_from_damage(void **state) {
    struct stat status;
    struct view view = open_view(*state);
    assert_int_equal(begin(&view), 0);
    assert_int_equal(stat(path_in(*state, "seen/00"), &status), 0);
    disk.unreadable = status.st_ino;
    assert_int_equal(look_for(&view, 0), ERROR_SYSTEM);
    assert_int_equal(stat(path_in(*state, "seen/state"), &status), 0);
    disk.unreadable = status.st_ino;
    assert_int_equal(begin(&view), ERROR_SYSTEM);
    disk.unreadable = 0;
    close_view(&view);
    assert_int_equal(look_for_all(*state), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_directory)
#define TABLES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_tables, remove_directory)

static int set_up(void **state) {
    reset_disk();
    return make_directory(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_stored_is_found),
        TEST(the_kinds_of_identifier_are_distinct),
        TEST(storing_twice_is_storing_once),
        TEST(it_grows_over_several_tables),
        TEST(a_bucket_is_read_again_under_each_lock),
        TEST(collisions_are_all_visited),
        TEST(the_indexed_position_is_remembered),
        TEST(a_checkpoint_is_made_in_steps),
        TEST(a_growing_index_is_synced_too),
        TEST(the_next_table_is_prepared),
        TEST(a_whole_step_is_a_checkpoint),
        TEST(two_processes_make_one_checkpoint),
        TEST(a_late_step_changes_nothing),
        TEST(a_reboot_restarts_the_round),
        TEST(after_a_reboot_later_tables_do_not_count),
        TEST(checkpoints_advance_without_a_boot_id),
        TEST(a_sync_that_fails_is_damage),
        TEST(the_checkpoint_does_not_outlast_the_journal),
        TEST(a_kill_at_any_call_costs_nothing),
        TEST(a_deleted_index_starts_over),
        TEST(files_of_older_versions_are_removed),
        TABLES_TEST(damage_of_any_bucket_is_found),
        TABLES_TEST(a_missing_table_is_found),
        TABLES_TEST(a_copied_file_is_found),
        TABLES_TEST(a_table_of_another_index_is_found),
        TABLES_TEST(a_damaged_state_is_found),
        TABLES_TEST(one_damaged_slot_costs_one_step),
        TABLES_TEST(an_older_state_is_detected_by_a_process_that_knew_more),
        TABLES_TEST(system_errors_are_distinguished_from_damage),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
