/* Lines of a journal on their way into the table `events`: the parameters of one call of store_events(). */
#ifndef DOORPOST_ROWS_H
#define DOORPOST_ROWS_H

#include "column.h"
#include "database.h"
#include "event.h"
#include "record.h"

#define ROWS_MAX 1000
#define ROWS_COLUMNS 14 /* the parameters of store_events() before `stored` */

/* Initialise with zeros; the columns are private to rows.c. */
struct rows {
    size_t count;
    struct column column[ROWS_COLUMNS];
};

/* Empties the batch of a node, and keeps its memory. */
void rows_start(struct rows *rows, const char *node);
void rows_free(struct rows *rows);

/* Returns true if there is no room for another line. */
bool rows_are_full(const struct rows *rows);

/* Adds a line and its parsed event. Returns false if out of memory: the batch must not be sent. */
bool rows_add(struct rows *rows, const struct record *record, const struct event *event);

/* Sends the batch; as database_ask(). After that rows_stored() is the number of events that were new. */
int rows_send(struct rows *rows, struct database *database, struct reason *reason);
uint64_t rows_stored(const struct database *database);

#endif
