/* A line that the index holds already (a killed writer came that far) is not put in twice. */
#include "indexer.h"

#include "timestamp.h"

#include <stdlib.h>
#include <string.h>

#define STEP 256 /* lines between two looks at the clock */
#define SPARE (SECOND / 2)

struct indexer {
    struct event_parser *parser;
    struct event event;
    struct walk walk;
};

struct indexer *indexer_new(void) {
    struct indexer *indexer = calloc(1, sizeof *indexer);
    if (indexer == NULL)
        return NULL;
    indexer->parser = event_parser_new();
    if (indexer->parser == NULL) {
        free(indexer);
        return NULL;
    }
    return indexer;
}

void indexer_free(struct indexer *indexer) {
    if (indexer != NULL)
        event_parser_free(indexer->parser);
    free(indexer);
}

static int insert_once(struct seen *seen, uint64_t fingerprint, struct place place, struct reason *reason) {
    int found = seen_holds(seen, fingerprint, place, reason);
    return found != 0 ? (found < 0 ? found : 0) : seen_insert(seen, fingerprint, place, reason);
}

/* Indexes a line that was read. What cannot be read as an event any more is damage, and has no identifiers.
 */
static int index_record(struct indexer *indexer, struct seen *seen, const struct record *record,
                        struct place place, struct reason *reason) {
    struct event *event = &indexer->event;
    int result = event_parse(indexer->parser, record->event, record->event_length, event, reason);
    if (result != 0)
        return result == ERROR_INVALID ? 0 : result;
    result = insert_once(
        seen, seen_fingerprint(seen, IDENTIFIER_REQUEST, event->request_id, strlen(event->request_id)), place,
        reason);
    return result != 0
               ? result
               : insert_once(seen, seen_fingerprint(seen, IDENTIFIER_EVENT, event->id, strlen(event->id)),
                             place, reason);
}

int indexer_run(struct indexer *indexer, struct seen *seen, int directory, struct place *place, int32_t last,
                const struct deadline *deadline, struct reason *reason) {
    struct walk *walk = &indexer->walk;
    struct record record;
    struct place line;
    enum scan scan;
    int result;
    walk_start(walk, directory, *place, (struct link){.known = false});
    walk_until(walk, last);
    for (unsigned lines = 1; (result = walk_next(walk, &scan, &record, &line, reason)) > 0; lines++) {
        result = scan == SCAN_DAMAGED ? 0 : index_record(indexer, seen, &record, line, reason);
        if (result != 0)
            break;
        *place = walk_place(walk);
        if (lines % STEP == 0 && monotonic_now() > deadline->at - SPARE) {
            result =
                fail(reason, ERROR_TIMEOUT, "the index is being made anew from the journal: please wait");
            break;
        }
    }
    if (result == 0)
        *place = walk_place(walk);
    walk_end(walk);
    return result;
}
