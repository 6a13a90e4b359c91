/* Reads the events of the merged stream in the order of their numbers, a page at a time: memory stays the
 * same, and each statement is short, so that a reader may take its time, also on a standby. Functions wait
 * for the database. They return 0 or 1 as described, or an error of database.h with a reason. */
#ifndef DOORPOST_EVENTS_H
#define DOORPOST_EVENTS_H

#include "database.h"

/* A row of the table `events`, valid until the next statement. Texts end with a NUL, and are "" if absent. */
struct stored {
    int64_t number; /* in the stream, from 1 */
    const char *node;
    int64_t seq;         /* in that node's journal */
    int64_t received_at; /* microseconds since 1970 */
    int64_t pressed_at;  /* milliseconds since 1970, or 0 */
    const char *type, *sub_type, *device, *account, *request_id, *event_id;
    const char *key, *signature;
    bool verbatim;
    const char *body; /* Ring's */
    size_t length;
};

/* For statements of one's own: SELECT STORED_COLUMNS FROM events ..., then stored_read() for each row. */
#define STORED_COLUMNS                                                                                    \
    "number, node, seq, received_at, pressed_at, type, sub_type, device, account, request_id, event_id, " \
    "key, signature, verbatim, body"
void stored_read(const struct database *database, size_t row, struct stored *stored);

/* Which events to read. An empty list matches every event; in a list, "" is an absent device or account. */
struct selection {
    const char *const *devices, *const *accounts, *const *types;
    size_t device_count, account_count, type_count;
    int64_t since, until; /* by the time of receipt, microseconds; INT64_MIN, INT64_MAX: no limit */
};

struct events;

/* Prepares to read from `where`, as database_new(). What `selection` points to must remain. Returns NULL with
 * a reason. Free with events_free(). */
struct events *events_new(const char *where, bool follow, const struct selection *selection,
                          struct reason *reason);
void events_free(struct events *events);

/* Finds the newest event, up to which the others read: needed first, and for newer ones. After an error there
 * is nothing to read until it has succeeded again: the next server to answer may be one that is behind. */
int events_refresh(struct events *events, struct reason *reason);

/* The number of the last event to read, or 0. */
int64_t events_last(const struct events *events);

/* Finds the number of the first event that was received in the selected time, or the one after the last. If
 * not following, reading will end with the last such event. */
int events_range(struct events *events, int64_t *first, struct reason *reason);

/* Finds the number of the `count`th selected event from the end, or of the earliest if there are fewer;
 * without any, the number after the last. */
int events_from_end(struct events *events, uint64_t count, int64_t *number, struct reason *reason);

/* Continues with this number. */
void events_start(struct events *events, int64_t first);

/* Reads the next selected event. Returns 1, 0 after the last, or an error. */
int events_next(struct events *events, struct stored *stored, struct reason *reason);

/* Finds when the first and the last event were received; 0 if there are none. */
int events_times(struct events *events, int64_t *first, int64_t *last, struct reason *reason);

/* Finds the size of the table and its indexes in bytes. */
int events_size(struct events *events, uint64_t *bytes, struct reason *reason);

/* Returns 0 as soon as there may be new events, or after so many microseconds. Reports that the connection
 * was lost, without waiting. */
int events_wait(struct events *events, int64_t microseconds, struct reason *reason);

#endif
