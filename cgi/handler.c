/* One batch at a time, in steps that never go back: settings and keys; what each request says and whether it
 * is signed, as it comes; one append to the journal for all that is to be kept; then the answers. */
#include "handler.h"

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
    struct request *request;
    struct decision decision;
    struct entry entry;
    bool unread; /* answered without reading the body */
    char *body;  /* of request_read() */
};

struct handler {
    struct config config;
    bool configured;
    struct keys *keys;
    struct event_parser *parser;
    struct journal *journal;
    const volatile sig_atomic_t *hurry;
    bool ready; /* for this batch; else the reason is in not_ready */
    struct reason not_ready;
    size_t count; /* of the batch */
    struct delivery delivery[HANDLER_BATCH];
    char *bodies[HANDLER_BATCH]; /* for each delivery max_body bytes, from when it needs them first */
};

struct handler *handler_new(const volatile sig_atomic_t *hurry, bool lasting) {
    struct handler *handler = calloc(1, sizeof *handler);
    if (handler == NULL)
        return NULL;
    handler->hurry = hurry;
    handler->keys = keys_alloc();
    handler->parser = event_parser_new();
    if (handler->keys == NULL || handler->parser == NULL) {
        handler_free(handler);
        return NULL;
    }
    if (lasting)
        keys_lock(handler->keys);
    return handler;
}

void handler_free(struct handler *handler) {
    if (handler == NULL)
        return;
    for (size_t i = 0; i < HANDLER_BATCH; i++)
        free(handler->bodies[i]);
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
        handler->journal = journal_new(handler->config.journal);
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

void handler_take(struct handler *handler, struct request *request) {
    if (handler->count == 0)
        handler->ready = make_ready(handler, &handler->not_ready) == 0;
    size_t index = handler->count++;
    struct delivery *delivery = &handler->delivery[index];
    const struct head head = {.method = request_parameter(request, "REQUEST_METHOD"),
                              .content_length = request_parameter(request, "CONTENT_LENGTH"),
                              .signature = request_parameter(request, "HTTP_X_SIGNATURE")};
    delivery->request = request;
    delivery->unread = true;
    delivery->entry = (struct entry){.outcome = OUTCOME_TROUBLE};
    long length = intake_head(&handler->config, &head, &delivery->decision);
    if (!handler->ready) {
        trouble(delivery, &handler->not_ready);
        return;
    }
    if (length < 0)
        return;
    if (handler->bodies[index] == NULL)
        handler->bodies[index] = malloc(handler->config.max_body);
    delivery->body = handler->bodies[index];
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
        intake_body(&handler->config, handler->keys, handler->parser, &head, delivery->body, (size_t)length,
                    timestamp_now(), &delivery->decision);
}

/* The delivery's entry for the journal, or NULL where nothing is to be kept. */
static struct entry *entry_of(struct delivery *delivery) {
    const struct decision *decision = &delivery->decision;
    struct entry *entry = &delivery->entry;
    if (decision->verdict != VERDICT_USABLE && decision->verdict != VERDICT_REJECTED)
        return NULL;
    entry->body = delivery->body;
    entry->key = decision->key;
    entry->signature = decision->signature;
    entry->received_at = timestamp_now();
    entry->event = decision->verdict == VERDICT_USABLE ? &decision->event : NULL;
    entry->rejection = decision->cause.text;
    return entry;
}

static struct deadline deadline_of(const struct handler *handler) {
    int64_t earliest = request_accepted_at(handler->delivery[0].request);
    for (size_t i = 1; i < handler->count; i++)
        if (request_accepted_at(handler->delivery[i].request) < earliest)
            earliest = request_accepted_at(handler->delivery[i].request);
    int64_t at = earliest + ANSWER_WITHIN, least = monotonic_now() + LEAST_WAIT;
    return (struct deadline){.at = at > least ? at : least, .hurry = handler->hurry};
}

static void keep(struct handler *handler, const struct deadline *deadline) {
    struct entry *entries[HANDLER_BATCH];
    size_t kept = 0;
    for (size_t i = 0; i < handler->count; i++) {
        struct entry *entry = entry_of(&handler->delivery[i]);
        if (entry != NULL)
            entries[kept++] = entry;
    }
    if (kept > 0)
        journal_append(handler->journal, entries, kept, deadline);
}

static int answer(const struct delivery *delivery) {
    char text[RESPONSE_SIZE];
    size_t length = response_write(&delivery->decision, delivery->entry.outcome, delivery->entry.seq, text);
    return request_answer(delivery->request, text, length);
}

static void write_log(const struct handler *handler, const struct delivery *delivery) {
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
                                    .batch = handler->count,
                                    .spent = monotonic_now() - request_accepted_at(delivery->request)});
}

static bool any_stored(const struct handler *handler) {
    for (size_t i = 0; i < handler->count; i++)
        if (handler->delivery[i].entry.outcome == OUTCOME_STORED)
            return true;
    return false;
}

static void answer_all(const struct handler *handler, const struct deadline *deadline,
                       void (*done)(void *context, int file, bool unread), void *context) {
    for (size_t i = 0; i < handler->count; i++) {
        const struct delivery *delivery = &handler->delivery[i];
        int file = answer(delivery);
        if (file >= 0)
            done(context, file, delivery->unread);
        else if (delivery->unread)
            request_discard(delivery->request, deadline->at);
        write_log(handler, delivery);
    }
}

void handler_finish(struct handler *handler, void (*done)(void *context, int file, bool unread),
                    void *context) {
    struct reason reason;
    struct deadline deadline = deadline_of(handler);
    if (handler->ready && on_event_prepare(&handler->config, &deadline, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    keep(handler, &deadline);
    answer_all(handler, &deadline, done, context);
    if (handler->ready && any_stored(handler) && on_event_start(&handler->config, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    if (handler->ready && journal_upkeep(handler->journal, &deadline, &reason) != 0)
        log_warning(handler->config.log, reason.text);
    handler->count = 0;
}
