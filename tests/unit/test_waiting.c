/* Deferred events are on the disk as in the queues, and a damaged slot affects only itself. */
#include "support.h"

#include "apart.h"
#include "waiting.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOON (INT64_C(1771070400) * SECOND)
#define LINE 128
#define PATH "cursors/bell.waiting"

static int directory;
static struct queues *queues;
static struct waiting waiting;
static struct reason reason;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    queues = queues_new();
    waiting = (struct waiting){.known = false};
    return queues == NULL || !queues_reserve(queues, 1);
}

static int tear_down(void **state) {
    queues_free(queues);
    close(directory);
    return remove_directory(state);
}

static void add(uint64_t seq, uint64_t order) {
    struct item item = {.seq = seq,
                        .identity = UINT64_MAX - seq,
                        .position = {.day = 20780, .offset = seq * 1000},
                        .order = order,
                        .attempts = 3,
                        .due = NOON + 30 * SECOND};
    queues_add(queues, &item, NOON);
}

static void save(void) {
    assert_int_equal(waiting_save(&waiting, directory, "bell", queues, &reason), 0);
}

static ino_t inode(void) {
    struct stat status;
    return fstatat(directory, PATH, &status, 0) == 0 ? status.st_ino : 0;
}

static void write_text(void **state, const char *text) {
    write_file(path_in(*state, PATH), text, strlen(text), 0600);
}

/* Records each as seq:attempts. */
static void note(void *context, const struct item *item) {
    char *list = context;
    snprintf(list + strlen(list), 256 - strlen(list), "%u:%d ", (unsigned)item->seq, item->attempts);
}

static const char *kept(void) {
    static char list[256];
    list[0] = '\0';
    assert_int_equal(waiting_each(directory, "bell", note, list, &reason), 0);
    return list;
}

static void events_are_loaded_as_saved(void **state) {
    (void)state;
    struct item largest = {.seq = 999999999999999999,
                           .identity = 0,
                           .position = {.day = DAY_MAX, .offset = 999999999999999999},
                           .order = UINT64_MAX,
                           .attempts = 999999999,
                           .due = NOON + SECOND / 2};
    add(1, 5);
    queues_add(queues, &largest, NOON);
    save();
    assert_int_equal(waiting_load(directory, "bell", queues, NOON, &reason), 0);
    assert_int_equal(queues_count(queues), 2);
    const struct item *item = queues_find(queues, &largest);
    assert_non_null(item);
    assert_int_equal(item->position.day, largest.position.day);
    assert_int_equal(item->position.offset, largest.position.offset);
    assert_int_equal(item->attempts, largest.attempts);
    assert_int_equal(item->due, NOON); /* whole seconds */
    item = queues_find(queues, &(struct item){.seq = 1, .identity = UINT64_MAX - 1, .order = 5});
    assert_non_null(item);
    assert_int_equal(item->due, NOON + 30 * SECOND);
    assert_int_equal(item->state, ITEM_WAITING);
}

static void a_running_attempt_is_not_saved(void **state) {
    (void)state;
    add(1, 1);
    assert_int_equal(queues_next(queues, NOON + 30 * SECOND)->attempts, 4);
    save();
    assert_string_equal(kept(), "1:3 ");
}

static void events_of_a_device_come_back_in_order(void **state) {
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        add(seq, seq);
    for (uint64_t seq = 1; seq <= 2; seq++)
        queues_remove(queues, queues_take(queues, seq));
    add(7, 9); /* in the slot that number 2 had */
    add(8, 9); /* and in that of number 1, before it */
    save();
    assert_string_equal(kept(), "8:3 7:3 3:3 ");
    assert_int_equal(waiting_load(directory, "bell", queues, NOON, &reason), 0);
    assert_null(queues_take(queues, 8));
    assert_int_equal(queues_take(queues, 7)->seq, 7);
}

static void only_changes_are_written_and_in_place(void **state) {
    size_t length, again;
    for (uint64_t seq = 1; seq <= 4; seq++)
        add(seq, seq);
    save();
    ino_t first = inode();
    char *before = read_file(path_in(*state, PATH), &length);
    assert_int_equal(length, 4 * LINE);
    queues_remove(queues, queues_take(queues, 2));
    save();
    assert_int_equal(inode(), first);
    char *after = read_file(path_in(*state, PATH), &again);
    assert_int_equal(again, length);
    memset(before + LINE, ' ', LINE - 1);
    assert_memory_equal(after, before, length);
    free(before);
    free(after);
    write_text(state, "somebody wrote over it"); /* this process has no reason to look at it */
    save();
    assert_int_equal(inode(), first);
}

static void an_empty_queue_removes_the_file(void **state) {
    (void)state;
    save();
    assert_int_equal(inode(), 0); /* there never was anything */
    add(1, 1);
    save();
    assert_int_not_equal(inode(), 0);
    queues_remove(queues, queues_take(queues, 1));
    save();
    assert_int_equal(inode(), 0);
    add(2, 2);
    save(); /* all of it, because the file is gone */
    assert_string_equal(kept(), "2:3 ");
}

static void a_failed_write_is_repeated_next_time(void **state) {
    add(1, 1);
    save();
    assert_int_equal(unlinkat(directory, PATH, 0), 0);
    assert_int_equal(mkdir(path_in(*state, PATH), 0700), 0);
    add(2, 2);
    assert_int_equal(waiting_save(&waiting, directory, "bell", queues, &reason), ERROR_SYSTEM);
    assert_int_equal(rmdir(path_in(*state, PATH)), 0);
    save();
    assert_string_equal(kept(), "1:3 2:3 ");
}

/* ---- a file that was edited, or damaged ---- */

#define START "[18,\"2026-11-23\",8123,\"0123456789abcdef\",\"fedcba9876543210\""

static void every_member_is_required(void **state) {
    static const struct {
        const char *line;
        int damaged;
    } cases[] = {{START ",2,1795420800]", 0},
                 {START ",2,0]", 0},
                 {START ",2,-5]", 1},
                 {START ",0,1795420800]     ", 0},
                 {"", 0},
                 {"      ", 0},
                 {START ",2]", 1},
                 {START ",2,1795420800", 1},
                 {START ",2,1795420800]x", 1},
                 {START ",-1,1795420800]", 1},
                 {START ",2,x]", 1},
                 {"[0,\"2026-11-23\",8123,\"0123456789abcdef\",\"fedcba9876543210\",2,1795420800]", 1},
                 {"[18,\"2026-11-31\",8123,\"0123456789abcdef\",\"fedcba9876543210\",2,1795420800]", 1},
                 {"[18,\"2026-11-2\",8123,\"0123456789abcdef\",\"fedcba9876543210\",2,1795420800]", 1},
                 {"[18,\"2026-11-23\",8123,\"0123456789abcdefg\",\"fedcba9876543210\",2,1795420800]", 1},
                 {"{\"seq\":18}", 1},
                 {"\x01", 1}};
    char text[LINE + 1], list[256];
    assert_int_equal(mkdir(path_in(*state, "cursors"), 0700), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int whole = 0; whole < 2; whole++) { /* the last one need not be whole */
            list[0] = '\0';
            snprintf(text, sizeof text, whole ? "%-127s\n" : "%s", cases[i].line);
            write_text(state, text);
            assert_int_equal(waiting_each(directory, "bell", note, list, &reason), cases[i].damaged);
            bool is_empty = cases[i].line[strspn(cases[i].line, " ")] == '\0';
            assert_int_equal(list[0] == '\0', cases[i].damaged == 1 || is_empty);
        }
}

static int load(void *context) {
    (void)context;
    int result = waiting_load(directory, "bell", queues, NOON, &reason);
    printf("%d, %zu items", result, queues_count(queues));
    return 0;
}

static void a_damaged_slot_affects_only_itself(void **state) {
    char text[3 * LINE + 1];
    assert_int_equal(mkdir(path_in(*state, "cursors"), 0700), 0);
    snprintf(text, sizeof text, "%-127s\n%-127s\n%-127s\n", START ",2,0]", "damage", START ",3,0]");
    text[2 * LINE - 1] = 'x'; /* its line break, too */
    write_text(state, text);
    const struct ending *ending = run_apart(load, NULL);
    assert_string_equal(ending->out, "0, 2 items");
    assert_string_equal(ending->said,
                        "doorpost: cursors/bell.waiting: 1 damaged lines, whose events are not run; "
                        "see them with doorpost log\n");
}

static void an_unreadable_file_is_not_taken_for_an_empty_one(void **state) {
    assert_int_equal(mkdir(path_in(*state, "cursors"), 0700), 0);
    assert_int_equal(mkdir(path_in(*state, PATH), 0700), 0);
    assert_true(waiting_load(directory, "bell", queues, NOON, &reason) < 0);
    assert_non_null(strstr(reason.text, PATH));
}

#define WAITING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WAITING_TEST(events_are_loaded_as_saved),
        WAITING_TEST(a_running_attempt_is_not_saved),
        WAITING_TEST(events_of_a_device_come_back_in_order),
        WAITING_TEST(only_changes_are_written_and_in_place),
        WAITING_TEST(an_empty_queue_removes_the_file),
        WAITING_TEST(a_failed_write_is_repeated_next_time),
        WAITING_TEST(every_member_is_required),
        WAITING_TEST(a_damaged_slot_affects_only_itself),
        WAITING_TEST(an_unreadable_file_is_not_taken_for_an_empty_one),
    };
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
