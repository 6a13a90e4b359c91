/* A connection to the PostgreSQL database of the merged stream. Nothing here waits except database_query()
 * and database_wait(); the others do what can be done now, for a caller that has other things to poll. The
 * only module that knows libpq (https://www.postgresql.org/docs/current/libpq.html). */
#ifndef DOORPOST_DATABASE_H
#define DOORPOST_DATABASE_H

#include "column.h"
#include "error.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum database_use {
    DATABASE_READ,  /* any server; a statement may take minutes */
    DATABASE_WRITE, /* a server that can be written to; a statement ends within seconds */
};

struct database;

/* Returns true if `where` looks like a URL (postgresql://...) or has the form key=value, rather than anything
 * else that an option may take. */
bool database_is_location(const char *where);

/* Checks the location of a database. Returns 0; ERROR_SYSTEM if libpq cannot be loaded; or ERROR_INVALID;
 * with a reason: a password in it, which other users could see, or a malformed one. */
int database_check(const char *where, struct reason *reason);

/* Prepares a connection to `where`: a URL or key=value pairs, as libpq has them, with services, password
 * files and several hosts. `name` is for the server's list of connections. With `follow`, it listens for new
 * events. Returns NULL with a reason: a password in `where`, which other users could see; a malformed one;
 * out of memory; or this program was built without PostgreSQL. Free with database_free(). */
struct database *database_new(const char *where, enum database_use use, const char *name, bool follow,
                              struct reason *reason);
void database_free(struct database *database);

enum database_state {
    DATABASE_BUSY = 0, /* connecting, or waiting for an answer: wait for database_watch() */
    DATABASE_READY = 1 /* the answer is there, or nothing was asked since connecting */
};

/* Goes on, connecting first if there is no connection. Returns a state; ERROR_INVALID if the server refused
 * the statement, and has not done it (database_sqlstate() says why); or ERROR_SYSTEM if there is no
 * connection: whether a statement that was sent has been done is then unknown. Both with a reason that says
 * what to do. A caller that tries again after an error leaves some time in between. */
int database_advance(struct database *database, struct reason *reason);

/* Returns true if connected. The number of connections so far: a caller that keeps state in the session
 * compares it. */
bool database_is_connected(const struct database *database);
unsigned database_connections(const struct database *database);

/* Sends a statement with parameters $1 to $count. The state must be DATABASE_READY. Returns 0 or an error, as
 * database_advance(). */
int database_ask(struct database *database, const char *sql, struct column *parameters, size_t count,
                 struct reason *reason);

/* Fills in the descriptor to poll. Returns 1, or 0 if there is none. */
size_t database_watch(const struct database *database, struct pollfd *watched);

/* Microseconds until database_advance() must be called although nothing has happened; -1: no limit. */
int64_t database_wait_limit(const struct database *database);

/* Gives up the connection. */
void database_disconnect(struct database *database);

/* Returns true if new events may have been stored since the last call. Only with `follow`, and only while the
 * server supports it (a standby does not): check from time to time anyway. */
bool database_notified(struct database *database);

/* The warning of the last statement, or NULL. A commit whose wait for a standby was cancelled succeeds with a
 * warning. */
const char *database_warning(const struct database *database);

/* The five characters of the last refusal (https://www.postgresql.org/docs/current/errcodes-appendix.html).
 */
const char *database_sqlstate(const struct database *database);

/* ---- the answer, valid until the next statement ---- */

size_t database_rows(const struct database *database);
bool database_is_null(const struct database *database, size_t row, size_t column);
/* A bigint, integer or boolean. */
int64_t database_number(const struct database *database, size_t row, size_t column);
/* Text or bytea; ends with a NUL. `length` may be NULL. */
const char *database_bytes(const struct database *database, size_t row, size_t column, size_t *length);
/* Rows changed by the statement. */
uint64_t database_affected(const struct database *database);

/* ---- for callers that have nothing else to do ---- */

/* Waits until the state is DATABASE_READY. Returns 0 or an error. Signals do not end it. */
int database_wait(struct database *database, struct reason *reason);

/* Connects if necessary, sends the statement and waits for the answer. Returns 0 or an error. */
int database_query(struct database *database, const char *sql, struct column *parameters, size_t count,
                   struct reason *reason);

#endif
