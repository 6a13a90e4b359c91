/* The runner's loop: what becomes of each exit status, and what a source may refuse. The source here is a
 * list; the command exits with the status that it reads. */
#include "apart.h"
#include "support.h"

#include "source.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 4

/* A source that is finished after one attempt of each event. It reports to standard output. */
static struct list_source {
    struct source base;
    const struct run *run;
    struct {
        int attempt; /* 0: the end of the list */
        const char *body;
    } list[EVENTS_MAX + 1];
    size_t taken, finished;
    int passes, held; /* passes before anything may start */
    bool refuses, drops, breaks, stops, is_unsaved, looked_again;
} source;

static struct event event = {.id = "press", .type = "button_press"};

static int open_list(struct source *base) {
    (void)base;
    return STATUS_DONE;
}

static void note(struct source *base, const struct runner_note *note) {
    (void)base;
    (void)note;
}

static void advance(struct source *base) {
    source.passes++;
    if (source.breaks && source.finished > 0)
        base->broken = base->ending = true;
}

static bool next(struct source *base, struct due *due) {
    (void)base;
    if (source.passes <= source.held || source.list[source.taken].attempt == 0)
        return false;
    const char *body = source.list[source.taken].body;
    *due = (struct due){.item = {.seq = source.taken + 1, .attempts = source.list[source.taken].attempt},
                        .event = &event,
                        .received_at = "2026-11-23T12:00:00.123456Z",
                        .body = body,
                        .length = strlen(body)};
    source.taken++;
    if (source.stops)
        raise(SIGTERM);
    return true;
}

static bool finish(struct source *base, const struct item *item, enum result result,
                   const struct failure *failure) {
    static const char *const names[] = {"done", "failed", "given up", "interrupted", "postponed"};
    (void)base;
    source.finished++;
    printf("%d %s", (int)item->seq, names[result]);
    printf(result == RESULT_DONE || failure == NULL ? "\n" : " %s\n", failure != NULL ? failure->how : "");
    return !source.refuses;
}

static size_t watch(struct source *base, struct pollfd watched[SOURCE_WATCHED], int64_t *wait) {
    (void)watched;
    base->task[0].dropped = source.drops;
    if (base->running == 0 && source.list[source.taken].attempt > 0)
        *wait = 0;
    return 0;
}

static bool is_idle(const struct source *base) {
    (void)base;
    return source.list[source.taken].attempt == 0;
}

/* The first look finds another event. */
static bool is_over(struct source *base) {
    (void)base;
    bool over = source.looked_again || source.taken == EVENTS_MAX;
    if (!over)
        source.list[source.taken].attempt = 1;
    source.looked_again = true;
    return over;
}

static bool end(struct source *base) {
    (void)base;
    puts("end");
    return !source.is_unsaved;
}

static int run_list(void *context) {
    static const struct source_functions functions = {.open = open_list,
                                                      .note = note,
                                                      .advance = advance,
                                                      .next = next,
                                                      .finish = finish,
                                                      .watch = watch,
                                                      .is_idle = is_idle,
                                                      .is_over = is_over,
                                                      .end = end};
    source.base.functions = &functions;
    return runner_run(&source.base, context);
}

/* Runs the events one at a time, and checks the exit code and what finish() and end() received. */
static const struct ending *run(struct list_source list, struct run run, int status, const char *out) {
    static char *command[] = {"/bin/sh", "-c", "read status; exit $status", NULL};
    run.command = command;
    run.jobs = 1;
    run.timeout = 3600;
    run.grace = 3600;
    run.once = !run.retry_failed;
    run.again = "run-again";
    source = list;
    const struct ending *ending = run_apart(run_list, &run);
    assert_string_equal(ending->out, out);
    assert_int_equal(ending->status, status);
    return ending;
}

static void the_runner_decides_what_a_status_means(void **state) {
    (void)state;
    const struct ending *ending = run((struct list_source){.list = {{1, "0"}, {1, "3"}, {2, "78"}, {7, "3"}}},
                                      (struct run){0}, STATUS_DONE,
                                      "1 done\n2 failed exit status 3\n3 given up exit status 78\n"
                                      "4 given up exit status 3\nend\n");
    assert_non_null(strstr(ending->said, "event 2 (press): exit status 3; retrying in 1 s\n"));
    assert_non_null(
        strstr(ending->said, "event 4 (press) given up: exit status 3; to run it again: run-again\n"));
}

static void an_event_stored_at_the_end_is_run(void **state) {
    (void)state;
    run((struct list_source){.list = {{1, "0"}, {0, "0"}}}, (struct run){0}, STATUS_DONE,
        "1 done\n2 done\nend\n");
}

static void a_source_may_hold_events_back(void **state) {
    (void)state;
    run((struct list_source){.list = {{1, "0"}}, .held = 5, .looked_again = true}, (struct run){0},
        STATUS_DONE, "1 done\nend\n");
}

static void a_refused_result_is_not_reported(void **state) {
    (void)state;
    const struct ending *ending =
        run((struct list_source){.list = {{1, "78"}, {1, "3"}}, .refuses = true, .looked_again = true},
            (struct run){.retry_failed = true}, STATUS_DONE,
            "1 given up exit status 78\n2 given up exit status 3\nend\n");
    assert_string_equal(ending->said, "");
}

static void a_retried_event_that_fails_fails_the_run(void **state) {
    (void)state;
    run((struct list_source){.list = {{1, "0"}, {1, "3"}}, .looked_again = true},
        (struct run){.retry_failed = true}, STATUS_PROBLEM, "1 done\n2 given up exit status 3\nend\n");
}

static void a_dropped_event_is_done(void **state) {
    (void)state;
    const struct ending *ending =
        run((struct list_source){.list = {{1, "3"}}, .drops = true, .looked_again = true}, (struct run){0},
            STATUS_DONE, "1 done\nend\n");
    assert_non_null(strstr(ending->said, "event 1 (press): exit status 3; dropped"));
}

static void a_broken_source_ends_the_run(void **state) {
    (void)state;
    run((struct list_source){.list = {{1, "0"}, {1, "0"}}, .breaks = true}, (struct run){0}, STATUS_PROBLEM,
        "1 done\nend\n");
}

static void a_signal_ends_the_run_after_the_commands(void **state) {
    (void)state;
    run((struct list_source){.list = {{1, "3"}, {1, "0"}}, .stops = true}, (struct run){0}, STATUS_DONE,
        "1 failed exit status 3\nend\n");
}

static void what_cannot_be_saved_fails_the_run(void **state) {
    (void)state;
    run((struct list_source){.is_unsaved = true, .looked_again = true}, (struct run){0}, STATUS_PROBLEM,
        "end\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_runner_decides_what_a_status_means),
        cmocka_unit_test(an_event_stored_at_the_end_is_run),
        cmocka_unit_test(a_source_may_hold_events_back),
        cmocka_unit_test(a_refused_result_is_not_reported),
        cmocka_unit_test(a_retried_event_that_fails_fails_the_run),
        cmocka_unit_test(a_dropped_event_is_done),
        cmocka_unit_test(a_broken_source_ends_the_run),
        cmocka_unit_test(a_signal_ends_the_run_after_the_commands),
        cmocka_unit_test(what_cannot_be_saved_fails_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
