/* All failures, from every file that records them, as one list. */
#include "support.h"

#include "apart.h"
#include "cursor.h"
#include "failed.h"
#include "failures.h"
#include "replace.h"
#include "waiting.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOON (INT64_C(1795435200) * SECOND) /* 2026-11-23T12:00:00Z */

static int directory, lock;
static struct cursor cursor;
static struct reason reason;

static int set_up(void **state) {
    if (make_directory(state) != 0)
        return -1;
    directory = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lock = replace_prepare(directory, NULL) == 0 ? cursor_open_lock(directory, "bell", NULL) : -1;
    return lock < 0;
}

static int tear_down(void **state) {
    close(lock);
    close(directory);
    return remove_directory(state);
}

static struct failure failure_of(uint64_t seq, const char *id, const char *output, size_t length) {
    return (struct failure){.seq = seq,
                            .position = {.day = 20780},
                            .event_id = id,
                            .how = "exit status 3",
                            .output = output,
                            .output_length = length,
                            .attempts = 7,
                            .at = NOON + (int64_t)seq * SECOND};
}

static void give_up(uint64_t seq, const char *id, const char *output, size_t length) {
    struct failure failure = failure_of(seq, id, output, length);
    assert_int_equal(failed_add(directory, lock, "bell", &failure, &reason), 0);
}

static void fail_once(uint64_t seq, const char *id, const char *output) {
    struct failure failure = failure_of(seq, id, output, strlen(output));
    failed_note(directory, "bell", &failure);
}

static void defer(uint64_t seq, int attempts) {
    struct waiting waiting = {.known = false};
    struct queues *queues = queues_new();
    struct item item = {.seq = seq,
                        .position = {.day = 20780},
                        .order = seq,
                        .attempts = attempts,
                        .due = NOON + 30 * SECOND};
    assert_true(queues_reserve(queues, 1));
    queues_add(queues, &item, NOON);
    assert_int_equal(waiting_save(&waiting, directory, "bell", queues, &reason), 0);
    queues_free(queues);
}

static struct json_object *list(void) {
    struct json_object *all = failures_list(directory, lock, "bell", &reason);
    assert_non_null(all);
    return all;
}

static void all_sources_are_merged(void **state) {
    (void)state;
    give_up(1, "event-1", "no", 2);
    memset(&cursor, 0, sizeof cursor);
    cursor.retry_count = 2;
    cursor.retry[0].seq = 2;
    cursor.retry[0].attempts = 1;
    cursor.retry[0].due = NOON / SECOND + 5;
    cursor.retry[1].seq = 3;
    cursor.retry[1].attempts = 2;
    cursor.retry[1].due = INT64_C(999999999999999999);
    assert_int_equal(cursor_write(directory, "bell", &cursor, &reason), 0);
    defer(4, 3);
    fail_once(9, "event-9", "it has been run since");
    fail_once(2, "event-2", "not yet");
    struct json_object *all = list();
    assert_string_equal(
        json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN),
        "[{\"seq\":1,\"attempts\":7,\"given_up\":true,\"event_id\":\"event-1\",\"at\":\"2026-11-23T12:00:01."
        "000000Z\","
        "\"how\":\"exit status 3\",\"output\":\"no\"},"
        "{\"seq\":2,\"attempts\":1,\"given_up\":false,\"retry_at\":\"2026-11-23T12:00:05.000000Z\","
        "\"event_id\":\"event-2\",\"at\":\"2026-11-23T12:00:02.000000Z\",\"how\":\"exit status "
        "3\",\"output\":\"not yet\"},"
        "{\"seq\":3,\"attempts\":2,\"given_up\":false,\"retry_at\":\"9999-12-31T23:59:59.000000Z\"},"
        "{\"seq\":4,\"attempts\":3,\"given_up\":false,\"retry_at\":\"2026-11-23T12:00:30.000000Z\"}]");
    assert_string_equal(failures_text(failures_newest(all), "seq"), "2");
    json_object_put(all);
}

/* It waits for another event of its device. */
static void an_event_never_tried_has_not_failed(void **state) {
    struct reason said = {"something"};
    (void)state;
    defer(4, 0);
    struct json_object *all = list();
    assert_int_equal(json_object_array_length(all), 0);
    assert_null(failures_newest(all));
    failures_summarize(all, "bell", &said);
    assert_string_equal(said.text, "");
    json_object_put(all);
}

static void a_failure_is_found_by_number_or_displayed_id(void **state) {
    static const struct {
        const char *query, *seq;
    } cases[] = {{"1", "1"}, {"event-1", "1"}, {"T\xc3\x9cR 2", "2"}, {"3", "3"},
                 {"", NULL}, {"4", NULL},      {"event", NULL}};
    (void)state;
    give_up(1, "event-1", "", 0);
    give_up(2, "\"T\\u00dcR 2\"", "", 0); /* the runner stores an id as the log shows it */
    give_up(3, "", "", 0);
    struct json_object *all = list();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *one = failures_find(all, cases[i].query);
        assert_int_equal(one != NULL, cases[i].seq != NULL);
        if (one != NULL)
            assert_string_equal(failures_text(one, "seq"), cases[i].seq);
    }
    json_object_put(all);
}

static int print_first(void *context) {
    failures_print(json_object_array_get_idx(context, 0), "bell");
    return 0;
}

static void output_is_shown_whole_and_escaped(void **state) {
    static const char output[] = "a\0b\x1b[2J\n";
    struct reason said;
    (void)state;
    give_up(1, "event 1", output, sizeof output - 1);
    struct json_object *all = list();
    assert_string_equal(
        run_apart(print_first, all)->out,
        "bell: event 1 (\"event 1\"), attempt 7 at 2026-11-23T12:00:01.000000Z: exit status 3, given up\n"
        "  output: \"a\\u0000b\\u001b[2J\\n\"\n");
    failures_summarize(all, "bell", &said);
    assert_non_null(strstr(said.text, "bell has failed events: 0 to be retried, 1 given up ("));
    assert_non_null(strstr(said.text, "exit status 3, output \"a\\u0000b\\u001b[2J\\n\""));
    json_object_put(all);
}

/* As one whose failures are not in files does. */
static void a_list_can_be_made_by_the_caller(void **state) {
    struct failure failure = failure_of(8, "event-8", "a\0b", 3);
    struct json_object *all = json_object_new_array();
    (void)state;
    failures_add(all, &failure, NOON + 60 * SECOND);
    failures_add(all, &failure, 0);
    assert_string_equal(
        json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN),
        "[{\"seq\":8,\"attempts\":7,\"given_up\":false,\"retry_at\":\"2026-11-23T12:01:00.000000Z\","
        "\"event_id\":\"event-8\",\"at\":\"2026-11-23T12:00:08.000000Z\",\"how\":\"exit status 3\","
        "\"output\":\"a\\u0000b\"},"
        "{\"seq\":8,\"attempts\":7,\"given_up\":true,\"event_id\":\"event-8\","
        "\"at\":\"2026-11-23T12:00:08.000000Z\",\"how\":\"exit status 3\",\"output\":\"a\\u0000b\"}]");
    json_object_put(all);
}

/* Given-up events are never reported as none because one of the files cannot be read. */
static void an_unreadable_file_is_an_error(void **state) {
    static const char *const names[] = {"cursors/bell", "cursors/bell.failed", "cursors/bell.waiting",
                                        "cursors/bell.recent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(mkdir(path_in(*state, names[i]), 0700), 0);
        reason.text[0] = '\0';
        assert_null(failures_list(directory, lock, "bell", &reason));
        assert_non_null(strstr(reason.text, names[i]));
        assert_int_equal(rmdir(path_in(*state, names[i])), 0);
    }
}

#define FAILURES_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FAILURES_TEST(all_sources_are_merged),
        FAILURES_TEST(an_event_never_tried_has_not_failed),
        FAILURES_TEST(a_failure_is_found_by_number_or_displayed_id),
        FAILURES_TEST(output_is_shown_whole_and_escaped),
        FAILURES_TEST(a_list_can_be_made_by_the_caller),
        FAILURES_TEST(an_unreadable_file_is_an_error),
    };
    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
