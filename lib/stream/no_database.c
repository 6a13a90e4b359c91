/* In place of database.c in a tool that is built without PostgreSQL (make POSTGRESQL=no). There is never a
 * connection, so only the first functions are called. */
#include "database.h"

#include <string.h>

#define UNUSED __attribute__((unused))

bool database_is_location(const char *where) {
    return strchr(where, '=') != NULL || strstr(where, "://") != NULL;
}

int database_check(UNUSED const char *where, UNUSED struct reason *reason) {
    return 0;
}

struct database *database_new(UNUSED const char *where, UNUSED enum database_use use, UNUSED const char *name,
                              UNUSED bool follow, struct reason *reason) {
    explain(reason,
            "this doorpost was built without PostgreSQL: use the Debian package, or build it where libpq-dev "
            "is installed");
    return NULL;
}

void database_free(UNUSED struct database *database) {
}

int database_advance(UNUSED struct database *database, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "not connected");
}

bool database_is_connected(UNUSED const struct database *database) {
    return false;
}

unsigned database_connections(UNUSED const struct database *database) {
    return 0;
}

int database_ask(UNUSED struct database *database, UNUSED const char *sql, UNUSED struct column *parameters,
                 UNUSED size_t count, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "not connected");
}

size_t database_watch(UNUSED const struct database *database, UNUSED struct pollfd *watched) {
    return 0;
}

int64_t database_wait_limit(UNUSED const struct database *database) {
    return -1;
}

void database_disconnect(UNUSED struct database *database) {
}

bool database_notified(UNUSED struct database *database) {
    return false;
}

const char *database_warning(UNUSED const struct database *database) {
    return NULL;
}

const char *database_sqlstate(UNUSED const struct database *database) {
    return "";
}

size_t database_rows(UNUSED const struct database *database) {
    return 0;
}

bool database_is_null(UNUSED const struct database *database, UNUSED size_t row, UNUSED size_t column) {
    return true;
}

int64_t database_number(UNUSED const struct database *database, UNUSED size_t row, UNUSED size_t column) {
    return 0;
}

const char *database_bytes(UNUSED const struct database *database, UNUSED size_t row, UNUSED size_t column,
                           size_t *length) {
    if (length != NULL)
        *length = 0;
    return "";
}

uint64_t database_affected(UNUSED const struct database *database) {
    return 0;
}

int database_wait(UNUSED struct database *database, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "not connected");
}

int database_query(UNUSED struct database *database, UNUSED const char *sql, UNUSED struct column *parameters,
                   UNUSED size_t count, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "not connected");
}
