/* Each statement reads at most SPAN numbers, so that one which finds little ends soon. With devices, the
 * index (device, number) finds the next events of each device at once, however far away they are.
 *
 * The plans must not depend on the server's statistics, which lag behind a growing table: so no other
 * condition is one that an index could serve. The index of received_at only gives the range of numbers.
 *
 * PostgreSQL sends times in microseconds since 2000. */
#include "events.h"

#include "timestamp.h"

#include <stdlib.h>

#define PAGE 250     /* rows */
#define NUMBERS 8192 /* rows that consist of a number */
#define SPAN 100000  /* numbers */
#define PARAMETERS 8
#define EPOCH INT64_C(946684800000000) /* 2000-01-01 */

struct events {
    struct database *database;
    struct selection selection;
    struct column parameter[PARAMETERS];
    bool by_device;
    bool follow;
    int64_t after, last, limit; /* numbers: read so far; to read now; never beyond this */
    size_t row, rows;           /* in the page */
    int64_t covered;            /* the page has all selected events up to this number */
};

/* $1: after this number; $2: up to this; $3 to $5: devices, accounts, types; $6, $7: since, until, or 0; $8:
 * how many. */
#define TIME(parameter) "timestamptz 'epoch' + " parameter " * interval '1 microsecond'"
#define CONDITIONS                                                     \
    " e.number > $1 AND e.number <= $2"                                \
    " AND (cardinality($4) = 0 OR coalesce(e.account, '') = ANY ($4))" \
    " AND (cardinality($5) = 0 OR e.type = ANY ($5))"                  \
    " AND ($6 = 0 OR e.received_at + interval '0' >= " TIME(           \
        "$6") ")"                                                      \
              " AND ($7 = 0 OR e.received_at + interval '0' < " TIME("$7") ")"
#define ANY_DEVICE(columns, order)                                                     \
    "SELECT " columns " FROM events AS e"                                              \
    " WHERE (cardinality($3) = 0 OR coalesce(e.device, '') = ANY ($3)) AND" CONDITIONS \
    " ORDER BY number " order " LIMIT $8"
#define BY_DEVICE(columns, order)                                                             \
    "SELECT " columns " FROM (SELECT DISTINCT wanted FROM unnest($3) AS u (wanted)) AS d"     \
    " CROSS JOIN LATERAL (SELECT * FROM events AS e WHERE e.device = d.wanted AND" CONDITIONS \
    " ORDER BY e.number " order " LIMIT $8) AS e"                                             \
    " ORDER BY number " order " LIMIT $8"

void stored_read(const struct database *database, size_t row, struct stored *stored) {
    const char **const texts[] = {&stored->type,    &stored->sub_type,   &stored->device,
                                  &stored->account, &stored->request_id, &stored->event_id,
                                  &stored->key,     &stored->signature};
    size_t column = 5;
    *stored = (struct stored){
        .number = database_number(database, row, 0),
        .node = database_bytes(database, row, 1, NULL),
        .seq = database_number(database, row, 2),
        .received_at = database_number(database, row, 3),
    };
    if (stored->received_at < INT64_MAX - EPOCH) /* not infinity */
        stored->received_at += EPOCH;
    if (!database_is_null(database, row, 4)) {
        int64_t pressed = database_number(database, row, 4);
        stored->pressed_at = (pressed < INT64_MAX - EPOCH ? pressed + EPOCH : pressed) / 1000;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        *texts[i] = database_bytes(database, row, column++, NULL);
    stored->verbatim = database_number(database, row, column++) != 0;
    stored->body = database_bytes(database, row, column, &stored->length);
}

static bool has_empty(const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (list[i][0] == '\0')
            return true;
    return false;
}

struct events *events_new(const char *where, bool follow, const struct selection *selection,
                          struct reason *reason) {
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL) {
        explain(reason, "out of memory");
        return NULL;
    }
    events->database = database_new(where, DATABASE_READ, "doorpost", follow, reason);
    if (events->database == NULL) {
        free(events);
        return NULL;
    }
    events->selection = *selection;
    events->follow = follow;
    events->limit = INT64_MAX;
    events->by_device =
        selection->device_count > 0 && !has_empty(selection->devices, selection->device_count);
    return events;
}

void events_free(struct events *events) {
    if (events == NULL)
        return;
    for (size_t i = 0; i < PARAMETERS; i++)
        column_free(&events->parameter[i]);
    database_free(events->database);
    free(events);
}

/* ---- parameters ---- */

static void set_number(struct column *parameter, int64_t number) {
    column_start(parameter, COLUMN_NUMBER, false);
    column_add_number(parameter, number);
}

static void set_list(struct column *parameter, const char *const *list, size_t count) {
    column_start(parameter, COLUMN_TEXT, true);
    for (size_t i = 0; i < count; i++)
        column_add_text(parameter, list[i]);
}

static void set_times(struct column parameter[2], const struct selection *selection) {
    set_number(&parameter[0], selection->since > 0 ? selection->since : 0);
    set_number(&parameter[1], selection->until == INT64_MAX ? 0
                              : selection->until > 0        ? selection->until
                                                            : 1);
}

/* Asks with the first `count` parameters. After an error, nothing is left to read. */
static int ask(struct events *events, const char *sql, size_t count, struct reason *reason) {
    events->row = events->rows = 0;
    int result = database_query(events->database, sql, events->parameter, count, reason);
    if (result != 0)
        events->last = events->after;
    return result;
}

static int ask_selected(struct events *events, const char *sql, int64_t after, int64_t to, uint64_t most,
                        struct reason *reason) {
    const struct selection *selection = &events->selection;
    struct column *parameter = events->parameter;
    set_number(&parameter[0], after);
    set_number(&parameter[1], to);
    set_list(&parameter[2], selection->devices, selection->device_count);
    set_list(&parameter[3], selection->accounts, selection->account_count);
    set_list(&parameter[4], selection->types, selection->type_count);
    set_times(&parameter[5], selection);
    set_number(&parameter[7], (int64_t)most);
    return ask(events, sql, PARAMETERS, reason);
}

/* ---- finding ---- */

int events_refresh(struct events *events, struct reason *reason) {
    int result = ask(events, "SELECT max(number) FROM events", 0, reason);
    if (result != 0)
        return result;
    events->last = database_number(events->database, 0, 0); /* 0 if NULL */
    if (events->last > events->limit)
        events->last = events->limit;
    return 0;
}

int64_t events_last(const struct events *events) {
    return events->last;
}

int events_range(struct events *events, int64_t *first, struct reason *reason) {
    /* OFFSET 0 keeps the server from looking for the first one in the order of numbers. */
    static const char sql[] = "SELECT min(number), max(number) FROM (SELECT number FROM events"
                              " WHERE ($1 = 0 OR received_at >= " TIME(
                                  "$1") ")"
                                        " AND ($2 = 0 OR received_at < " TIME("$2") ") OFFSET 0) AS e";
    const struct selection *selection = &events->selection;
    *first = 1;
    if (selection->since <= 0 && selection->until == INT64_MAX)
        return 0;
    set_times(events->parameter, selection);
    int result = ask(events, sql, 2, reason);
    if (result != 0)
        return result;
    bool none = database_is_null(events->database, 0, 0);
    *first = none ? events->last + 1 : database_number(events->database, 0, 0);
    if (!events->follow && !none)
        events->limit = database_number(events->database, 0, 1);
    if (events->last > events->limit)
        events->last = events->limit;
    return 0;
}

int events_from_end(struct events *events, uint64_t count, int64_t *number, struct reason *reason) {
    const char *sql = events->by_device ? BY_DEVICE("number", "DESC") : ANY_DEVICE("number", "DESC");
    int64_t first = 1, to = events->last;
    bool bounded = false;
    *number = to + 1;
    while (count > 0 && to >= first) {
        int64_t after = !events->by_device && to - first >= SPAN ? to - SPAN : first - 1;
        uint64_t most = count < NUMBERS ? count : NUMBERS;
        int result = ask_selected(events, sql, after, to, most, reason);
        if (result != 0)
            return result;
        size_t rows = database_rows(events->database);
        if (rows > 0)
            *number = database_number(events->database, rows - 1, 0);
        count -= rows;
        to = rows < most ? after : *number - 1;
        if (!bounded && count > 0 && to >= first) { /* they are not all near the end: how far can they be? */
            result = events_range(events, &first, reason);
            if (result != 0)
                return result;
            to = to < events->last ? to : events->last;
            bounded = true;
        }
    }
    return 0;
}

int events_times(struct events *events, int64_t *first, int64_t *last, struct reason *reason) {
    *first = *last = 0;
    int result = ask(events, "SELECT min(received_at), max(received_at) FROM events", 0, reason);
    if (result != 0 || database_is_null(events->database, 0, 0))
        return result;
    *first = database_number(events->database, 0, 0) + EPOCH;
    *last = database_number(events->database, 0, 1) + EPOCH;
    return 0;
}

int events_size(struct events *events, uint64_t *bytes, struct reason *reason) {
    int result = ask(events, "SELECT pg_total_relation_size('events')", 0, reason);
    *bytes = result == 0 ? (uint64_t)database_number(events->database, 0, 0) : 0;
    return result;
}

/* ---- reading ---- */

void events_start(struct events *events, int64_t first) {
    events->row = events->rows = 0;
    events->after = first - 1;
}

static int read_page(struct events *events, struct reason *reason) {
    const char *sql =
        events->by_device ? BY_DEVICE(STORED_COLUMNS, "ASC") : ANY_DEVICE(STORED_COLUMNS, "ASC");
    int64_t to =
        !events->by_device && events->last - events->after > SPAN ? events->after + SPAN : events->last;
    int result = ask_selected(events, sql, events->after, to, PAGE, reason);
    if (result != 0)
        return result;
    events->rows = database_rows(events->database);
    events->covered = events->rows < PAGE ? to : database_number(events->database, PAGE - 1, 0);
    return 0;
}

int events_next(struct events *events, struct stored *stored, struct reason *reason) {
    while (events->row == events->rows) {
        if (events->after >= events->last)
            return 0;
        int result = read_page(events, reason);
        if (result != 0)
            return result;
        if (events->rows == 0)
            events->after = events->covered;
    }
    stored_read(events->database, events->row++, stored);
    events->after = events->row == events->rows ? events->covered : stored->number;
    return 1;
}

int events_wait(struct events *events, int64_t microseconds, struct reason *reason) {
    int64_t until = monotonic_now() + microseconds, left;
    while (!database_notified(events->database) && (left = until - monotonic_now()) > 0) {
        struct pollfd watched;
        size_t count = database_watch(events->database, &watched);
        if (poll(&watched, count, (int)((left + 999) / 1000)) <= 0 || count == 0)
            continue;
        events->row = events->rows = 0;
        int result = database_advance(events->database, reason);
        if (result < 0)
            return result;
    }
    return 0;
}
