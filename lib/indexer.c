/* A line that is no longer a valid event is damaged: it has no identifiers and is skipped. */
#include "indexer.h"

#include "timestamp.h"

#include <string.h>

#define CHECK_INTERVAL 256 /* lines between deadline checks */
#define DEADLINE_MARGIN (SECOND / 2)

void indexer_start(struct indexer *indexer, struct event_parser *parser) {
    indexer->parser = parser;
    indexer->highest = 0;
}

struct identity indexer_identify(const struct index *index, const struct event *event) {
    return (struct identity){
        .request = index_fingerprint(index, IDENTIFIER_REQUEST, event->request_id, strlen(event->request_id)),
        .event = index_fingerprint(index, IDENTIFIER_EVENT, event->id, strlen(event->id))};
}

int indexer_put(struct index *index, const struct event *event, struct position position,
                int (*insert)(struct index *index, uint64_t fingerprint, struct position position,
                              struct reason *reason),
                struct reason *reason) {
    struct identity identity = indexer_identify(index, event);
    int result = insert(index, identity.request, position, reason);
    return result != 0 ? result : insert(index, identity.event, position, reason);
}

static int index_record(struct indexer *indexer, struct index *index, const struct record *record,
                        struct position position, struct reason *reason) {
    int result = event_parse(indexer->parser, record->event, record->event_length, &indexer->event, reason);
    if (result != 0)
        return result == ERROR_INVALID ? 0 : result;
    return indexer_put(index, &indexer->event, position, index_insert_once, reason);
}

static int check_deadline(unsigned lines, const struct deadline *deadline, struct reason *reason) {
    if (lines % CHECK_INTERVAL != 0 || monotonic_now() <= deadline->at - DEADLINE_MARGIN)
        return 0;
    return FAIL(reason, ERROR_TIMEOUT, "the index is catching up with the journal: please wait");
}

int indexer_run(struct indexer *indexer, struct index *index, int directory, struct mark *mark, int32_t last,
                bool locked, const struct deadline *deadline, struct reason *reason) {
    struct walk *walk = &indexer->walk;
    struct record record;
    struct position position;
    enum scan scan;
    bool chain_known = false; /* the chain state is known, so it verifies the next line */
    int result;
    indexer->highest = 0;
    walk_start(walk, directory, mark->position, (struct chain_state){.known = false});
    walk_until(walk, last);
    if (locked)
        walk_close(walk);
    for (unsigned lines = 1; (result = walk_next(walk, &scan, &record, &position, reason)) > 0; lines++) {
        result = scan == SCAN_DAMAGED ? 0 : index_record(indexer, index, &record, position, reason);
        if (result != 0)
            break;
        if (scan == SCAN_RECORD && chain_known && record.seq > indexer->highest)
            indexer->highest = record.seq;
        chain_known = walk_chain(walk).known;
        if (scan != SCAN_DAMAGED)
            *mark = mark_of(&record, walk_position(walk));
        result = check_deadline(lines, deadline, reason);
        if (result != 0)
            break;
    }
    walk_end(walk);
    return result;
}

uint64_t indexer_highest(const struct indexer *indexer) {
    return indexer->highest;
}

static bool equals(struct span span, const char *text) {
    return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

/* Returns 1 if the record holds that event, else 0, or ERROR_SYSTEM. The quick check can only rule it out,
 * because a damaged line may pass it. */
static int matches(struct indexer *indexer, const struct record *record, const struct event *event,
                   struct reason *reason) {
    struct span request, id;
    if (event_identifiers(record->event, record->event_length, &request, &id) &&
        !equals(request, event->request_id) && !equals(id, event->id))
        return 0;
    int result = event_parse(indexer->parser, record->event, record->event_length, &indexer->event, reason);
    if (result != 0)
        return result == ERROR_INVALID ? 0 : result;
    return strcmp(indexer->event.request_id, event->request_id) == 0 ||
           strcmp(indexer->event.id, event->id) == 0;
}

int indexer_search(struct indexer *indexer, int directory, const struct event *event,
                   struct position *position, const struct deadline *deadline, struct reason *reason) {
    struct walk *walk = &indexer->walk;
    struct record record;
    enum scan scan;
    int result;
    walk_start(walk, directory, (struct position){.day = position->day},
               (struct chain_state){.known = false});
    walk_close(walk);
    for (unsigned lines = 1; (result = walk_next(walk, &scan, &record, position, reason)) > 0; lines++) {
        result = scan == SCAN_DAMAGED ? 0 : matches(indexer, &record, event, reason);
        if (result != 0)
            break;
        result = check_deadline(lines, deadline, reason);
        if (result != 0)
            break;
    }
    walk_end(walk);
    return result;
}
