/* A batch goes through steps that never go back: settings and keys; what each request says and whether it is
 * signed, as it comes; one append to the journal for all that is to be kept; then the answers. While the disk
 * syncs one batch, on a thread of its own, the next one is taken; it is written when that one is answered. */
#include "handler.h"

#include "background.h"
#include "intake.h"
#include "journal.h"
#include "keys.h"
#include "log.h"
#include "on_event.h"
#include "response.h"
#include "timestamp.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_WAIT \
    (SECOND * 9 / 10) /* for a request that took long to come in: still an answer within five seconds */

_Static_assert(HANDLER_BATCH <= JOURNAL_BATCH, "a batch goes to the journal with one append");

/* A request on its way. */
struct delivery {
    struct request request;
    struct decision decision;
    struct entry entry;
    bool unread; /* answered without reading the body */
    char *body;  /* max_body bytes, from when they are needed first */
};

struct batch {
    bool ready; /* settings and keys are; else the reason is in not_ready */
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
    const volatile sig_atomic_t *hurry;
    struct background *background; /* NULL under CGI */
    struct batch *taking;          /* the batch that requests are taken into */
    struct batch *syncing;         /* the one in the background, or NULL */
    struct batch batch[2];
};

struct handler *handler_new(const volatile sig_atomic_t *hurry, bool lasting) {
    struct handler *handler = calloc(1, sizeof *handler);
    if (handler == NULL)
        return NULL;
    handler->hurry = hurry;
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
    for (size_t i = 0; i < HANDLER_BATCH; i++) {
        free(handler->batch[0].delivery[i].body);
        free(handler->batch[1].delivery[i].body);
    }
    journal_free(handler->journal);
    event_parser_free(handler->parser);
    keys_free(handler->keys);
    free(handler);
}

size_t handler_max_body(const struct handler *handler) {
    return handler->configured ? handler->config.max_body : BODY_DEFAULT;
}

/* Reads the settings until it has worked once, and the keys whenever their file has changed. */
static int make_ready(struct handler *handler, struct reason *reason) {
    if (!handler->configured) {
        int result = config_load(&handler->config, reason);
        if (result != 0)
            return result;
        if (handler->config.warning.text[0] != '\0')
            log_warning(handler->config.log, handler->config.warning.text);
        handler->journal = journal_new(handler->config.journal, 0);
        if (handler->journal == NULL)
            return fail(reason, ERROR_TROUBLE, "no memory");
        handler->configured = true;
    }
    return keys_load(handler->keys, handler->config.key_file, reason);
}

static void trouble(struct delivery *delivery, const struct reason *reason) {
    delivery->decision.verdict = VERDICT_TROUBLE;
    delivery->decision.cause = *reason;
}

struct request *handler_place(struct handler *handler) {
    struct batch *batch = handler->taking;
    return batch->count < HANDLER_BATCH ? &batch->delivery[batch->count].request : NULL;
}

size_t handler_taken(const struct handler *handler) {
    return handler->taking->count;
}

void handler_take(struct handler *handler) {
    struct batch *batch = handler->taking;
    if (batch->count == 0)
        batch->ready = make_ready(handler, &batch->not_ready) == 0;
    struct delivery *delivery = &batch->delivery[batch->count++];
    struct request *request = &delivery->request;
    const struct head head = {.method = request_parameter(request, "REQUEST_METHOD"),
                              .content_length = request_parameter(request, "CONTENT_LENGTH"),
                              .signature = request_parameter(request, "HTTP_X_SIGNATURE")};
    delivery->unread = true;
    delivery->entry = (struct entry){.outcome = OUTCOME_TROUBLE};
    long length = intake_head(&handler->config, &head, &delivery->decision);
    if (!batch->ready) {
        trouble(delivery, &batch->not_ready);
        return;
    }
    if (length < 0)
        return;
    if (delivery->body == NULL)
        delivery->body = malloc(handler->config.max_body);
    if (delivery->body == NULL) {
        trouble(delivery, &(struct reason){"no memory for a body"});
        return;
    }
    ssize_t got =
        request_read(request, delivery->body, (size_t)length, request_accepted_at(request) + ANSWER_WITHIN);
    delivery->unread = false;
    delivery->entry.length = (size_t)length;
    if (got < 0)
        trouble(delivery, &(struct reason){"the body could not be read, or not in time"});
    else if (got < length)
        intake_truncated(&delivery->decision);
    else
        intake_body(handler->keys, handler->parser, &head, delivery->body, (size_t)length,
                    &delivery->decision);
}

/* The delivery's entry for the journal, or NULL if nothing is to be kept. */
static struct entry *entry_of(const struct handler *handler, struct delivery *delivery) {
    const struct decision *decision = &delivery->decision;
    struct entry *entry = &delivery->entry;
    if (decision->verdict != VERDICT_USABLE && decision->verdict != VERDICT_REJECTED)
        return NULL;
    entry->body = delivery->body;
    entry->key = decision->key;
    entry->signature = decision->signature;
    entry->received_at = timestamp_now();
    entry->event = decision->verdict == VERDICT_USABLE ? &decision->event : NULL;
    entry->rejection = decision->verdict == VERDICT_REJECTED ? decision->cause.text : NULL;
    if (handler->config.max_age > 0)
        entry_set_age(entry, handler->config.max_age, keys_changed_at(handler->keys));
    return entry;
}

static struct deadline deadline_of(const struct handler *handler, const struct batch *batch) {
    int64_t earliest = request_accepted_at(&batch->delivery[0].request);
    for (size_t i = 1; i < batch->count; i++)
        if (request_accepted_at(&batch->delivery[i].request) < earliest)
            earliest = request_accepted_at(&batch->delivery[i].request);
    int64_t at = earliest + ANSWER_WITHIN, least = monotonic_now() + LEAST_WAIT;
    return (struct deadline){.at = at > least ? at : least, .hurry = handler->hurry};
}

static void keep(struct handler *handler, struct batch *batch) {
    batch->kept_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        struct entry *entry = entry_of(handler, &batch->delivery[i]);
        if (entry != NULL)
            batch->kept[batch->kept_count++] = entry;
    }
    if (batch->kept_count > 0)
        journal_write(handler->journal, batch->kept, batch->kept_count, &batch->deadline);
    if (batch->kept_count > 0 && journal_warning(handler->journal)[0] != '\0')
        log_warning(handler->config.log, journal_warning(handler->journal));
}

static int answer(struct delivery *delivery) {
    char text[RESPONSE_SIZE];
    if (delivery->entry.outcome == OUTCOME_REJECTED && delivery->decision.verdict == VERDICT_USABLE)
        explain(&delivery->decision.cause, "%s",
                delivery->entry.rejection); /* the journal has decided that */
    size_t length = response_write(&delivery->decision, delivery->entry.outcome, delivery->entry.seq, text);
    return request_answer(&delivery->request, text, length);
}

static void write_log(const struct handler *handler, const struct batch *batch,
                      const struct delivery *delivery) {
    const struct decision *decision = &delivery->decision;
    struct verdict_line line = response_verdict(decision, delivery->entry.outcome);
    bool not_kept = delivery->entry.reason.text[0] != '\0';
    const char *cause = not_kept ? delivery->entry.reason.text : decision->cause.text;
    log_answer(handler->configured ? handler->config.log : LOG_PROBLEMS,
               &(struct log_answer){.status = line.status,
                                    .verdict = line.word,
                                    .cause = cause,
                                    .key = decision->key,
                                    .event = &decision->event,
                                    .seq = line.status == 200 ? delivery->entry.seq : 0,
                                    .batch = batch->count,
                                    .spent = monotonic_now() - request_accepted_at(&delivery->request)});
}

static bool any_stored(const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (batch->delivery[i].entry.outcome == OUTCOME_STORED)
            return true;
    return false;
}

/* The answers, and what can wait until they are out. */
static void answer_batch(struct handler *handler, struct batch *batch, const struct handler_done *done) {
    struct reason reason;
    for (size_t i = 0; i < batch->count; i++) {
        struct delivery *delivery = &batch->delivery[i];
        int file = answer(delivery);
        if (file >= 0)
            done->call(done->context, file, delivery->unread);
        else if (delivery->unread)
            request_discard(&delivery->request, batch->deadline.at);
        write_log(handler, batch, delivery);
    }
    if (batch->ready && any_stored(batch) && on_event_start(&handler->config, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    if (batch->ready && journal_upkeep(handler->journal, &batch->deadline, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    batch->count = 0;
}

static void sync_journal(void *journal) {
    journal_sync(journal);
}

void handler_finish(struct handler *handler, bool background, const struct handler_done *done) {
    struct batch *batch = handler->taking;
    struct reason reason;
    handler_answer(handler, true, done);
    batch->deadline = deadline_of(handler, batch);
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
    answer_batch(handler, batch, done);
}

void handler_answer(struct handler *handler, bool wait, const struct handler_done *done) {
    struct batch *batch = handler->syncing;
    if (batch == NULL || !background_ended(handler->background, wait))
        return;
    handler->syncing = NULL;
    answer_batch(handler, batch, done);
}

int handler_file(const struct handler *handler) {
    return handler->background != NULL ? background_file(handler->background) : -1;
}
