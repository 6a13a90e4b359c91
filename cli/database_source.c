/* A runner asks one thing at a time, and never waits for the answer, because it has commands to look after:
 *
 *   register_runner()   once, and again if the database has forgotten it
 *   turns that it has   after each gap in its lease: some may belong to another runner now
 *   finish_turns()      how commands have ended
 *   the events          of the turns it has been given
 *   take_turns()        new turns, as many as there are free jobs; this renews the lease, so at least every
 * second
 *
 * The functions are in deploy/postgresql/schema.sql. A turn is one device's, and the runner that has it runs
 * the next event of that device: so events of one device run in order, on any machines. A runner that is
 * stopped or cut off for longer than the lease loses its turns. When it comes back, it starts nothing before
 * it has asked which ones it still has, and the database records nothing from it about the others. */
#include "database_source.h"

#include "backoff.h"
#include "consumer.h"
#include "cursor.h"
#include "database.h"
#include "ring.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RENEW_EVERY SECOND
#define LEASE_IS_SAFE (6 * SECOND) /* since it was last renewed; it lasts 8 s */
#define LONGEST_DELAY (2 * SECOND) /* between attempts to reach the database */
#define END_WITHIN (5 * SECOND)    /* to record the last results */
#define MOST_PARAMETERS 10
#define HOST_SIZE 256

enum turn_state {
    TURN_FREE,    /* unused */
    TURN_TAKEN,   /* the event has not been read yet */
    TURN_READY,   /* its command may start */
    TURN_RUNNING, /* its command runs */
    TURN_ENDED    /* its result has not been recorded yet */
};

/* As finish_turns() has them. */
enum outcome { OUTCOME_DONE, OUTCOME_GIVEN_UP, OUTCOME_AGAIN };

struct turn {
    enum turn_state state;
    char device[EVENT_FIELD_SIZE]; /* or the account */
    int64_t number;
    int attempts; /* before this one */
    int64_t received_at;
    char *body;
    size_t length;
    /* TURN_ENDED: */
    enum outcome outcome;
    int64_t delay; /* microseconds, for OUTCOME_AGAIN */
    char *event_id, *how, *output;
    size_t output_length;
    int sent; /* how often; if more than once, an answer was lost, and it may have been recorded */
};

enum question {
    ASK_NOTHING,
    ASK_CONSUMER,
    ASK_RUNNER,
    ASK_MINE,
    ASK_FINISH,
    ASK_EVENTS,
    ASK_TURNS,
    ASK_LEFT
};

struct database_source {
    struct source source;
    const struct run *run;
    struct database *database;
    struct event_parser *parser;
    struct event event;
    struct column parameter[MOST_PARAMETERS];
    enum question asked;
    int64_t asked_at,
        renewed_at; /* monotonic_now()'s clock; the second: when a renewal was asked that has succeeded */
    int64_t runner; /* our number; 0: not registered */
    bool has_consumer;
    bool doubtful;    /* some turns may have been lost */
    bool wanting;     /* ask for turns at once: there are new events or free jobs */
    size_t wanted;    /* how many the last question asked for */
    bool empty;       /* and there were none */
    bool drained;     /* nothing is left to run, nor will be */
    int64_t previous; /* retry_failed: the last number taken from the list */
    bool any_failed;  /* there was one */
    struct backoff backoff;
    struct turn turn[JOBS_MAX];
};

static struct database_source *cast(struct source *source) {
    return (struct database_source *)source;
}

/* ---- turns ---- */

static struct turn *find_turn(struct database_source *source, int64_t number) {
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->turn[i].state != TURN_FREE && source->turn[i].number == number)
            return &source->turn[i];
    return NULL;
}

static struct turn *find_state(struct database_source *source, enum turn_state state) {
    struct turn *found = NULL;
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->turn[i].state == state && (found == NULL || source->turn[i].number < found->number))
            found = &source->turn[i];
    return found;
}

static size_t count_turns(const struct database_source *source) {
    size_t count = 0;
    for (size_t i = 0; i < JOBS_MAX; i++)
        count += source->turn[i].state != TURN_FREE;
    return count;
}

/* The number of jobs without a turn. */
static size_t count_free(const struct database_source *source) {
    size_t held = count_turns(source), jobs = (size_t)source->run->jobs;
    return held < jobs ? jobs - held : 0;
}

static void free_turn(struct turn *turn) {
    free(turn->body);
    free(turn->event_id);
    free(turn->how);
    free(turn->output);
    *turn = (struct turn){.state = TURN_FREE};
}

static void add_turn(struct database_source *source, const char *device, int64_t number, int attempts) {
    struct turn *turn = find_state(source, TURN_FREE);
    if (turn == NULL || find_turn(source, number) != NULL)
        return; /* cannot be: no more are asked for than there is room */
    turn->state = TURN_TAKEN;
    turn->number = number;
    turn->attempts = attempts > 0 ? attempts : 0;
    snprintf(turn->device, sizeof turn->device, "%s", device);
}

/* Ends a turn for which no command runs. */
static void end_turn(struct database_source *source, struct turn *turn, enum outcome outcome) {
    turn->state = TURN_ENDED;
    turn->outcome = outcome;
    turn->delay = 0;
    source->drained = false;
}

/* Others may run these now. */
static void give_back(struct database_source *source) {
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->turn[i].state == TURN_TAKEN || source->turn[i].state == TURN_READY)
            end_turn(source, &source->turn[i], OUTCOME_AGAIN);
}

/* ---- asking ---- */

/* Starts the next parameter. */
static struct column *add_parameter(struct database_source *source, size_t *count, enum column_type type,
                                    bool is_array) {
    struct column *column = &source->parameter[(*count)++];
    column_start(column, type, is_array);
    return column;
}

static void add_text(struct database_source *source, size_t *count, const char *text) {
    column_add_text(add_parameter(source, count, COLUMN_TEXT, false), text);
}

static void add_number(struct database_source *source, size_t *count, int64_t number) {
    column_add_number(add_parameter(source, count, COLUMN_NUMBER, false), number);
}

static void add_list(struct database_source *source, size_t *count, const struct list *list) {
    struct column *column = add_parameter(source, count, COLUMN_TEXT, true);
    for (size_t i = 0; i < list->count; i++)
        column_add_text(column, list->item[i]);
}

static int ask(struct database_source *source, enum question question, const char *sql, size_t count,
               struct reason *reason) {
    source->asked_at = monotonic_now(); /* before: this process may be stopped right after it has asked */
    int result = database_ask(source->database, sql, source->parameter, count, reason);
    source->asked = result == 0 ? question : ASK_NOTHING;
    return result;
}

static int ask_consumer(struct database_source *source, struct reason *reason) {
    const struct run *run = source->run;
    size_t count = 0;
    bool at_end = strcmp(run->from, "end") == 0;
    add_text(source, &count, run->name);
    add_number(source, &count, strtoll(run->from, NULL, 10) - 1); /* start: -1 */
    return ask(source, ASK_CONSUMER,
               at_end ? "INSERT INTO consumers (consumer, position) SELECT $1, greatest($2, max(number)) FROM"
                        " events ON CONFLICT DO NOTHING"
                      : "INSERT INTO consumers (consumer, position) VALUES ($1, $2) ON CONFLICT DO NOTHING",
               count, reason);
}

static int ask_runner(struct database_source *source, struct reason *reason) {
    char host[HOST_SIZE] = "";
    size_t count = 0;
    gethostname(host, sizeof host - 1);
    add_text(source, &count, source->run->name);
    add_text(source, &count, host);
    return ask(source, ASK_RUNNER, "SELECT register_runner($1, $2)", count, reason);
}

static int ask_mine(struct database_source *source, struct reason *reason) {
    size_t count = 0;
    add_number(source, &count, source->runner);
    return ask(source, ASK_MINE, "SELECT * FROM turns_of($1)", count, reason);
}

static int ask_finish(struct database_source *source, struct reason *reason) {
    bool failed = source->run->retry_failed;
    size_t count = 0;
    struct column *devices = NULL, *tries = NULL, *delays = NULL, *ids = NULL;
    add_text(source, &count, source->run->name);
    add_number(source, &count, source->runner);
    if (!failed)
        devices = add_parameter(source, &count, COLUMN_TEXT, true);
    struct column *numbers = add_parameter(source, &count, COLUMN_NUMBER, true);
    struct column *states = add_parameter(source, &count, COLUMN_NUMBER, true);
    if (!failed) {
        tries = add_parameter(source, &count, COLUMN_NUMBER, true);
        delays = add_parameter(source, &count, COLUMN_NUMBER, true);
        ids = add_parameter(source, &count, COLUMN_TEXT, true);
    }
    struct column *hows = add_parameter(source, &count, COLUMN_TEXT, true);
    struct column *outputs = add_parameter(source, &count, COLUMN_BYTES, true);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct turn *turn = &source->turn[i];
        if (turn->state != TURN_ENDED)
            continue;
        turn->sent++;
        column_add_number(numbers, turn->number);
        column_add_number(states, turn->outcome);
        column_add_text(hows, turn->how != NULL ? turn->how : "");
        column_add(outputs, turn->output != NULL ? turn->output : "", turn->output_length);
        if (failed)
            continue;
        column_add_text(devices, turn->device);
        column_add_number(tries, turn->attempts);
        column_add_number(delays, turn->delay);
        column_add_text(ids, turn->event_id != NULL ? turn->event_id : "");
    }
    return ask(source, ASK_FINISH,
               failed ? "SELECT finish_failed($1, $2, $3, $4, $5, $6)"
                      : "SELECT finish_turns($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
               count, reason);
}

static int ask_events(struct database_source *source, struct reason *reason) {
    size_t count = 0;
    struct column *numbers = add_parameter(source, &count, COLUMN_NUMBER, true);
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->turn[i].state == TURN_TAKEN)
            column_add_number(numbers, source->turn[i].number);
    return ask(source, ASK_EVENTS,
               "SELECT number, (extract(epoch FROM received_at) * 1000000)::bigint, coalesce(device, "
               "account, ''), body"
               " FROM events WHERE number = ANY ($1)",
               count, reason);
}

static int ask_turns(struct database_source *source, struct reason *reason) {
    const struct run *run = source->run;
    char id[QUOTE_SIZE(EVENT_FIELD_SIZE)]; /* as finish_turns() was given it */
    size_t count = 0;
    source->wanted = source->source.ending ? 0 : count_free(source);
    source->wanting = false;
    add_text(source, &count, run->name);
    add_number(source, &count, source->runner);
    add_number(source, &count, (int64_t)source->wanted);
    if (run->retry_failed) {
        add_number(source, &count, source->previous);
        if (run->retry == NULL)
            return ask(source, ASK_TURNS, "SELECT ''::text, take_failed($1, $2, $3::integer, $4, NULL), 0",
                       count, reason);
        add_text(source, &count, plain(run->retry, id, sizeof id));
        return ask(source, ASK_TURNS, "SELECT ''::text, take_failed($1, $2, $3::integer, $4, $5), 0", count,
                   reason);
    }
    add_list(source, &count, &run->types);
    add_list(source, &count, &run->devices);
    add_list(source, &count, &run->accounts);
    return ask(source, ASK_TURNS, "SELECT * FROM take_turns($1, $2, $3::integer, $4, $5, $6)", count, reason);
}

static int ask_left(struct database_source *source, struct reason *reason) {
    size_t count = 0;
    source->empty = false;
    add_text(source, &count, source->run->name);
    return ask(
        source, ASK_LEFT,
        "SELECT EXISTS (SELECT FROM turns WHERE consumer = $1 AND done < last) OR EXISTS (SELECT FROM events"
        " WHERE number > (SELECT position FROM consumers WHERE consumer = $1))",
        count, reason);
}

static bool wants_turns(const struct database_source *source) {
    return source->wanting && !source->source.ending && count_free(source) > 0;
}

/* Asks what there is to ask. Returns 0 or an error with a reason. */
static int ask_next(struct database_source *source, struct reason *reason) {
    const struct run *run = source->run;
    int64_t since = monotonic_now() - source->renewed_at;
    if (source->source.ending)
        give_back(source);
    if (!source->has_consumer)
        return ask_consumer(source, reason);
    if (source->runner == 0)
        return ask_runner(source, reason);
    if (source->doubtful)
        return ask_mine(source, reason);
    if (since > LEASE_IS_SAFE / 2)
        return ask_turns(source, reason);
    if (find_state(source, TURN_ENDED) != NULL)
        return ask_finish(source, reason);
    if (find_state(source, TURN_TAKEN) != NULL)
        return ask_events(source, reason);
    if (since >= RENEW_EVERY || wants_turns(source))
        return ask_turns(source, reason);
    if (run->once && !run->retry_failed && source->empty && count_turns(source) == 0)
        return ask_left(source, reason);
    return 0;
}

/* ---- answers ---- */

static void take_mine(struct database_source *source) {
    struct database *database = source->database;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct turn *turn = &source->turn[i];
        bool mine = false;
        for (size_t row = 0; row < database_rows(database); row++)
            mine |= turn->number == database_number(database, row, 1);
        if (!mine && (turn->state == TURN_TAKEN || turn->state == TURN_READY))
            free_turn(turn);
    }
    for (size_t row = 0; row < database_rows(database); row++)
        add_turn(source, database_bytes(database, row, 0, NULL), database_number(database, row, 1),
                 (int)database_number(database, row, 2));
    source->doubtful = false;
}

static void take_refusals(struct database_source *source) {
    struct database *database = source->database;
    for (size_t row = 0; row < database_rows(database); row++) {
        struct turn *turn = find_turn(source, database_number(database, row, 0));
        if (turn != NULL && turn->sent == 1 && turn->event_id != NULL)
            problem("event %" PRId64
                    " (%s): another runner has taken it over, because this one was stopped or cut off "
                    "from the database for too long: this run is not recorded",
                    turn->number, turn->event_id);
    }
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (source->turn[i].sent > 0) /* others may have ended since */
            free_turn(&source->turn[i]);
    source->wanting = true;
}

static int take_events(struct database_source *source, struct reason *reason) {
    struct database *database = source->database;
    for (size_t row = 0; row < database_rows(database); row++) {
        struct turn *turn = find_turn(source, database_number(database, row, 0));
        const char *body = database_bytes(database, row, 3, NULL);
        if (turn == NULL || turn->state != TURN_TAKEN)
            continue;
        (void)database_bytes(database, row, 3, &turn->length);
        turn->body = malloc(turn->length + 1);
        if (turn->body == NULL)
            return FAIL(reason, ERROR_SYSTEM, "out of memory");
        memcpy(turn->body, body, turn->length);
        turn->received_at = database_number(database, row, 1);
        snprintf(turn->device, sizeof turn->device, "%s", database_bytes(database, row, 2, NULL));
        turn->state = TURN_READY;
    }
    for (struct turn *turn; (turn = find_state(source, TURN_TAKEN)) != NULL;) {
        problem("event %" PRId64 " was deleted before its command could be run", turn->number);
        end_turn(source, turn, OUTCOME_DONE);
    }
    return 0;
}

static void take_turns(struct database_source *source) {
    struct database *database = source->database;
    size_t rows = database_rows(database);
    backoff_end(&source->backoff);
    source->empty = rows == 0 && source->wanted > 0;
    source->drained = source->empty && source->run->retry_failed;
    for (size_t row = 0; row < rows; row++) {
        int64_t number = database_number(database, row, 1);
        if (number == 0)
            source->wanting = true;
        else
            add_turn(source, database_bytes(database, row, 0, NULL), number,
                     (int)database_number(database, row, 2));
        if (number > source->previous)
            source->previous = number;
    }
    source->any_failed |= rows > 0;
}

static void explain_consumer(const struct database_source *source) {
    if (database_affected(source->database) > 0 && strcmp(source->run->from, "end") == 0 &&
        !source->run->retry_failed)
        explain_empty("%s is new, and starts after the newest event. With --from start, a new consumer "
                      "starts at the first event.",
                      source->run->name);
}

static int take_answer(struct database_source *source, struct reason *reason) {
    enum question asked = source->asked;
    source->asked = ASK_NOTHING;
    if (asked == ASK_MINE || asked == ASK_TURNS || asked == ASK_RUNNER)
        source->renewed_at = source->asked_at;
    switch (asked) {
    case ASK_CONSUMER:
        source->has_consumer = true;
        explain_consumer(source);
        break;
    case ASK_RUNNER:
        source->runner = database_number(source->database, 0, 0);
        source->doubtful = source->wanting = true;
        break;
    case ASK_MINE:
        take_mine(source);
        break;
    case ASK_FINISH:
        take_refusals(source);
        break;
    case ASK_EVENTS:
        return take_events(source, reason);
    case ASK_TURNS:
        take_turns(source);
        break;
    case ASK_LEFT:
        source->drained = database_number(source->database, 0, 0) == 0;
        break;
    case ASK_NOTHING:
        break;
    }
    return 0;
}

/* ---- trouble ---- */

static void fail(struct database_source *source, int result, const struct reason *reason) {
    bool forgotten = result == ERROR_INVALID && strcmp(database_sqlstate(source->database), "P0002") == 0;
    if (source->asked == ASK_FINISH && result == ERROR_INVALID)
        for (size_t i = 0; i < JOBS_MAX; i++)
            source->turn[i].sent = 0;
    source->asked = ASK_NOTHING;
    source->doubtful = true; /* turns may have been given to us in a lost answer */
    if (forgotten) {         /* declared dead; or, with the consumer, by a restored backup */
        source->runner = 0;
        source->has_consumer = source->run->retry_failed;
        return;
    }
    if (result == ERROR_INVALID && source->run->retry_failed &&
        strcmp(database_sqlstate(source->database), "23503") == 0) {
        problem("no consumer %s in the database: list them with doorpost exec --status", source->run->name);
        source->source.broken = source->source.ending = true;
        return;
    }
    if (result == ERROR_INVALID && strcmp(database_sqlstate(source->database), "25006") == 0)
        database_disconnect(source->database); /* another host may have become the primary */
    if (source->run->once || source->run->retry_failed)
        source->source.broken = source->source.ending = true;
    backoff_start(&source->backoff, reason,
                  source->source.ending ? "" : "; no command is started until it works");
}

/* Does what can be done now. */
static void go_on(struct database_source *source) {
    struct reason reason = {""};
    int result;
    if (monotonic_now() < source->backoff.again)
        return;
    do {
        result = database_advance(source->database, &reason);
        if (result == DATABASE_READY && source->asked != ASK_NOTHING)
            result = take_answer(source, &reason) == 0 ? result : ERROR_SYSTEM;
        source->wanting |= database_notified(source->database);
        if (result == DATABASE_READY)
            backoff_clear(&source->backoff);
        if (result == DATABASE_READY && ask_next(source, &reason) != 0)
            result = ERROR_SYSTEM;
    } while (result == DATABASE_READY && source->asked != ASK_NOTHING);
    if (result < 0)
        fail(source, result, &reason);
}

/* ---- the source ---- */

static int source_open(struct source *source) {
    (void)source; /* the first passes register: the database may be away now */
    return STATUS_DONE;
}

static void source_note(struct source *source, const struct runner_note *note) {
    (void)source, (void)note; /* the database knows who runs what */
}

static bool lease_is_safe(const struct database_source *source) {
    return source->runner != 0 && !source->doubtful && monotonic_now() - source->renewed_at < LEASE_IS_SAFE;
}

static void source_advance(struct source *base) {
    struct database_source *source = cast(base);
    if (source->runner != 0 && monotonic_now() - source->renewed_at >= LEASE_IS_SAFE)
        source->doubtful = true;
    go_on(source);
}

/* Of given-up events of one device, one at a time is retried, the first one first. */
static bool has_earlier(struct database_source *source, const struct turn *turn) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        const struct turn *other = &source->turn[i];
        if (other != turn &&
            (other->state == TURN_RUNNING || (other->state == TURN_READY && other->number < turn->number)) &&
            strcmp(other->device, turn->device) == 0)
            return true;
    }
    return false;
}

static struct turn *next_turn(struct database_source *source) {
    struct turn *next = NULL;
    for (size_t i = 0; i < JOBS_MAX; i++) {
        struct turn *turn = &source->turn[i];
        if (turn->state == TURN_READY && (next == NULL || turn->number < next->number) &&
            !has_earlier(source, turn))
            next = turn;
    }
    return next;
}

static bool source_next(struct source *base, struct due *due) {
    struct database_source *source = cast(base);
    struct reason reason = {""};
    struct turn *turn;
    while (lease_is_safe(source) && (turn = next_turn(source)) != NULL) {
        if (event_parse(source->parser, turn->body, turn->length, &source->event, &reason) != 0) {
            problem("event %" PRId64 ": no command is run, because its body is damaged: %s", turn->number,
                    reason.text);
            end_turn(source, turn, OUTCOME_DONE);
            continue;
        }
        *due = (struct due){.item = {.seq = (uint64_t)turn->number, .attempts = turn->attempts + 1},
                            .event = &source->event,
                            .body = turn->body,
                            .length = turn->length};
        timestamp_format(turn->received_at, due->received_at);
        turn->state = TURN_RUNNING;
        return true;
    }
    return false;
}

static bool source_finish(struct source *base, const struct item *item, enum result result,
                          const struct failure *failure) {
    struct database_source *source = cast(base);
    struct turn *turn = find_turn(source, (int64_t)item->seq);
    if (turn == NULL)
        return false;
    bool counts = result == RESULT_FAILED || result == RESULT_GIVEN_UP;
    end_turn(source, turn,
             result == RESULT_DONE       ? OUTCOME_DONE
             : result == RESULT_GIVEN_UP ? OUTCOME_GIVEN_UP
                                         : OUTCOME_AGAIN);
    if (result == RESULT_FAILED)
        turn->delay = ring_retry_after[item->attempts - 1] * SECOND;
    if (counts)
        turn->attempts = item->attempts;
    if (failure != NULL)
        turn->event_id = strdup(failure->event_id);
    if (failure != NULL && counts) {
        turn->how = strdup(failure->how);
        turn->output = malloc(failure->output_length + 1);
        turn->output_length = turn->output != NULL ? failure->output_length : 0;
        if (turn->output != NULL)
            memcpy(turn->output, failure->output, failure->output_length);
    }
    return true;
}

static void lower(int64_t *wait, int64_t other) {
    if (other >= 0 && other < *wait)
        *wait = other;
}

static size_t source_watch(struct source *base, struct pollfd watched[SOURCE_WATCHED], int64_t *wait) {
    struct database_source *source = cast(base);
    int64_t now = monotonic_now();
    if (now < source->backoff.again) {
        lower(wait, source->backoff.again - now);
        return 0;
    }
    bool idle = source->asked == ASK_NOTHING && database_is_connected(source->database);
    if (idle) {
        int64_t due = source->renewed_at + RENEW_EVERY - now;
        bool now_due = due < 0 || find_state(source, TURN_ENDED) != NULL || wants_turns(source);
        lower(wait, now_due ? 0 : due);
    } else
        lower(wait, database_wait_limit(source->database));
    return database_watch(source->database, watched);
}

static bool source_is_idle(const struct source *base) {
    const struct database_source *source = (const struct database_source *)base;
    return source->drained && count_turns(source) == 0;
}

static bool source_is_over(struct source *base) {
    struct database_source *source = cast(base);
    const struct run *run = source->run;
    if (run->retry_failed && run->retry != NULL && !source->any_failed) {
        problem(CONSUMER_HAS_NOT_FAILED, run->retry, run->name);
        base->broken = true;
    } else if (run->retry_failed && !source->any_failed)
        explain_empty("Nothing to retry: %s has given up no event.", run->name);
    return true;
}

/* Gives the turns back, so that no other runner has to wait for the end of the lease. */
static bool retire(struct database_source *source) {
    struct reason reason = {""};
    size_t count = 0;
    add_number(source, &count, source->runner);
    return database_ask(source->database, "SELECT retire_runner($1)", source->parameter, count, &reason) ==
               0 &&
           database_wait(source->database, &reason) == 0;
}

static bool source_end(struct source *base) {
    struct database_source *source = cast(base);
    int64_t stop_at = monotonic_now() + END_WITHIN;
    base->ending = true;
    source->backoff.again = 0; /* a last attempt */
    while (monotonic_now() < stop_at && source->runner != 0 &&
           (source->asked != ASK_NOTHING || find_state(source, TURN_ENDED) != NULL)) {
        struct pollfd watched[SOURCE_WATCHED];
        int64_t wait = stop_at - monotonic_now();
        go_on(source);
        size_t count = source_watch(base, watched, &wait);
        if (source->asked != ASK_NOTHING || find_state(source, TURN_ENDED) != NULL)
            (void)poll(watched, count, (int)(wait / 1000 + 1));
    }
    bool saved = find_state(source, TURN_ENDED) == NULL;
    if (saved && source->runner != 0 && source->asked == ASK_NOTHING &&
        database_is_connected(source->database))
        retire(source);
    return saved;
}

static void source_close(struct source *base) {
    struct database_source *source = cast(base);
    for (size_t i = 0; i < JOBS_MAX; i++)
        free_turn(&source->turn[i]);
    for (size_t i = 0; i < MOST_PARAMETERS; i++)
        column_free(&source->parameter[i]);
    database_free(source->database);
    event_parser_free(source->parser);
    free(source);
}

static const struct source_functions functions = {
    .open = source_open,
    .note = source_note,
    .advance = source_advance,
    .next = source_next,
    .finish = source_finish,
    .watch = source_watch,
    .is_idle = source_is_idle,
    .is_over = source_is_over,
    .end = source_end,
    .close = source_close,
};

struct source *database_source_new(const char *where, const struct run *run) {
    struct reason reason = {"out of memory"};
    struct database_source *source = calloc(1, sizeof *source);
    char name[CURSOR_NAME_SIZE + 32];
    if (source != NULL) {
        snprintf(name, sizeof name, "doorpost exec %s", run->name);
        source->source.functions = &functions;
        source->run = run;
        source->has_consumer = run->retry_failed; /* must exist already */
        source->backoff.longest = LONGEST_DELAY;
        source->parser = event_parser_new();
        source->database = database_new(where, DATABASE_WRITE, name, true, &reason);
        if (source->parser != NULL && source->database != NULL)
            return &source->source;
        source_close(&source->source);
    }
    problem("%s", reason.text);
    return NULL;
}
