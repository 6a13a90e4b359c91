/* Retention: whole days are deleted, never the newest one with lines, and the rest can still be verified. */
#include "deliveries.h"

#include "prune.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAIN "0123456789abcdef0123456789abcdef"
#define DAY 20000 /* 2024-10-04 */

static struct reason reason;

static void make_day(void **state, const char *where, int32_t day, const char *text) {
    char date[DAY_SIZE], name[64];
    day_format(day, date);
    snprintf(name, sizeof name, "%s%s.jsonl", where, date);
    write_file(path_in(*state, name), text, strlen(text), 0600);
}

static bool has_day(void **state, const char *where, int32_t day) {
    char date[DAY_SIZE], name[64];
    day_format(day, date);
    snprintf(name, sizeof name, "%s%s.jsonl", where, date);
    return access(path_in(*state, name), F_OK) == 0;
}

static int open_directory(void **state) {
    return open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- the chain before the oldest line ---- */

static void the_chain_starts_before_number_one(void **state) {
    struct chain_state chain = {.seq = 5}, start = chain_start();
    int directory = open_directory(state);
    assert_int_equal(prune_chain(directory, 1, &chain, &reason), 1);
    assert_int_equal(chain.seq, 0);
    assert_string_equal(chain.recorded, start.recorded);
    assert_string_equal(chain.computed, start.computed);
    assert_true(chain.known);
    assert_false(prune_has_run(directory));
    close(directory);
}

static void the_note_is_used_if_it_matches(void **state) {
    static const struct {
        const char *text;
        uint64_t first;
        int known;
    } cases[] = {{"{\"seq\":41,\"chain\":\"" CHAIN "\"}\n", 42, 1},
                 {"{\"seq\":18446744073709551614,\"chain\":\"" CHAIN "\"}\n", UINT64_MAX, 1},
                 {"{\"seq\":41,\"chain\":\"" CHAIN "\"}\n", 41, 0},
                 {"{\"seq\":41,\"chain\":\"" CHAIN "\"}\n", 43, 0},
                 {"{\"seq\":41,\"chain\":\"0123456789abcdef0123456789abcde\"}\n", 42, 0},
                 {"{\"seq\":41,\"chain\":\"0123456789ABCDEF0123456789ABCDEF\"}\n", 42, 0},
                 {"{\"seq\":41,\"chain\":\"\"}\n", 42, 0},
                 {"{\"seq\":41}\n", 42, 0},
                 {"{\"chain\":\"" CHAIN "\",\"seq\":41}\n", 42, 0},
                 {"", 42, 0},
                 {"\n", 42, 0}};
    int directory = open_directory(state);
    struct chain_state chain;
    assert_int_equal(prune_chain(directory, 42, &chain, &reason), 0); /* there is no note */
    assert_false(chain.known);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path_in(*state, "pruned"), cases[i].text, strlen(cases[i].text), 0600);
        assert_true(prune_has_run(directory));
        assert_int_equal(prune_chain(directory, cases[i].first, &chain, &reason), cases[i].known);
        assert_int_equal(chain.known, cases[i].known);
        if (!chain.known)
            continue;
        assert_int_equal(chain.seq, cases[i].first - 1);
        assert_string_equal(chain.recorded, CHAIN);
        assert_string_equal(chain.computed, CHAIN);
    }
    close(directory);
}

static void an_unreadable_note_is_an_error(void **state) {
    int directory = open_directory(state);
    struct chain_state chain;
    assert_int_equal(mkdir(path_in(*state, "pruned"), 0700), 0);
    assert_int_equal(prune_chain(directory, 42, &chain, &reason), ERROR_SYSTEM);
    assert_non_null(strstr(reason.text, "pruned is not a regular file"));
    close(directory);
}

/* ---- which days go ---- */

/* The next line's number and chain come from the newest day with lines. */
static void the_newest_day_with_lines_is_kept(void **state) {
    static const struct {
        const char *days; /* one letter each: l has lines, e is empty, - is missing */
        int32_t keep, first;
    } cases[] = {{"", 7, 7},    {"l", 7, 0},    {"l", 0, 0},     {"lll", 7, 2},    {"lll", 2, 2},
                 {"lll", 1, 1}, {"lle", 7, 1},  {"l-e", 7, 0},   {"l-l-ee", 7, 2}, {"lle", 1, 1},
                 {"ee", 7, 0},  {"--ee", 7, 2}, {"-l--", 99, 1}, {"ll-e", 3, 1},   {"el", 7, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int directory = open_directory(state);
        int32_t keep = DAY + cases[i].keep;
        for (size_t day = 0; day < strlen(cases[i].days); day++)
            if (cases[i].days[day] != '-')
                make_day(state, "", DAY + (int32_t)day, cases[i].days[day] == 'l' ? "line\n" : "");
        assert_int_equal(prune_first(directory, &keep, &reason), 0);
        assert_int_equal(keep - DAY, cases[i].first);
        close(directory);
        run("rm -f '%s'/*", (char *)*state);
    }
}

static int count_call(void *context, int directory, struct reason *out) {
    int *result = context;
    struct stat status;
    assert_int_equal(fstatat(directory, "2024-10-04.jsonl", &status, 0), 0); /* nothing is deleted yet */
    explain(out, "no");
    return *result == 0 ? (*result = 1, 0) : *result;
}

static int prune(void **state, bool dry_run, int *called, struct pruned *pruned) {
    struct directory directory;
    struct deadline deadline = distant_deadline();
    struct before before = {.call = count_call, .context = called};
    directory_start(&directory, *state);
    int result = prune_days(&directory, DAY + 2, dry_run, &before, &deadline, pruned, &reason);
    directory_close(&directory);
    return result;
}

static void fill(void **state) {
    assert_int_equal(mkdir(path_in(*state, "rejected"), 0700), 0);
    for (int32_t day = 0; day < 4; day++) {
        make_day(state, "", DAY + day, "line\n");
        make_day(state, "rejected/", DAY - 2 + day, "rejected\n");
    }
    write_file(path_in(*state, "2024-10-04.txt"), "", 0, 0600);
}

static void days_before_the_limit_are_deleted_in_both_directories(void **state) {
    struct pruned pruned;
    int called = 0;
    fill(state);
    assert_int_equal(prune(state, false, &called, &pruned), 0);
    assert_int_equal(called, 1);
    assert_int_equal(pruned.days, 2);
    assert_int_equal(pruned.first, DAY);
    assert_int_equal(pruned.last, DAY + 1);
    assert_int_equal(pruned.bytes, 2 * 5 + 4 * 9);
    assert_false(pruned.index_stale);
    for (int32_t day = 0; day < 4; day++) {
        assert_int_equal(has_day(state, "", DAY + day), day >= 2);
        assert_false(has_day(state, "rejected/", DAY - 2 + day));
    }
    assert_int_equal(access(path_in(*state, "2024-10-04.txt"), F_OK), 0);
    assert_int_equal(prune(state, true, &called, &pruned), 0);
    assert_int_equal(pruned.days, 0);
}

static void a_dry_run_reports_the_same_and_changes_nothing(void **state) {
    struct pruned pruned;
    int called = 0;
    fill(state);
    assert_int_equal(prune(state, true, &called, &pruned), 0);
    assert_int_equal(called, 0);
    assert_int_equal(pruned.days, 2);
    assert_int_equal(pruned.bytes, 2 * 5 + 4 * 9);
    for (int32_t day = 0; day < 4; day++)
        assert_true(has_day(state, "", DAY + day) && has_day(state, "rejected/", DAY - 2 + day));
    assert_int_not_equal(access(path_in(*state, "pruned"), F_OK), 0);
}

static void a_failing_callback_prevents_pruning(void **state) {
    struct pruned pruned;
    int called = ERROR_SYSTEM;
    fill(state);
    assert_int_equal(prune(state, false, &called, &pruned), ERROR_SYSTEM);
    assert_string_equal(reason.text, "no");
    assert_int_equal(pruned.days, 0);
    assert_true(has_day(state, "", DAY) && has_day(state, "rejected/", DAY - 2));
}

static void a_journal_of_rejections_alone_is_pruned_too(void **state) {
    struct pruned pruned;
    int called = 0;
    fill(state);
    run("rm '%s'/*.jsonl", (char *)*state);
    make_day(state, "", DAY, "line\n"); /* the newest: stays, and limits rejected/ too */
    assert_int_equal(prune(state, false, &called, &pruned), 0);
    assert_int_equal(pruned.days, 2);
    assert_int_equal(pruned.first, DAY - 2);
    assert_int_equal(pruned.last, DAY - 1);
    assert_int_equal(pruned.bytes, 2 * 9);
    assert_true(has_day(state, "", DAY));
    assert_true(has_day(state, "rejected/", DAY));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(the_chain_starts_before_number_one),
        JOURNAL_TEST(the_note_is_used_if_it_matches),
        JOURNAL_TEST(an_unreadable_note_is_an_error),
        JOURNAL_TEST(the_newest_day_with_lines_is_kept),
        JOURNAL_TEST(days_before_the_limit_are_deleted_in_both_directories),
        JOURNAL_TEST(a_dry_run_reports_the_same_and_changes_nothing),
        JOURNAL_TEST(a_failing_callback_prevents_pruning),
        JOURNAL_TEST(a_journal_of_rejections_alone_is_pruned_too),
    };
    return cmocka_run_group_tests_name("prune", tests, NULL, NULL);
}
