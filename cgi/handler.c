/* How a batch is processed, in order: load settings and keys; parse and verify each request as it comes;
 * append everything to be stored to the journal at once; send the answers. While a second thread syncs one
 * batch, the next one is filled; it is written once the first is answered. */
#include "handler.h"

#include "background.h"
#include "intake.h"
#include "journal.h"
#include "keys.h"
#include "log.h"
#include "on_event.h"
#include "privilege.h"
#include "response.h"
#include "timestamp.h"

#include <stdlib.h>
#include <string.h>

#define MIN_WAIT (SECOND * 9 / 10) /* for a request that arrived slowly: still answered in time */

_Static_assert(ANSWER_WITHIN + MIN_WAIT < RING_ANSWER_SECONDS * SECOND, "Ring waits for that answer");
_Static_assert(HANDLER_BATCH <= JOURNAL_BATCH, "a batch goes to the journal with one append");

/* A request being processed. */
struct delivery {
    struct request *request;
    void *owner;
    struct decision decision;
    struct entry entry;
};

struct batch {
    bool ready; /* settings and keys are loaded; if not, see not_ready */
    struct reason not_ready;
    size_t count, kept_count;
    struct deadline deadline;
    struct entry *kept[HANDLER_BATCH];
    struct delivery delivery[HANDLER_BATCH];
};

struct handler {
    struct config config;
    bool configured;
    struct keys *keys;
    struct event_parser *parser;
    struct journal *journal;
    const volatile sig_atomic_t *stop_requested;
    struct background *background; /* NULL under CGI */
    struct batch *taking;          /* the batch being filled */
    struct batch *syncing;         /* the batch in the background, or NULL */
    struct batch batch[2];
};

struct handler *handler_new(const volatile sig_atomic_t *stop_requested, bool lasting) {
    struct handler *handler = calloc(1, sizeof *handler);
    if (handler == NULL)
        return NULL;
    handler->stop_requested = stop_requested;
    handler->taking = &handler->batch[0];
    handler->keys = keys_alloc();
    handler->parser = event_parser_new();
    if (handler->keys == NULL || handler->parser == NULL) {
        handler_free(handler);
        return NULL;
    }
    if (lasting) {
        keys_lock(handler->keys);
        handler->background = background_start();
    }
    return handler;
}

void handler_free(struct handler *handler) {
    if (handler == NULL)
        return;
    background_stop(handler->background);
    journal_free(handler->journal);
    event_parser_free(handler->parser);
    keys_free(handler->keys);
    free(handler);
}

/* Reads the settings. If started as root, becomes the journal's owner before opening the keys, so that a key
 * file which this user cannot read is reported now, and not at the next rotation. */
static int configure(struct handler *handler, struct reason *reason) {
    int result = privilege_trust_settings(reason);
    if (result == 0)
        result = config_load(&handler->config, reason);
    if (result == 0)
        result = privilege_drop(&handler->config, reason);
    if (result == 0 && handler->config.warning.text[0] != '\0')
        log_warning(handler->config.log, handler->config.warning.text);
    handler->configured = result == 0;
    return result;
}

/* Loads the settings, retrying until they have loaded once, and reloads the keys whenever their file changes.
 */
static int make_ready(struct handler *handler, struct reason *reason) {
    int result = handler->configured ? 0 : configure(handler, reason);
    if (result == 0 && handler->journal == NULL &&
        (handler->journal = journal_new(handler->config.journal, 0)) == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "out of memory");
    if (result == 0)
        result = privilege_trust_keys(&handler->config, reason);
    return result == 0 ? keys_load(handler->keys, handler->config.key_file, reason) : result;
}

static enum log_level log_level(const struct handler *handler) {
    return handler->configured ? handler->config.log : LOG_PROBLEMS;
}

bool handler_has_room(const struct handler *handler) {
    return handler->taking->count < HANDLER_BATCH;
}

size_t handler_taken(const struct handler *handler) {
    return handler->taking->count;
}

static void decide(struct handler *handler, const struct batch *batch, struct delivery *delivery) {
    struct request *request = delivery->request;
    struct decision *decision = &delivery->decision;
    if (!batch->ready)
        intake_refuse(decision, DISPOSITION_UNAVAILABLE, batch->not_ready.text);
    else if (request->fault == REQUEST_MALFORMED)
        intake_refuse(decision, DISPOSITION_MALFORMED, "the web server sent inconsistent FastCGI records");
    else if (request->fault == REQUEST_INCOMPLETE)
        intake_refuse(decision, DISPOSITION_UNAVAILABLE, "the request did not arrive in time");
    else
        intake_request(&handler->config, handler->keys, handler->parser, &request->metadata, request->body,
                       request->length, decision);
}

void handler_take(struct handler *handler, struct request *request, void *owner) {
    struct batch *batch = handler->taking;
    if (batch->count == 0)
        batch->ready = make_ready(handler, &batch->not_ready) == 0;
    struct delivery *delivery = &batch->delivery[batch->count++];
    delivery->request = request;
    delivery->owner = owner;
    memset(&delivery->decision, 0, sizeof delivery->decision);
    delivery->entry = (struct entry){.disposition = DISPOSITION_UNAVAILABLE, .length = request->length};
    decide(handler, batch, delivery);
}

/* Returns the delivery's journal entry, or NULL if it is not stored. */
static struct entry *entry_of(const struct handler *handler, struct delivery *delivery) {
    const struct decision *decision = &delivery->decision;
    struct entry *entry = &delivery->entry;
    if (delivery->request->aborted ||
        (decision->disposition != DISPOSITION_ACCEPTED && decision->disposition != DISPOSITION_REJECTED))
        return NULL;
    entry->body = delivery->request->body;
    entry->key = decision->key;
    entry->signature = decision->signature;
    entry->received_at = timestamp_now();
    entry->event = decision->disposition == DISPOSITION_ACCEPTED ? &decision->event : NULL;
    entry->rejection = decision->disposition == DISPOSITION_REJECTED ? decision->cause.text : NULL;
    if (handler->config.max_age > 0)
        entry_set_age(entry, handler->config.max_age, keys_changed_at(handler->keys));
    return entry;
}

/* Only requests to be stored set the deadline, and one that arrived slowly must not leave the others too
 * little time. */
static void set_deadline(const struct handler *handler, struct batch *batch) {
    int64_t least = monotonic_now() + MIN_WAIT, earliest = INT64_MAX;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->delivery[i].entry.body != NULL && batch->delivery[i].request->since < earliest)
            earliest = batch->delivery[i].request->since;
    int64_t at = earliest != INT64_MAX ? earliest + ANSWER_WITHIN : least;
    batch->deadline =
        (struct deadline){.at = at > least ? at : least, .stop_requested = handler->stop_requested};
}

static void choose_kept(const struct handler *handler, struct batch *batch) {
    batch->kept_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = entry_of(handler, &batch->delivery[i]);
        if (entry != NULL)
            batch->kept[batch->kept_count++] = entry;
    }
}

static void keep(struct handler *handler, struct batch *batch) {
    if (batch->kept_count == 0)
        return;
    journal_write(handler->journal, batch->kept, batch->kept_count, &batch->deadline);
    if (journal_warning(handler->journal)[0] != '\0')
        log_warning(handler->config.log, journal_warning(handler->journal));
}

/* For a delivery passed to the journal, the journal's disposition is final. */
static void take_disposition(struct delivery *delivery) {
    struct decision *decision = &delivery->decision;
    const struct entry *entry = &delivery->entry;
    if (decision->disposition != DISPOSITION_ACCEPTED && decision->disposition != DISPOSITION_REJECTED)
        return;
    if (entry->disposition == DISPOSITION_REJECTED && decision->disposition == DISPOSITION_ACCEPTED)
        explain(&decision->cause, "%s", entry->rejection);
    else if (entry->reason.text[0] != '\0')
        decision->cause = entry->reason;
    decision->disposition = entry->disposition;
}

static void write_log(const struct handler *handler, const struct batch *batch,
                      const struct delivery *delivery) {
    const struct decision *decision = &delivery->decision;
    int status = response_status(decision->disposition);
    log_answer(log_level(handler),
               &(struct log_answer){.status = status,
                                    .disposition = response_word(decision->disposition),
                                    .cause = decision->cause.text,
                                    .client = delivery->request->metadata.client,
                                    .key = decision->key,
                                    .event = &decision->event,
                                    .seq = status == 200 ? delivery->entry.seq : 0,
                                    .batch = batch->count,
                                    .duration = monotonic_now() - delivery->request->since});
}

/* Log first: if standard error is not connected, the log lines are sent with the answer. */
static void answer(const struct handler *handler, const struct batch *batch, struct delivery *delivery,
                   const struct handler_answers *answers) {
    char text[RESPONSE_SIZE];
    const char *method = delivery->request->metadata.method;
    bool with_body = method == NULL || strcmp(method, "HEAD") != 0;
    take_disposition(delivery);
    write_log(handler, batch, delivery);
    size_t length = response_write(&delivery->decision, delivery->entry.seq, with_body, text);
    answers->send(answers->context, delivery->owner, text, length);
}

static bool any_stored(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (batch->delivery[i].entry.disposition == DISPOSITION_STORED)
            return true;
    return false;
}

/* Sends the answers, then does the work that can wait for them. */
static void answer_batch(struct handler *handler, struct batch *batch,
                         const struct handler_answers *answers) {
    struct reason reason;
    for (size_t i = 0; i < batch->count; i++)
        answer(handler, batch, &batch->delivery[i], answers);
    if (batch->ready && any_stored(batch) && on_event_start(&handler->config, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    if (batch->ready && journal_upkeep(handler->journal, &batch->deadline, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    batch->count = 0;
}

void handler_warn(const struct handler *handler, const char *cause) {
    log_warning(log_level(handler), cause);
}

static void sync_journal(void *journal) {
    journal_sync(journal);
}

void handler_finish(struct handler *handler, bool background, const struct handler_answers *answers) {
    struct batch *batch = handler->taking;
    struct reason reason;
    handler_answer(handler, true, answers);
    choose_kept(handler, batch);
    set_deadline(handler, batch);
    if (batch->ready && on_event_prepare(&handler->config, &batch->deadline, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    keep(handler, batch);
    if (batch->kept_count > 0 && background && handler->background != NULL) {
        background_begin(handler->background, sync_journal, handler->journal);
        handler->syncing = batch;
        handler->taking = batch == &handler->batch[0] ? &handler->batch[1] : &handler->batch[0];
        return;
    }
    if (batch->kept_count > 0)
        journal_sync(handler->journal);
    answer_batch(handler, batch, answers);
}

void handler_answer(struct handler *handler, bool wait, const struct handler_answers *answers) {
    struct batch *batch = handler->syncing;
    if (batch == NULL || !background_ended(handler->background, wait))
        return;
    handler->syncing = NULL;
    answer_batch(handler, batch, answers);
}

int handler_fd(const struct handler *handler) {
    return handler->background != NULL ? background_fd(handler->background) : -1;
}
