/* doorpost exec --from URL --status, --failed, --drop and --retry. */
#include "turns.h"

#include "command.h"
#include "consumer.h"
#include "database.h"
#include "failures.h"
#include "options.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_PARAMETERS 2
#define PLACE_SIZE 48
#define MICROSECONDS(time) "(extract(epoch FROM " time ") * 1000000)::bigint"
#define HAS_LEASE "EXISTS (SELECT FROM runners AS r WHERE r.runner = t.runner AND r.seen >= now() - lease())"

struct turns {
    struct database *database;
    struct column parameter[MOST_PARAMETERS];
    struct reason reason;
};

/* ---- asking ---- */

/* Returns false after printing the reason. */
static bool open_turns(struct turns *turns, const char *where, enum database_use use) {
    *turns = (struct turns){.reason = {""}};
    turns->database = database_new(where, use, "doorpost exec", false, &turns->reason);
    if (turns->database == NULL)
        problem("%s", turns->reason.text);
    return turns->database != NULL;
}

static void close_turns(struct turns *turns) {
    database_free(turns->database);
    for (size_t i = 0; i < MOST_PARAMETERS; i++)
        column_free(&turns->parameter[i]);
}

/* Asks for the answer to a statement with the parameters $1, a consumer, and if not NULL $2, an id. Returns
 * an exit code. */
static int query(struct turns *turns, const char *sql, const char *name, const char *id) {
    column_start(&turns->parameter[0], COLUMN_TEXT, false);
    column_add_text(&turns->parameter[0], name);
    column_start(&turns->parameter[1], COLUMN_TEXT, false);
    if (id != NULL)
        column_add_text(&turns->parameter[1], id);
    if (database_query(turns->database, sql, turns->parameter, id != NULL ? 2 : 1, &turns->reason) != 0)
        return problem("%s", turns->reason.text);
    return STATUS_DONE;
}

static int64_t number(const struct turns *turns, size_t row, size_t column) {
    return database_number(turns->database, row, column);
}

static const char *text(const struct turns *turns, size_t row, size_t column) {
    return database_bytes(turns->database, row, column, NULL);
}

/* ---- failures ---- */

#define FAILURES                                                                                            \
    "SELECT number, attempts::bigint, event_id, how, output, " MICROSECONDS(                                \
        "failed_at") ", coalesce(" MICROSECONDS("due") ", 0) FROM"                                          \
                                                       " (SELECT number, attempts, event_id, how, output, " \
                                                       "failed_at, NULL::timestamptz AS due"                \
                                                       " FROM failed WHERE consumer = $1 UNION ALL"         \
                                                       " SELECT head, attempts, coalesce(event_id, ''), "   \
                                                       "coalesce(how, ''), coalesce(output, ''),"           \
                                                       " coalesce(failed_at, due), due FROM turns"          \
                                                       " WHERE consumer = $1 AND attempts > 0 AND dropped " \
                                                       "IS DISTINCT FROM head) AS failures "

/* A command's output can be any bytes, and JSON is UTF-8. */
static struct json_object *output_of(const struct turns *turns, size_t row) {
    char quoted[QUOTE_SIZE(COMMAND_TAIL)];
    size_t length;
    const char *bytes = database_bytes(turns->database, row, 4, &length);
    quote(quoted, sizeof quoted, bytes, length);
    return json_tokener_parse(quoted);
}

/* Reads a consumer's failures. Returns NULL after printing the reason; free with json_object_put(). */
static struct json_object *read_failures(struct turns *turns, const char *name, const char *sql) {
    if (query(turns, sql, name, NULL) != STATUS_DONE)
        return NULL;
    struct json_object *list = json_object_new_array();
    for (size_t row = 0; row < database_rows(turns->database); row++) {
        struct json_object *output = output_of(turns, row);
        struct failure failure = {.seq = (uint64_t)number(turns, row, 0),
                                  .attempts = (int)number(turns, row, 1),
                                  .event_id = text(turns, row, 2),
                                  .how = text(turns, row, 3),
                                  .output = json_object_get_string(output),
                                  .output_length = (size_t)json_object_get_string_len(output),
                                  .at = number(turns, row, 5)};
        failures_add(list, &failure, number(turns, row, 6));
        json_object_put(output);
    }
    return list;
}

static int show_failures(struct turns *turns, const char *name, struct json_object *report) {
    struct json_object *failures = read_failures(turns, name, FAILURES "ORDER BY due IS NOT NULL, number");
    if (failures == NULL)
        return STATUS_PROBLEM;
    consumer_print_failures(name, failures, report);
    json_object_put(failures);
    return STATUS_DONE;
}

/* ---- progress ---- */

/* Events of the stream that were handed over to the consumer's turns and are not finished; and of those,
 * the first one. Those of other types than the consumer runs count too, as they do in a journal. Only indexes
 * are read: 10^6 events take less than a second. */
#define LEFT                                                                                          \
    "WITH unfinished AS (SELECT coalesce(sum(e.count), 0)::bigint AS count, min(e.first) AS first"    \
    " FROM turns AS t, LATERAL (SELECT count(*), min(number) AS first FROM ("                         \
    "SELECT number FROM events WHERE device = t.device AND number > t.done AND number <= t.last"      \
    " UNION ALL SELECT number FROM events WHERE device IS NULL AND account = nullif(t.device, '')"    \
    " AND number > t.done AND number <= t.last"                                                       \
    " UNION ALL SELECT number FROM events WHERE device IS NULL AND account IS NULL AND t.device = ''" \
    " AND number > t.done AND number <= t.last) AS n) AS e"                                           \
    " WHERE t.consumer = $1 AND t.done < t.last)"

static const char progress[] =
    LEFT " SELECT c.position, (SELECT count(*) FROM events WHERE number > c.position), u.count,"
         " coalesce(greatest(0, floor(extract(epoch FROM now() - (SELECT received_at FROM events"
         " WHERE number >= coalesce(u.first, c.position + 1) ORDER BY number LIMIT 1))))::bigint, 0),"
         " (SELECT count(*) FROM turns AS t WHERE consumer = $1 AND " HAS_LEASE ") +"
         " (SELECT count(*) FROM failed AS t WHERE consumer = $1 AND " HAS_LEASE "),"
         " (SELECT count(*) FROM turns WHERE consumer = $1 AND attempts > 0"
         " AND dropped IS DISTINCT FROM head),"
         " (SELECT count(*) FROM failed WHERE consumer = $1)"
         " FROM consumers AS c, unfinished AS u WHERE c.consumer = $1";

static int read_progress(struct turns *turns, struct consumer *consumer, int64_t *position) {
    int status = query(turns, progress, consumer->name, NULL);
    if (status != STATUS_DONE || database_rows(turns->database) == 0) /* it was deleted just now */
        return STATUS_PROBLEM;
    *position = number(turns, 0, 0);
    consumer->waiting = number(turns, 0, 2);
    consumer->behind = number(turns, 0, 1) + consumer->waiting;
    consumer->behind_seconds = number(turns, 0, 3);
    consumer->in_flight = number(turns, 0, 4);
    consumer->retrying = number(turns, 0, 5);
    consumer->failed = number(turns, 0, 6);
    return STATUS_DONE;
}

/* Returns the runners as an array, and what they do as text, which the caller frees; or NULL after printing
 * the reason. */
static struct json_object *read_runners(struct turns *turns, const char *name, char **state) {
    char host[QUOTE_SIZE(256)], seen[TIMESTAMP_SIZE];
    size_t length;
    if (query(turns,
              "SELECT host, " MICROSECONDS("seen") ", seen >= now() - lease() FROM runners"
                                                   " WHERE consumer = $1 ORDER BY host, runner",
              name, NULL) != STATUS_DONE)
        return NULL;
    FILE *out = open_memstream(state, &length);
    if (out == NULL) {
        problem("out of memory");
        return NULL;
    }
    struct json_object *runners = json_object_new_array();
    const char *separator = "running on ";
    for (size_t row = 0; row < database_rows(turns->database); row++) {
        struct json_object *one = json_object_new_object();
        bool alive = number(turns, row, 2) != 0;
        timestamp_format(number(turns, row, 1), seen);
        json_object_object_add(one, "host", json_object_new_string(text(turns, row, 0)));
        json_object_object_add(one, "seen", json_object_new_string(seen));
        json_object_object_add(one, "running", json_object_new_boolean(alive));
        json_object_array_add(runners, one);
        if (!alive)
            continue;
        fprintf(out, "%s%s", separator, plain(text(turns, row, 0), host, sizeof host));
        separator = ", ";
    }
    if (separator[0] == 'r')
        fputs("not running", out);
    if (fclose(out) == 0)
        return runners;
    json_object_put(runners);
    problem("out of memory");
    return NULL;
}

static int show_progress(struct turns *turns, const char *name, struct json_object *report) {
    char place[PLACE_SIZE], *state = NULL;
    int64_t position = 0;
    struct consumer consumer = {.name = name};
    struct json_object *failures = NULL, *runners = read_runners(turns, name, &state);
    int status = runners != NULL ? read_progress(turns, &consumer, &position) : STATUS_PROBLEM;
    if (status == STATUS_DONE)
        failures = read_failures(turns, name, FAILURES "ORDER BY failed_at DESC LIMIT 1");
    if (failures != NULL) {
        snprintf(place, sizeof place, "event %" PRId64, position);
        consumer.state = state;
        consumer.place = place;
        consumer.last = failures_newest(failures);
    }
    if (failures != NULL && report == NULL)
        consumer_print(&consumer);
    else if (failures != NULL) {
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "name", json_object_new_string(name));
        json_object_object_add(one, "runners", json_object_get(runners));
        json_object_object_add(one, "position", json_object_new_int64(position));
        consumer_describe(&consumer, one);
        json_object_array_add(report, one);
    }
    status = failures != NULL ? STATUS_DONE : STATUS_PROBLEM;
    json_object_put(failures);
    json_object_put(runners);
    free(state);
    return status;
}

/* ---- all consumers ---- */

/* Returns the consumers' names, or NULL after printing the reason. */
static struct json_object *read_names(struct turns *turns, const char *only) {
    if (query(turns, "SELECT consumer FROM consumers WHERE $1 IN ('', consumer) ORDER BY consumer",
              only != NULL ? only : "", NULL) != STATUS_DONE)
        return NULL;
    struct json_object *names = json_object_new_array();
    for (size_t row = 0; row < database_rows(turns->database); row++)
        json_object_array_add(names, json_object_new_string(text(turns, row, 0)));
    return names;
}

static int show_all(const char *where, const char *only, bool json,
                    int (*show)(struct turns *turns, const char *name, struct json_object *report)) {
    struct turns turns;
    int status = STATUS_DONE;
    if (!open_turns(&turns, where, DATABASE_READ))
        return STATUS_PROBLEM;
    struct json_object *names = read_names(&turns, only), *report = json ? json_object_new_array() : NULL;
    size_t count = names != NULL ? json_object_array_length(names) : 0;
    for (size_t i = 0; i < count && status == STATUS_DONE; i++)
        status = show(&turns, json_object_get_string(json_object_array_get_idx(names, i)), report);
    if (names == NULL)
        status = STATUS_PROBLEM;
    else if (json)
        print_json(report);
    else if (count == 0)
        consumer_explain_none(only, "the database", where);
    json_object_put(report);
    json_object_put(names);
    close_turns(&turns);
    return status;
}

int turns_show(const char *where, const char *name, bool json) {
    return show_all(where, name, json, show_progress);
}

int turns_show_failed(const char *where, const char *name, bool json) {
    return show_all(where, name, json, show_failures);
}

/* ---- one event ---- */

#define CHOSEN(number) "consumer = $1 AND (" number "::text = $2 OR event_id = $2)"

/* Changes the event with that number or id, by a statement whose answer has a row if there is one. A runner
 * that gives an event up moves it from one table to another: the statement may miss it in both, so it looks
 * once more. Returns an exit code. */
static int change(struct turns *turns, const char *where, const char *sql, const char *name, const char *id) {
    int status = open_turns(turns, where, DATABASE_WRITE) ? STATUS_DONE : STATUS_PROBLEM;
    for (int i = 0; i < 2 && status == STATUS_DONE; i++) {
        status = query(turns, sql, name, id);
        if (status == STATUS_DONE && database_rows(turns->database) > 0)
            break;
    }
    return status;
}

/* A turn is only marked: the runner that has it drops the event, or the next one that takes it. So nothing
 * here depends on who that is. */
int turns_drop(const char *where, const char *name, const char *id) {
    static const char sql[] = "WITH gone AS (DELETE FROM failed WHERE " CHOSEN(
        "number") " RETURNING number),"
                  " marked AS (UPDATE turns SET dropped = head, due = clock_timestamp() WHERE " CHOSEN(
                      "head") " AND dropped IS DISTINCT FROM head RETURNING head)"
                              " SELECT number, pg_notify('doorpost', '') FROM"
                              " (SELECT number FROM gone UNION ALL SELECT head FROM marked) AS dropped";
    char quoted[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    struct turns turns;
    id = plain(id, quoted, sizeof quoted);
    int status = change(&turns, where, sql, name, id);
    if (status == STATUS_DONE && database_rows(turns.database) == 0)
        status = problem(CONSUMER_HAS_NOT_FAILED, id, name);
    close_turns(&turns);
    return status;
}

int turns_retry(const char *where, const char *name, const char *id, bool *to_run) {
    static const char sql[] = "WITH hurried AS (UPDATE turns SET due = clock_timestamp() WHERE " CHOSEN(
        "head") " AND attempts > 0 AND dropped IS DISTINCT FROM head RETURNING head)"
                " SELECT head, EXISTS (SELECT FROM runners WHERE consumer = $1 AND seen >= now() - lease()),"
                " pg_notify('doorpost', '') FROM hurried";
    char quoted[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    struct turns turns;
    int status = change(&turns, where, sql, name, plain(id, quoted, sizeof quoted));
    *to_run = status == STATUS_DONE && database_rows(turns.database) == 0;
    if (status == STATUS_DONE && !*to_run)
        consumer_print_retry(name, number(&turns, 0, 0), number(&turns, 0, 1) != 0);
    close_turns(&turns);
    return status;
}
