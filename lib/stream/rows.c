#include "rows.h"

#include "timestamp.h"

#define BYTES_MAX (512 * 1024) /* of bodies; each batch is held twice, here and by libpq */
#define BODY (ROWS_COLUMNS - 1)

/* The parameters of store_events(), in order. */
static const enum column_type types[ROWS_COLUMNS] = {
    COLUMN_TEXT,                                 /* node */
    COLUMN_NUMBER, COLUMN_NUMBER, COLUMN_NUMBER, /* seq, received, pressed */
    COLUMN_TEXT,   COLUMN_TEXT,   COLUMN_TEXT,   COLUMN_TEXT,
    COLUMN_TEXT,   COLUMN_TEXT,                                 /* fields of the event */
    COLUMN_TEXT,   COLUMN_TEXT,   COLUMN_NUMBER, COLUMN_BYTES}; /* key to body */

void rows_start(struct rows *rows, const char *node) {
    rows->count = 0;
    for (size_t i = 0; i < ROWS_COLUMNS; i++)
        column_start(&rows->column[i], types[i], i > 0);
    column_add_text(&rows->column[0], node);
}

void rows_free(struct rows *rows) {
    for (size_t i = 0; i < ROWS_COLUMNS; i++)
        column_free(&rows->column[i]);
}

bool rows_are_full(const struct rows *rows) {
    return rows->count >= ROWS_MAX || rows->column[BODY].length >= BYTES_MAX;
}

bool rows_add(struct rows *rows, const struct record *record, const struct event *event) {
    struct column *next = &rows->column[1];
    int64_t received = 0;
    (void)timestamp_parse(record->received_at, TIMESTAMP_SIZE - 1,
                          &received); /* record_parse() checked its form */
    bool dated = event->timestamp > 0 && event->timestamp < TIMESTAMP_END;
    column_add_number(next++, (int64_t)record->seq);
    column_add_number(next++, received);
    column_add_number(next++, dated ? event->timestamp : 0);
    const char *const fields[] = {event->type,    event->sub_type,   event->device,
                                  event->account, event->request_id, event->id};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        column_add_text(next++, fields[i]);
    column_add(next++, record->key, FINGERPRINT_SIZE - 1);
    column_add(next++, record->signature, SIGNATURE_TEXT_SIZE - 1);
    column_add_number(next++, record->verbatim);
    column_add(next, record->event, record->event_length);
    rows->count++;
    bool good = true;
    for (size_t i = 0; i < ROWS_COLUMNS; i++)
        good &= !column_has_failed(&rows->column[i]);
    return good;
}

int rows_send(struct rows *rows, struct database *database, struct reason *reason) {
    return database_ask(database, "CALL store_events($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)",
                        rows->column, ROWS_COLUMNS, reason);
}

uint64_t rows_stored(const struct database *database) {
    return (uint64_t)database_number(database, 0, 0);
}
