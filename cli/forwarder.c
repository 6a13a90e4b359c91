/* One loop and two batches: while the database stores one, the next is read from the journal.
 *
 * The cursor moves, durably, over a batch after the database has committed it. If the connection is lost in
 * between, nobody knows whether it was committed, and it is sent again: the unique keys drop what is there.
 * For the same reason, if the cursor's position no longer holds because the journal was restored or edited,
 * everything is sent again. */
#include "forwarder.h"

#include "backoff.h"
#include "forward_note.h"
#include "options.h"
#include "resume.h"
#include "rows.h"
#include "segment.h"
#include "settled.h"
#include "signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define END_WITHIN (3 * SECOND) /* for the answer to a batch that was sent before the signal */
#define SENT_AGAIN ": the whole journal is sent again, and the database keeps each event once"
#define LONGEST_DELAY (4 * SECOND) /* between attempts to reach the database */

struct batch {
    struct rows rows;
    struct mark after; /* the last line in it, or skipped after it */
    bool moves;        /* the cursor moves there */
};

struct forwarder {
    const struct forward *forward;
    struct settled settled;
    struct cursor cursor;
    bool unsaved;
    struct event_parser *parser;
    struct event event;
    struct database *database;
    struct batch batch[2];
    size_t first; /* the one being sent; the other one is filled */
    bool sent;
    size_t limit; /* rows in a batch; fewer while the database refuses more */
    int signals;
    bool ending, broken;
    int64_t stop_at;
    struct backoff journal_backoff, database_backoff, save_backoff, position_backoff;
    struct forward_note note;
    bool unwritten; /* the note has changed */
};

static struct batch *sending(struct forwarder *forwarder) {
    return &forwarder->batch[forwarder->first];
}

static struct batch *filling(struct forwarder *forwarder) {
    return &forwarder->batch[!forwarder->first];
}

/* ---- the journal ---- */

static void empty_batch(struct forwarder *forwarder, struct batch *batch) {
    rows_start(&batch->rows, forwarder->forward->node);
    batch->moves = false;
}

/* Reads on after the cursor's position if that holds, else from the first line. A batch that was read already
 * is still sent, because its lines may not be in the journal any more. */
static int start_reading(struct forwarder *forwarder, struct reason *reason) {
    struct settled *settled = &forwarder->settled;
    struct resume resume;
    struct reason why;
    char file[SEGMENT_NAME_SIZE];
    int result = resume_find(settled->directory.fd, &forwarder->cursor, &resume, reason);
    if (result != 0)
        return result;
    if (!resume.holds) {
        segment_name(resume.was.position.day, file);
        explain(&why,
                "event %" PRIu64 " no longer ends at byte %" PRIu64
                " of %s, which was edited, truncated, replaced or deleted",
                resume.was.seq, resume.was.position.offset, file);
        backoff_report(&forwarder->position_backoff, &why, SENT_AGAIN);
        resume.mark = (struct mark){0};
    }
    forwarder->cursor.mark = resume.mark;
    sending(forwarder)->moves = filling(forwarder)->moves = false;
    settled_start(settled, &resume.mark, resume.first);
    return 0;
}

/* Without a cursor, or with one that cannot be read, everything is sent. Returns 0 or an error with a reason.
 */
static int open_cursor(struct forwarder *forwarder, struct reason *reason) {
    struct settled *settled = &forwarder->settled;
    struct deadline deadline = {.at = monotonic_now() + 30 * SECOND};
    forwarder->unwritten = true;                /* the lock file is a new one */
    if (forward_note_is_foreign(settled->lock)) /* events before its position were never forwarded */
        return FAIL(reason, ERROR_INVALID, "%s is a consumer of `doorpost exec`: choose another --name",
                    settled->name);
    int found = cursor_read(settled->directory.fd, settled->name, &forwarder->cursor, reason);
    if (found == ERROR_DAMAGED) {
        forwarder->cursor = (struct cursor){0};
        problem("cursors/%s is damaged" SENT_AGAIN, settled->name);
    } else if (found == 0) {
        forwarder->cursor = (struct cursor){0};
        found = cursor_create(&settled->directory, settled->name, &forwarder->cursor, &deadline, reason);
    }
    return found < 0 && found != ERROR_DAMAGED ? found : start_reading(forwarder, reason);
}

/* Starts at the first day that can have lines received since then. */
static int start_verifying(struct forwarder *forwarder, struct reason *reason) {
    int64_t since = forwarder->forward->since;
    struct mark start = {.position = {.day = since > 0 ? timestamp_day(since) : 0}};
    int32_t first, last;
    int found = segment_range(forwarder->settled.directory.fd, 0, DAY_MAX, &first, &last, reason);
    settled_start(&forwarder->settled, &start, found > 0 ? first : 0);
    return found < 0 ? found : 0;
}

static int check_journal(struct forwarder *forwarder, struct reason *reason) {
    int state = settled_check(&forwarder->settled, reason);
    if (state == SETTLED_LOST)
        return start_reading(forwarder, reason);
    if (state == SETTLED_REPLACED)
        return open_cursor(forwarder, reason);
    if (state == SETTLED_TAKEN)
        forwarder->broken = forwarder->ending = true;
    return state == SETTLED_SAME ? 0 : ERROR_SYSTEM;
}

static int add_line(struct forwarder *forwarder, struct batch *batch, const struct settled_line *line,
                    struct reason *reason) {
    const struct record *record = &line->record;
    char name[SEGMENT_NAME_SIZE];
    int64_t received_at;
    int result = ERROR_DAMAGED;
    if (line->scan != SCAN_DAMAGED && forwarder->forward->verify &&
        timestamp_parse(record->received_at, TIMESTAMP_SIZE - 1, &received_at) == 0 &&
        received_at < forwarder->forward->since)
        return 0;
    if (line->scan != SCAN_DAMAGED)
        result =
            event_parse(forwarder->parser, record->event, record->event_length, &forwarder->event, reason);
    if (result == 0 && !rows_add(&batch->rows, record, &forwarder->event))
        result = FAIL(reason, ERROR_SYSTEM, "out of memory");
    if (result == ERROR_SYSTEM)
        return result;
    if (line->scan != SCAN_DAMAGED) {
        batch->after = line->end;
        batch->moves = true;
    }
    if (result != 0) {
        segment_name(line->begin.day, name);
        problem("%s, byte %" PRIu64 ": a damaged line, which is not forwarded; see `doorpost check`", name,
                line->begin.offset);
    }
    return 0;
}

/* Fills the batch that is not being sent. If memory runs out, the batch may be incomplete, and is not sent:
 * the next process reads it again. */
static int fill(struct forwarder *forwarder, struct reason *reason) {
    struct batch *batch = filling(forwarder);
    struct settled_line line;
    int result = check_journal(forwarder, reason);
    while (result == 0 && !rows_are_full(&batch->rows) && batch->rows.count < forwarder->limit) {
        result = settled_next(&forwarder->settled, &line, reason);
        if (result <= 0)
            return result;
        result = add_line(forwarder, batch, &line, reason);
        if (result != 0)
            forwarder->broken = forwarder->ending = true;
    }
    return result;
}

static void end_if_once(struct forwarder *forwarder) {
    if (forwarder->forward->once || forwarder->forward->verify)
        forwarder->broken = forwarder->ending = true;
}

static void read_journal(struct forwarder *forwarder) {
    struct reason reason = {""};
    if (forwarder->ending || monotonic_now() < forwarder->journal_backoff.again)
        return;
    if (fill(forwarder, &reason) == 0) {
        backoff_clear(&forwarder->journal_backoff);
        return;
    }
    end_if_once(forwarder);
    backoff_start(&forwarder->journal_backoff, &reason, forwarder->ending ? "" : "; trying again");
    settled_reopen(&forwarder->settled);
}

/* Without `again`, waits for its time after a failure. Nothing is lost if it cannot be saved: the next start
 * sends the lines again. */
static void save_cursor(struct forwarder *forwarder, bool again) {
    struct reason reason = {""};
    if (!forwarder->unsaved || forwarder->settled.foreign || forwarder->forward->verify ||
        (!again && monotonic_now() < forwarder->save_backoff.again))
        return;
    if (cursor_write(forwarder->settled.directory.fd, forwarder->forward->name, &forwarder->cursor,
                     &reason) != 0) {
        backoff_start(&forwarder->save_backoff, &reason, "; the next start sends the same events again");
        return;
    }
    forwarder->unsaved = false;
    backoff_clear(&forwarder->save_backoff);
}

/* ---- the database ---- */

static void write_note(struct forwarder *forwarder) {
    if (forwarder->settled.foreign || forwarder->forward->verify || !forwarder->unwritten)
        return;
    forward_note_write(forwarder->settled.lock, &forwarder->note);
    forwarder->unwritten = false;
}

static void note_failure(struct forwarder *forwarder, const struct reason *reason) {
    struct forward_note *note = &forwarder->note;
    note->errors++;
    if (!note->failing)
        note->error_at = timestamp_now();
    note->failing = true;
    note->error = *reason;
    forwarder->unwritten = true;
}

static void fail(struct forwarder *forwarder, const struct reason *reason) {
    note_failure(forwarder, reason);
    end_if_once(forwarder);
    backoff_start(&forwarder->database_backoff, reason,
                  forwarder->ending ? "" : "; the events wait in the journal until it works");
}

/* Returns true if the server refuses these rows, rather than any: for their values, or because so many take
 * longer than a statement may. */
static bool is_about_rows(const char *sqlstate) {
    static const char *const states[] = {"22", "23", "54", "57014"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strncmp(sqlstate, states[i], strlen(states[i])) == 0)
            return true;
    return false;
}

/* After a refusal, has the batch read again as smaller ones. So what can be stored is stored, and in the end
 * a row that cannot be is alone. Returns false if it is. */
static bool shrink(struct forwarder *forwarder, struct reason *reason) {
    struct batch *batch = sending(forwarder);
    struct reason cause = *reason;
    if (batch->rows.count == 1)
        explain(reason, "event %" PRIu64 " cannot be forwarded, nor any after it: %.300s", batch->after.seq,
                cause.text);
    if (batch->rows.count == 1 || !batch->moves)
        return false;
    forwarder->limit = batch->rows.count / 2;
    empty_batch(forwarder, sending(forwarder));
    empty_batch(forwarder, filling(forwarder));
    settled_start(&forwarder->settled, &forwarder->cursor.mark, forwarder->settled.first);
    return true;
}

static void confirm(struct forwarder *forwarder) {
    struct batch *batch = sending(forwarder);
    struct forward_note *note = &forwarder->note;
    uint64_t stored = rows_stored(forwarder->database);
    note->sent += stored;
    note->duplicates += batch->rows.count - stored;
    note->failing = false;
    forwarder->unwritten = true;
    backoff_end(&forwarder->database_backoff);
    if (forwarder->limit < ROWS_MAX)
        forwarder->limit += forwarder->limit / 8 + 1;
    if (batch->moves) {
        forwarder->cursor.mark = batch->after;
        forwarder->unsaved = true;
    }
    empty_batch(forwarder, batch);
}

/* Takes the next batch if there is none. Lines that are skipped, because they are damaged, need no sending.
 */
static void take_batch(struct forwarder *forwarder) {
    if (sending(forwarder)->rows.count > 0)
        return;
    struct batch *batch = filling(forwarder);
    if (batch->rows.count == 0 && batch->moves) {
        forwarder->cursor.mark = batch->after;
        forwarder->unsaved = true;
        batch->moves = false;
    }
    if (batch->rows.count > 0)
        forwarder->first = !forwarder->first;
}

static void use_database(struct forwarder *forwarder) {
    struct reason reason = {""};
    if (monotonic_now() < forwarder->database_backoff.again)
        return;
    int result = database_advance(forwarder->database, &reason);
    if (result < 0)
        forwarder->sent = false;
    if (result == DATABASE_READY && forwarder->sent) {
        const char *warning = database_warning(forwarder->database);
        if (warning == NULL)
            confirm(forwarder);
        else
            result = FAIL(&reason, ERROR_SYSTEM, "the database warns: %s", warning);
        forwarder->sent = false;
    }
    take_batch(forwarder);
    bool waiting = sending(forwarder)->rows.count > 0;
    if (result == DATABASE_READY && !waiting) {
        forwarder->unwritten |= forwarder->note.failing;
        forwarder->note.failing = false;
        backoff_clear(&forwarder->database_backoff);
    }
    if (result == DATABASE_READY && waiting && !forwarder->sent && !forwarder->ending) {
        result = rows_send(&sending(forwarder)->rows, forwarder->database, &reason);
        forwarder->sent = result == 0;
    }
    if (result == ERROR_INVALID && is_about_rows(database_sqlstate(forwarder->database)) &&
        shrink(forwarder, &reason)) {
        note_failure(forwarder, &reason);
        return;
    }
    if (result == ERROR_INVALID && strcmp(database_sqlstate(forwarder->database), "25006") == 0)
        database_disconnect(forwarder->database); /* another host may have become the primary */
    if (result < 0)
        fail(forwarder, &reason);
}

/* ---- the loop ---- */

static bool is_idle(const struct forwarder *forwarder) {
    return !settled_has_more(&forwarder->settled) &&
           forwarder->batch[0].rows.count + forwarder->batch[1].rows.count == 0;
}

static bool is_over(struct forwarder *forwarder) {
    if (forwarder->ending)
        return !forwarder->sent || monotonic_now() >= forwarder->stop_at;
    return (forwarder->forward->once || forwarder->forward->verify) && is_idle(forwarder) &&
           database_is_connected(forwarder->database);
}

/* Returns true if a part of the batch has not been sent. The database starts when it has all of it. */
static bool is_sending(const struct forwarder *forwarder) {
    struct pollfd watched;
    return forwarder->sent && database_watch(forwarder->database, &watched) > 0 &&
           (watched.events & POLLOUT) != 0;
}

static void lower(int64_t *wait, int64_t other) {
    if (other >= 0 && other < *wait)
        *wait = other;
}

/* Returns true if there is something to read and room for it. */
static bool can_read_on(struct forwarder *forwarder) {
    return !forwarder->ending && !is_sending(forwarder) && forwarder->journal_backoff.again == 0 &&
           settled_has_more(&forwarder->settled) && filling(forwarder)->rows.count == 0;
}

static void wait_for_any(struct forwarder *forwarder) {
    struct pollfd watched[3] = {{.fd = forwarder->signals, .events = POLLIN},
                                {.fd = forwarder->settled.follow.notify, .events = POLLIN}};
    int64_t now = monotonic_now(), wait = follow_poll_timeout_ms(&forwarder->settled.follow) * 1000;
    bool paused = now < forwarder->database_backoff.again;
    size_t count = 2;
    if (!paused)
        count += database_watch(forwarder->database, &watched[count]);
    if (paused)
        lower(&wait, forwarder->database_backoff.again - now);
    else
        lower(&wait, database_wait_limit(forwarder->database));
    if (forwarder->ending)
        lower(&wait, forwarder->stop_at > now ? forwarder->stop_at - now : 0);
    if (can_read_on(forwarder))
        wait = 0;
    (void)poll(watched, count, (int)((wait + 999) / 1000));
    follow_wait(&forwarder->settled.follow, 0);
    if (signals_take(forwarder->signals) && !forwarder->ending) {
        forwarder->ending = true;
        forwarder->stop_at = monotonic_now() + END_WITHIN;
    }
}

static void loop(struct forwarder *forwarder) {
    for (;;) {
        if (!is_sending(forwarder))
            read_journal(forwarder);
        use_database(forwarder);
        if (!is_sending(forwarder))
            save_cursor(forwarder, false); /* while the database works */
        write_note(forwarder);
        if (is_over(forwarder))
            break;
        wait_for_any(forwarder);
    }
    save_cursor(forwarder, true);
    write_note(forwarder);
}

static int start(struct forwarder *forwarder, const struct config *config) {
    const struct forward *forward = forwarder->forward;
    struct reason reason = {""};
    forwarder->parser = event_parser_new();
    forwarder->signals = signals_open(false);
    if (forwarder->parser == NULL)
        return problem("out of memory");
    if (forwarder->signals < 0)
        return problem("cannot wait for signals: %s", strerror(errno));
    enum cursor_lock which = forward->verify ? CURSOR_LOCK_RETRYING : CURSOR_LOCK_RUNNER;
    if (settled_open(&forwarder->settled, config->journal, forward->name, which, &reason) != 0 ||
        (forward->verify ? start_verifying : open_cursor)(forwarder, &reason) != 0)
        return problem("%s", reason.text);
    if (!forward->verify)
        forward_note_read(forwarder->settled.lock, &forwarder->note);
    return STATUS_DONE;
}

static struct forwarder *forwarder_new(const struct forward *forward) {
    struct reason reason = {""};
    struct forwarder *forwarder = calloc(1, sizeof *forwarder);
    char name[CURSOR_NAME_SIZE + 32];
    if (forwarder == NULL) {
        problem("out of memory");
        return NULL;
    }
    snprintf(name, sizeof name, "doorpost forward %s", forward->name);
    forwarder->forward = forward;
    forwarder->signals = -1;
    forwarder->limit = ROWS_MAX;
    forwarder->database_backoff.longest = LONGEST_DELAY;
    forwarder->database = database_new(forward->to, DATABASE_WRITE, name, false, &reason);
    if (forwarder->database == NULL) {
        problem("%s", reason.text);
        free(forwarder);
        return NULL;
    }
    empty_batch(forwarder, &forwarder->batch[0]);
    empty_batch(forwarder, &forwarder->batch[1]);
    return forwarder;
}

static void forwarder_free(struct forwarder *forwarder) {
    database_free(forwarder->database);
    rows_free(&forwarder->batch[0].rows);
    rows_free(&forwarder->batch[1].rows);
    event_parser_free(forwarder->parser);
    if (forwarder->signals >= 0)
        close(forwarder->signals);
    free(forwarder);
}

static void report(const struct forward_note *note) {
    printf("%" PRIu64 " events compared, %" PRIu64 " were missing in the database%s\n",
           note->sent + note->duplicates, note->sent, note->sent > 0 ? " and have been sent" : "");
}

int forwarder_run(const struct config *config, const struct forward *forward) {
    struct forwarder *forwarder = forwarder_new(forward);
    if (forwarder == NULL)
        return STATUS_PROBLEM;
    int status = start(forwarder, config);
    if (status == STATUS_DONE) {
        loop(forwarder);
        bool unsaved = forwarder->unsaved && !forward->verify;
        status = forwarder->broken || unsaved ? STATUS_PROBLEM : STATUS_DONE;
        if (forward->verify)
            report(&forwarder->note);
    }
    settled_close(&forwarder->settled);
    forwarder_free(forwarder);
    return status;
}
