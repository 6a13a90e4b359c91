/* Reads the events to run into the schedule: new lines of the journal, or the list of those given up. */
#include "consumer.h"
#include "journal_source_state.h"
#include "segment.h"
#include "terminal.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static bool is_wanted(const struct journal_source *source) {
    const struct event *event = &source->event;
    const struct run *run = source->run;
    return list_has(&run->types, event->type) && list_has(&run->devices, event->device) &&
           list_has(&run->accounts, event->account) && strcmp(event->device, EVENT_TEST_DEVICE) != 0;
}

static uint64_t hash_of(const char *text) {
    static const unsigned char key[crypto_shorthash_KEYBYTES] = "doorpost order";
    uint64_t value;
    crypto_shorthash((unsigned char *)&value, (const unsigned char *)text, strlen(text), key);
    return value;
}

/* A hash of the event's id, in the form used in the list of failed events. */
static uint64_t identity_of(const struct event *event) {
    char text[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    return hash_of(plain(event->id, text, sizeof text));
}

/* Events of one device run in order. Events without a device run in order by account. */
static uint64_t order_of(const struct event *event) {
    return hash_of(event->device[0] != '\0' ? event->device : event->account);
}

static bool is_same(const struct mark *a, const struct mark *b) {
    return a->position.day == b->position.day && a->position.offset == b->position.offset &&
           a->seq == b->seq && strcmp(a->chain, b->chain) == 0;
}

int journal_source_resume(struct journal_source *source, struct reason *reason) {
    struct cursor *cursor = &source->cursor;
    struct resume *resume = &source->resume;
    struct reason explanation;
    int result = resume_find(source->settled.directory.fd, cursor, resume, reason);
    if (result != 0)
        return result;
    if (!resume->holds) {
        resume_explain(resume, source->run->name, &explanation);
        backoff_report(&source->position_backoff, &explanation, "");
    }
    if (!is_same(&cursor->mark, &resume->mark)) {
        cursor->highest = cursor_highest(cursor);
        cursor->mark = resume->mark;
        source->unsaved = true;
    }
    if (resume->reused) /* its other fields describe other lines */
        cursor->done_count = cursor->retry_count = 0;
    source->loaded = *cursor;
    schedule_clear(source->schedule, &cursor->mark);
    settled_start(&source->settled, &cursor->mark, resume->first);
    return 0;
}

/* Takes over the cursor of a new directory: the journal may be a copy of the old one, or another one that has
 * its own cursor for this consumer. */
static int adopt_cursor(struct journal_source *source, struct reason *reason) {
    const char *name = source->run->name;
    int directory = source->settled.directory.fd, result = 0;
    source->reserved = source->waiting.known = false;
    source->unsaved = true;
    if (source->cursor.mark.seq == 0 || mark_check(directory, &source->cursor.mark, reason) == 0) {
        result = cursor_read(directory, name, &source->loaded, reason);
        if (result > 0)
            source->cursor = source->loaded;
    }
    if (result > 0)
        result = waiting_load(directory, name, schedule_queues(source->schedule), timestamp_now(), reason);
    if (result < 0)
        journal_source_end_broken(source);
    return result;
}

static int check_journal(struct journal_source *source, struct reason *reason) {
    int result = settled_check(&source->settled, reason);
    if (result <= SETTLED_SAME)
        return result;
    if (result == SETTLED_TAKEN) {
        journal_source_end_broken(source);
        return ERROR_TIMEOUT;
    }
    journal_source_update_cursor(source);
    result = result == SETTLED_REPLACED ? adopt_cursor(source, reason) : 0;
    return result < 0 ? result : journal_source_resume(source, reason);
}

/* Parses an event into source->event. Returns 1, 0 if it is damaged, or an error. */
static int parse(struct journal_source *source, const struct record *record, struct reason *reason) {
    int result = event_parse(source->parser, record->event, record->event_length, &source->event, reason);
    return result == 0 ? 1 : result == ERROR_SYSTEM ? result : 0;
}

/* Marks an item as running if its command was started before the lines were reread. */
static void mark_if_running(struct journal_source *source, struct item *item) {
    for (size_t i = 0; i < JOBS_MAX; i++) {
        const struct task *task = &source->base.task[i];
        if (task->busy && task->item.seq == item->seq && task->item.identity == item->identity) {
            item->state = ITEM_RUNNING;
            item->attempts = task->item.attempts;
        }
    }
}

static int add_line(struct journal_source *source, const struct settled_line *line, struct reason *reason) {
    const struct record *record = &line->record;
    bool damaged = line->scan == SCAN_DAMAGED;
    struct item item = {.seq = damaged ? 0 : record->seq, .position = line->begin};
    int readable = damaged ? 0 : parse(source, record, reason);
    if (readable < 0)
        return readable;
    if (!readable) {
        char name[SEGMENT_NAME_SIZE];
        segment_name(item.position.day, name);
        problem("%s, byte %" PRIu64 ": a damaged line, for which no command is run; see `doorpost check`",
                name, item.position.offset);
    }
    if (!readable || !is_wanted(source) || !resume_is_new(&source->resume, record, item.position.day)) {
        schedule_skip(source->schedule, item.seq, &line->end);
        return 0;
    }
    item.identity = identity_of(&source->event);
    item.order = order_of(&source->event);
    struct item *added = schedule_add(source->schedule, &source->loaded, &item, &line->end);
    if (added != NULL)
        mark_if_running(source, added);
    return 0;
}

/* Reads until the end, or until the schedule is full. */
static int refill(struct journal_source *source, struct reason *reason) {
    struct settled_line line;
    int result = 1;
    while (result > 0 && settled_has_more(&source->settled)) {
        schedule_defer(source->schedule, timestamp_now());
        if (schedule_is_full(source->schedule))
            break;
        struct mark before = source->settled.read;
        result = settled_next(&source->settled, &line, reason);
        if (result > 0 && add_line(source, &line, reason) != 0) {
            settled_start(&source->settled, &before, source->resume.first);
            return ERROR_SYSTEM;
        }
    }
    return result < 0 ? result : 0;
}

/* Reads the line of an item at that position. Returns 1; 0 if it is not there; or an error. */
static int read_at(struct journal_source *source, const struct item *item, struct position position,
                   struct record *record, struct reason *reason) {
    enum scan scan;
    walk_end(&source->again);
    walk_start(&source->again, source->settled.directory.fd, position, (struct chain_state){.known = false});
    walk_close(&source->again);
    int result = walk_next(&source->again, &scan, record, &position, reason);
    if (result <= 0 || scan == SCAN_DAMAGED || record->seq != item->seq)
        return result < 0 ? result : 0;
    result = parse(source, record, reason);
    return result > 0 ? identity_of(&source->event) == item->identity : result;
}

struct seq_search {
    struct journal_source *source;
    const struct item *item;
};

static int is_sought(void *context, const struct record *record, struct reason *reason) {
    const struct seq_search *search = context;
    int result = parse(search->source, record, reason);
    return result > 0 ? identity_of(&search->source->event) == search->item->identity : result;
}

int journal_source_reread(struct journal_source *source, struct item *item, struct record *record,
                          struct reason *reason) {
    struct seq_search search = {.source = source, .item = item};
    int result = read_at(source, item, item->position, record, reason);
    if (result != 0)
        return result;
    result =
        resume_seek(source->settled.directory.fd, item->seq, &item->position, is_sought, &search, reason);
    return result > 0 ? read_at(source, item, item->position, record, reason) : result;
}

void journal_source_read_new(struct journal_source *source) {
    struct reason reason = {""};
    const struct source *base = &source->base;
    if (base->ending || source->run->retry_failed || monotonic_now() < source->read_backoff.again)
        return;
    int result = check_journal(source, &reason);
    if (result == 0)
        result = refill(source, &reason);
    if (result == 0) {
        backoff_clear(&source->read_backoff);
        return;
    }
    journal_source_end_if_once(source);
    backoff_start(&source->read_backoff, &reason, base->ending ? "" : "; retrying");
    settled_reopen(&source->settled);
}

/* ---- events that were given up ---- */

/* Returns true for the event that --retry names, or for any if it names none. */
static bool is_selected(const struct run *run, const struct failure *failure) {
    char number[24], id[QUOTE_SIZE(EVENT_FIELD_SIZE)];
    snprintf(number, sizeof number, "%" PRIu64, failure->seq);
    return run->retry == NULL || strcmp(run->retry, number) == 0 ||
           strcmp(plain(run->retry, id, sizeof id), failure->event_id) == 0;
}

static void add_failure(void *context, const struct failure *failure) {
    struct journal_source *source = context;
    struct queues *queues = schedule_queues(source->schedule);
    struct record record;
    struct reason reason = {""};
    struct item item = {
        .seq = failure->seq, .position = failure->position, .identity = hash_of(failure->event_id)};
    if (!is_selected(source->run, failure))
        return;
    source->matched++;
    int result = queues_reserve(queues, 1) ? journal_source_reread(source, &item, &record, &reason)
                                           : FAIL(&reason, ERROR_SYSTEM, "out of memory");
    if (result > 0) {
        item.order = order_of(&source->event);
        if (queues_find(queues, &item) == NULL)
            queues_add(queues, &item, 0);
        return;
    }
    if (result == 0)
        problem("event %" PRIu64 " (%s) is no longer in the journal", failure->seq, failure->event_id);
    else
        problem("event %" PRIu64 " (%s) remains on the list: %s", failure->seq, failure->event_id,
                reason.text);
    source->base.broken |= result < 0;
}

int journal_source_read_failed(struct journal_source *source) {
    const struct run *run = source->run;
    const struct settled *settled = &source->settled;
    struct reason reason = {""};
    int count = failed_each(settled->directory.fd, settled->lock, run->name, add_failure, source, &reason);
    if (count >= 0 && run->retry != NULL && source->matched == 0)
        return problem(CONSUMER_HAS_NOT_FAILED, run->retry, run->name);
    if (count == 0)
        explain_empty("Nothing to retry: %s has given up no event.", run->name);
    source->base.broken |= run->retry == NULL && count > (int)source->matched; /* some are damaged */
    return count < 0 ? problem("%s", reason.text) : STATUS_DONE;
}
