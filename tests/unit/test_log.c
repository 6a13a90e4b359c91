/* The log: each entry is one line of logfmt that no input can break; repetitions are counted, and none is
 * lost. */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "support.h"

#include "apart.h"
#include "log.h"
#include "timestamp.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOON (INT64_C(1795435200) * SECOND)

static int64_t now;

int clock_gettime(clockid_t clock, struct timespec *out) {
    int64_t at = now + (clock == CLOCK_REALTIME ? NOON : 0);
    *out = (struct timespec){.tv_sec = at / SECOND, .tv_nsec = at % SECOND * 1000};
    return 0;
}

static void refuse(const char *cause) {
    log_answer(LOG_PROBLEMS,
               &(struct log_answer){.status = 401, .disposition = "unauthorized", .cause = cause});
}

/* How many times the lines contain this text. */
static unsigned count(const char *lines, const char *text) {
    unsigned found = 0;
    for (; (lines = strstr(lines, text)) != NULL; lines++)
        found++;
    return found;
}

/* ---- one line ---- */

static int write_full(void *context) {
    static struct event event = {
        .id = "event 1", .type = "button_press", .device = "T\xc3\x9cR", .account = ""};
    (void)context;
    log_answer(LOG_ALL, &(struct log_answer){.status = 200,
                                             .disposition = "stored",
                                             .cause = "",
                                             .client = "203.0.113.7",
                                             .key = "69ffb5b9",
                                             .event = &event,
                                             .seq = UINT64_MAX,
                                             .batch = 48,
                                             .duration = 121});
    log_answer(LOG_ALL, &(struct log_answer){
                            .status = 503, .disposition = "unavailable", .cause = "a\n\"b\"\\\x1b[2J\xff"});
    log_warning(LOG_ALL, "look out");
    log_error("the end");
    return 0;
}

static void a_line_has_the_known_fields_escaped(void **state) {
    (void)state;
#define AT "doorpost time=2026-11-23T12:00:00.000000Z "
    assert_string_equal(run_apart(write_full, NULL)->said,
                        AT "level=info status=200 verdict=stored client=\"203.0.113.7\" event_id=\"event 1\" "
                           "type=\"button_press\" device=\"T\\u00dcR\" key=\"69ffb5b9\" "
                           "seq=18446744073709551615 batch=48 us=121\n" AT
                           "level=error status=503 verdict=unavailable "
                           "cause=\"a\\n\\\"b\\\"\\\\\\u001b[2J\\u00ff\" batch=0 us=0\n" AT
                           "level=warning cause=\"look out\"\n" AT "level=error cause=\"the end\"\n");
}

static int write_longest(void *context) {
    static struct event event;
    static char cause[sizeof((struct reason *)0)->text], client[128];
    (void)context;
    memset(event.id, '\x01', sizeof event.id - 1);
    memset(event.type, '\x01', sizeof event.type - 1);
    memset(event.device, '\x01', sizeof event.device - 1);
    memset(event.account, '\x01', sizeof event.account - 1);
    memset(cause, '\x01', sizeof cause - 1);
    memset(client, '\x01', sizeof client - 1);
    log_answer(LOG_ALL, &(struct log_answer){.status = 400,
                                             .disposition = "rejected",
                                             .cause = cause,
                                             .client = client,
                                             .key = "69ffb5b9",
                                             .event = &event});
    return 0;
}

/* A pipe takes the line whole, so lines of several processes do not mix. */
static void the_longest_line_is_an_atomic_pipe_write(void **state) {
    (void)state;
    const char *said = run_apart(write_longest, NULL)->said;
    size_t length = strlen(said);
    assert_in_range(length, 1000, PIPE_BUF);
    assert_int_equal(count(said, "\n"), 1);
    assert_int_equal(said[length - 1], '\n');
    assert_int_equal(count(said, "=\"\\u0001"), 6); /* each value is cut, and none is left out */
    assert_int_equal(count(said, "\\u0001\" "), 6);
    assert_non_null(strstr(said, " key=\"69ffb5b9\" batch=0 us=0\n"));
}

/* ---- which lines ---- */

static int write_each(void *context) {
    static const int statuses[] = {200, 299, 400, 401, 413, 503};
    enum log_level level = *(enum log_level *)context;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        log_answer(level, &(struct log_answer){.status = statuses[i], .disposition = "x"});
    log_warning(level, "x");
    log_error("x");
    return 0;
}

static void the_level_decides_which_answers_are_written(void **state) {
    static const struct {
        enum log_level level;
        unsigned info, warning, error;
    } cases[] = {{LOG_ALL, 2, 4, 2}, {LOG_PROBLEMS, 0, 4, 2}, {LOG_OFF, 0, 0, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum log_level level = cases[i].level;
        const char *said = run_apart(write_each, &level)->said;
        assert_int_equal(count(said, "level=info"), cases[i].info);
        assert_int_equal(count(said, "level=warning"), cases[i].warning);
        assert_int_equal(count(said, "level=error"), cases[i].error);
    }
}

/* ---- what repeats ---- */

/* A thousand of one cause at once, then one every tenth of a second for ten seconds. */
static int repeat(void *context) {
    (void)context;
    for (int i = 0; i < 1000; i++)
        refuse("bad");
    for (int i = 0; i < 100; i++) {
        now += SECOND / 10;
        refuse("bad");
    }
    log_summarize(true);
    return 0;
}

/* Adds up what the lines report: one each, or their count. */
static unsigned long total(const char *lines) {
    unsigned long sum = 0;
    for (const char *line = lines, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *repeated = strstr(line, " repeated=");
        sum += repeated != NULL && repeated < end ? strtoul(repeated + 10, NULL, 10) : 1;
    }
    return sum;
}

static void repetitions_are_counted_and_none_is_lost(void **state) {
    (void)state;
    const char *said = run_apart(repeat, NULL)->said;
    assert_int_equal(total(said), 1100);
    assert_int_equal(count(said, "verdict="), 3); /* a few at once */
    assert_in_range(count(said, "\n"), 3 + 9, 3 + 11);
    assert_non_null(strstr(said, "level=warning status=401 cause=\"bad\" repeated="));
}

static int repeat_several(void *context) {
    unsigned *causes = context;
    char cause[200];
    for (unsigned i = 0; i < *causes; i++)
        for (int repetition = 0; repetition < 10; repetition++) {
            snprintf(cause, sizeof cause, "%u %150s", i, "long"); /* longer than what is compared */
            refuse(cause);
        }
    log_summarize(true);
    return 0;
}

static void causes_are_counted_separately_and_too_many_lose_nothing(void **state) {
    (void)state;
    for (unsigned causes = 1; causes <= 20; causes += 19) {
        const char *said = run_apart(repeat_several, &causes)->said;
        assert_int_equal(total(said), 10 * causes);
        assert_int_equal(count(said, "verdict="), 3 * causes);
    }
}

static int repeat_what_ring_signed(void *context) {
    (void)context;
    for (int i = 0; i < 50; i++)
        log_answer(LOG_PROBLEMS,
                   &(struct log_answer){
                       .status = 400, .disposition = "rejected", .cause = "stale", .key = "69ffb5b9"});
    return 0;
}

static void signed_deliveries_are_always_logged(void **state) {
    (void)state;
    assert_int_equal(count(run_apart(repeat_what_ring_signed, NULL)->said, "verdict=rejected"), 50);
}

/* Prints when more is due, and what is written then. */
static int wait_for_counts(void *context) {
    (void)context;
    printf("%d ", log_summarize(false) == INT64_MAX);
    for (int i = 0; i < 5; i++)
        refuse("bad");
    int64_t due = log_summarize(false);
    printf("%lld ", (long long)due);
    now = due - 1;
    printf("%d ", log_summarize(false) == due);
    now = due;
    printf("%d", log_summarize(false) == INT64_MAX);
    return 0;
}

static void counts_are_due_a_second_later(void **state) {
    (void)state;
    now = 0;
    const struct ending *ending = run_apart(wait_for_counts, NULL);
    assert_string_equal(ending->out, "1 1000000 1 1");
    assert_int_equal(count(ending->said, "repeated=2\n"), 1);
    assert_int_equal(total(ending->said), 5);
}

/* ---- where it goes ---- */

static int take_held(void *context) {
    char out[LOG_HELD + 1];
    size_t size = *(size_t *)context, taken;
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    for (int i = 0; i < 500; i++)
        log_error("held");
    while ((taken = log_take(out, size)) > 0)
        if (out[taken - 1] != '\n' || fwrite(out, 1, taken, stdout) != taken)
            return 1;
    log_error("after");
    taken = log_take(out, sizeof out);
    return fwrite(out, 1, taken, stdout) == taken ? 0 : 2;
}

static void without_a_reader_lines_are_kept_whole_or_counted(void **state) {
    (void)state;
    for (size_t size = 100; size <= LOG_HELD; size += LOG_HELD - 100) {
        const struct ending *ending = run_apart(take_held, &size);
        assert_int_equal(ending->status, 0);
        assert_string_equal(ending->said, "");
        unsigned held = count(ending->out, "cause=\"held\"\n"), dropped = 0;
        assert_in_range(held, 50, 499);
        assert_int_equal(sscanf(strstr(ending->out, "dropped="), "dropped=%u", &dropped), 1);
        assert_int_equal(held + dropped, 500);
        assert_string_equal(strstr(ending->out, "dropped=") + 11, "\n" AT "level=error cause=\"after\"\n");
    }
}

/* Fills a pipe that nobody reads. */
static int fill_pipe(void *context) {
    int ends[2];
    char bytes[65536];
    (void)context;
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 8192) < 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return 1;
    for (int i = 0; i < 500; i++)
        log_error("pipe");
    for (int i = 0; i < 2; i++) {
        ssize_t got = read(ends[0], bytes, sizeof bytes);
        if (got <= 0 || fwrite(bytes, 1, (size_t)got, stdout) != (size_t)got)
            return 2;
        log_error("after");
    }
    return 0;
}

static void logging_never_blocks_and_dropped_lines_are_reported(void **state) {
    unsigned dropped = 0;
    (void)state;
    const struct ending *ending = run_apart(fill_pipe, NULL);
    assert_int_equal(ending->status, 0);
    assert_int_equal(sscanf(strstr(ending->out, "dropped="), "dropped=%u", &dropped), 1);
    assert_int_equal(count(ending->out, "cause=\"pipe\"\n") + dropped, 500);
    assert_int_equal(count(ending->out, "cause=\"after\"\n"), 1);
}

static int rotate(void *context) {
    const char *path = context, *old = path_in(path, "old");
    path = path_in(path, "log");
    dup2(open(path, O_WRONLY | O_APPEND | O_CREAT, 0600), STDERR_FILENO);
    log_error("first");
    if (rename(path, old) != 0)
        return 1;
    log_error("second"); /* the name does not exist yet */
    if (close(open(path, O_WRONLY | O_CREAT, 0600)) != 0)
        return 2;
    log_error("third");
    return 0;
}

static void after_rotation_the_new_file_is_the_log(void **state) {
    size_t length;
    assert_int_equal(run_apart(rotate, *state)->status, 0);
    char *old = read_file(path_in(*state, "old"), &length), *new = read_file(path_in(*state, "log"), &length);
    assert_int_equal(count(old, "\n"), 2);
    assert_non_null(strstr(old, "second"));
    assert_int_equal(count(new, "\n"), 1);
    assert_non_null(strstr(new, "third"));
    free(old);
    free(new);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_known_fields_escaped),
        cmocka_unit_test(the_longest_line_is_an_atomic_pipe_write),
        cmocka_unit_test(the_level_decides_which_answers_are_written),
        cmocka_unit_test(repetitions_are_counted_and_none_is_lost),
        cmocka_unit_test(causes_are_counted_separately_and_too_many_lose_nothing),
        cmocka_unit_test(signed_deliveries_are_always_logged),
        cmocka_unit_test(counts_are_due_a_second_later),
        cmocka_unit_test(without_a_reader_lines_are_kept_whole_or_counted),
        cmocka_unit_test(logging_never_blocks_and_dropped_lines_are_reported),
        cmocka_unit_test_setup_teardown(after_rotation_the_new_file_is_the_log, make_directory,
                                        remove_directory),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
