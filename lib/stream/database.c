/* libpq tries the hosts of a list itself, but without a limit of time for each if it must not block: a host
 * that accepts connections and never answers, as a stopped process does, would hold up the others. So hosts
 * are tried here one by one. */
#include "database.h"

#include "schema.h"
#include "timestamp.h"

#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_WITHIN (5 * SECOND)  /* for each host */
#define WRITTEN_WITHIN (10 * SECOND) /* a statement; the server gives up earlier, see set_up_write[] */
#define READ_WITHIN (600 * SECOND)   /* counting a large table takes minutes */
#define LOST "the connection to the database was lost"
#define LIBRARY "libpq.so.5"
#define LISTS_SIZE 1024
#define MOST_PARAMETERS 16
#define WARNING_SIZE 256

/* libpq is loaded when a connection is first needed. Linked, it would bring twenty libraries into every run
 * of the tool, also into the `doorpost exec` that is started after a press, and triple the time it takes to
 * start. */
#define FUNCTIONS(row)                                                                                 \
    row(clear) row(cmdTuples) row(connectPoll) row(connectStartParams) row(conninfo) row(conninfoFree) \
        row(conninfoParse) row(consumeInput) row(errorMessage) row(finish) row(flush) row(freemem)     \
            row(getResult) row(getisnull) row(getlength) row(getvalue) row(isBusy) row(notifies)       \
                row(ntuples) row(resultErrorField) row(resultErrorMessage) row(resultStatus)           \
                    row(sendQueryParams) row(setNoticeReceiver) row(setnonblocking) row(socket) row(status)
/* NOLINTNEXTLINE(bugprone-macro-parentheses): the name of a member */
#define MEMBER(name) __typeof__(PQ##name) *name;
static struct { FUNCTIONS(MEMBER) } pq;

static int load_libpq(struct reason *reason) {
    static bool loaded;
    if (loaded)
        return 0;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return FAIL(reason, ERROR_SYSTEM, "cannot load %s: install the package libpq5", dlerror());
#define FIND(name)                                                              \
    if ((pq.name = (__typeof__(PQ##name) *)dlsym(library, "PQ" #name)) == NULL) \
        return FAIL(reason, ERROR_SYSTEM, LIBRARY " is too old: it has no PQ" #name);
    FUNCTIONS(FIND)
    loaded = true;
    return 0;
}

enum step { CLOSED, CONNECTING, SETTING_UP, LISTENING, ASKED, IDLE };

struct database {
    char *where, *name;
    enum database_use use;
    bool follow;
    PGconn *connection;
    PGresult *answer;
    enum step step;
    PostgresPollingStatusType wants;
    bool flushing, notified;
    int64_t deadline; /* monotonic_now()'s clock */
    unsigned connections;
    char sqlstate[6], warning[WARNING_SIZE];
    struct reason refusal; /* of the statement whose answer is being read; "": none */
    /* The hosts, as comma-separated lists, if there are several; found at the first attempt. */
    int hosts, host, tried;
    char host_list[LISTS_SIZE], address_list[LISTS_SIZE], port_list[LISTS_SIZE];
};

/* Session settings, and the version of the schema. For statements that write: the server ends one that waits
 * too long for a lock or a standby, also if it no longer has a client, and the warning that a commit did not
 * wait for the standbys is sent. A commit must be on disk before it counts. No statement is compiled (jit):
 * the planner finds plans expensive that take_turns() forces it to make, and would compile each for 0.1 s. */
static const char set_up_read[] =
    "SELECT max(version), current_setting('server_encoding') FROM schema_version";
static const char set_up_write[] =
    "SELECT max(version), current_setting('server_encoding'), set_config('statement_timeout', '8s', false),"
    " set_config('lock_timeout', '5s', false), set_config('client_connection_check_interval', '1s', false),"
    " set_config('client_min_messages', 'warning', false), set_config('jit', 'off', false),"
    " set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),"
    " set_config('tcp_keepalives_count', '3', false), set_config('synchronous_commit',"
    " CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, false) FROM schema_version";

/* ---- where ---- */

bool database_is_location(const char *where) {
    return strncmp(where, "postgresql://", 13) == 0 || strncmp(where, "postgres://", 11) == 0 ||
           strchr(where, '=') != NULL;
}

static const char *option_value(const PQconninfoOption *options, const char *keyword) {
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val != NULL ? options->val : "";
    return "";
}

/* libpq's messages end with a line break, and may have several lines. */
static void copy_message(const char *message, char *out, size_t size) {
    size_t used = 0;
    for (; *message != '\0' && used + 1 < size; message++)
        if (*message != '\n' && *message != '\t')
            out[used++] = *message;
        else if (message[1] != '\0' && used > 0 && out[used - 1] != ' ')
            out[used++] = ' ';
    out[used] = '\0';
}

int database_check(const char *where, struct reason *reason) {
    char *error = NULL, text[200];
    if (!database_is_location(where))
        return FAIL(reason, ERROR_INVALID,
                    "\"%.100s\" is not a database: use postgresql:///NAME, postgresql://HOST/NAME or "
                    "\"service=NAME\"",
                    where);
    if (load_libpq(reason) != 0)
        return ERROR_SYSTEM;
    PQconninfoOption *options = pq.conninfoParse(where, &error);
    if (options == NULL) {
        copy_message(error != NULL ? error : "out of memory", text, sizeof text);
        pq.freemem(error);
        return FAIL(reason, ERROR_INVALID, "malformed database location: %s", text);
    }
    bool secret =
        option_value(options, "password")[0] != '\0' || option_value(options, "sslpassword")[0] != '\0';
    pq.conninfoFree(options);
    if (secret)
        return FAIL(reason, ERROR_INVALID,
                    "other users can see a password on the command line: put it into ~/.pgpass (mode 0600), "
                    "or into a file named by PGPASSFILE, or use a service file");
    return 0;
}

static void note_warning(void *context, const PGresult *notice) {
    struct database *database = context;
    const char *severity = pq.resultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = pq.resultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        copy_message(message != NULL ? message : "a warning without text", database->warning, WARNING_SIZE);
}

struct database *database_new(const char *where, enum database_use use, const char *name, bool follow,
                              struct reason *reason) {
    if (database_check(where, reason) != 0)
        return NULL;
    struct database *database = calloc(1, sizeof *database);
    if (database == NULL || (database->where = strdup(where)) == NULL ||
        (database->name = strdup(name)) == NULL) {
        explain(reason, "out of memory");
        database_free(database);
        return NULL;
    }
    database->use = use;
    database->follow = follow;
    return database;
}

void database_free(struct database *database) {
    if (database == NULL)
        return;
    database_disconnect(database);
    pq.clear(database->answer);
    free(database->where);
    free(database->name);
    free(database);
}

void database_disconnect(struct database *database) {
    pq.finish(database->connection);
    database->connection = NULL;
    database->step = CLOSED;
}

/* ---- connecting ---- */

/* Copies the element of a comma-separated list; of a list of one, that one. */
static void pick(const char *list, int index, char out[LISTS_SIZE]) {
    for (const char *comma; index > 0 && (comma = strchr(list, ',')) != NULL; index--)
        list = comma + 1;
    snprintf(out, LISTS_SIZE, "%.*s", (int)strcspn(list, ","), list);
}

static int count_elements(const char *list) {
    int count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

static PGconn *start_connection(const struct database *database, bool one_host) {
    char host[LISTS_SIZE], address[LISTS_SIZE], port[LISTS_SIZE];
    const char *keywords[12], *values[12];
    size_t count = 0;
    bool writes = database->use == DATABASE_WRITE;
#define SET(keyword, value) (keywords[count] = (keyword), values[count++] = (value))
    SET("target_session_attrs", writes ? "read-write" : "any"); /* the location may say something else */
    SET("tcp_user_timeout", "10000");
    SET("keepalives_idle", "10");
    SET("dbname", database->where);
    SET("fallback_application_name", database->name);
    SET("client_encoding", "UTF8");
    if (one_host) {
        pick(database->host_list, database->host, host);
        pick(database->address_list, database->host, address);
        pick(database->port_list, database->host, port);
        SET("host", host);
        SET("hostaddr", address);
        SET("port", port);
    }
#undef SET
    keywords[count] = values[count] = NULL;
    return pq.connectStartParams(keywords, values, 1);
}

/* Learns the hosts: they may come from the location, a service or the environment. */
static bool find_hosts(struct database *database) {
    PQconninfoOption *options = pq.conninfo(database->connection);
    if (options == NULL)
        return false;
    const char *host = option_value(options, "host"), *address = option_value(options, "hostaddr");
    database->hosts = count_elements(address[0] != '\0' ? address : host);
    snprintf(database->host_list, LISTS_SIZE, "%s", host);
    snprintf(database->address_list, LISTS_SIZE, "%s", address);
    snprintf(database->port_list, LISTS_SIZE, "%s", option_value(options, "port"));
    pq.conninfoFree(options);
    return true;
}

static int connect_to_host(struct database *database, struct reason *reason) {
    database_disconnect(database);
    database->connection = start_connection(database, database->hosts > 1);
    if (database->connection != NULL && database->hosts == 0 && find_hosts(database) && database->hosts > 1)
        return connect_to_host(database, reason);
    if (database->connection == NULL || database->hosts == 0)
        return FAIL(reason, ERROR_SYSTEM, "out of memory");
    pq.setNoticeReceiver(database->connection, note_warning, database);
    database->step = CONNECTING;
    database->wants = PGRES_POLLING_WRITING;
    database->deadline = monotonic_now() + CONNECT_WITHIN;
    return pq.status(database->connection) != CONNECTION_BAD ? DATABASE_BUSY : ERROR_SYSTEM;
}

/* Ends with an error that concerns the connection. */
static int lose(struct database *database, const char *what, struct reason *reason) {
    char message[256] = "";
    if (database->connection != NULL)
        copy_message(pq.errorMessage(database->connection), message, sizeof message);
    explain(reason, "%s%s%s", what, message[0] != '\0' ? ": " : "", message);
    database_disconnect(database);
    return ERROR_SYSTEM;
}

/* Tries the other hosts; after the last one, ends with its error. */
static int try_next(struct database *database, const char *what, struct reason *reason) {
    for (;;) {
        int result = lose(database, what, reason);
        if (database->hosts > 1)
            database->host = (database->host + 1) % database->hosts;
        if (++database->tried >= database->hosts)
            return result;
        if (connect_to_host(database, reason) == DATABASE_BUSY)
            return DATABASE_BUSY;
        what = "cannot connect to the database";
    }
}

/* ---- asking ---- */

static void start_answer(struct database *database, enum step step) {
    database->step = step;
    database->flushing = true;
    database->refusal.text[0] = '\0';
    bool reads = database->use == DATABASE_READ && step == ASKED;
    database->deadline = monotonic_now() + (reads ? READ_WITHIN : WRITTEN_WITHIN);
}

static int send_plain(struct database *database, const char *sql, enum step step, struct reason *reason) {
    if (pq.sendQueryParams(database->connection, sql, 0, NULL, NULL, NULL, NULL, 1) == 0)
        return lose(database, "cannot send to the database", reason);
    start_answer(database, step);
    return DATABASE_BUSY;
}

int database_ask(struct database *database, const char *sql, struct column *parameters, size_t count,
                 struct reason *reason) {
    Oid types[MOST_PARAMETERS];
    const char *values[MOST_PARAMETERS];
    int lengths[MOST_PARAMETERS], formats[MOST_PARAMETERS];
    for (size_t i = 0; i < count; i++) {
        uint32_t type;
        if (!column_end(&parameters[i], &values[i], &lengths[i], &type))
            return FAIL(reason, ERROR_SYSTEM, "out of memory");
        types[i] = type;
        formats[i] = 1;
    }
    pq.clear(database->answer);
    database->answer = NULL;
    database->warning[0] = database->sqlstate[0] = '\0';
    if (pq.sendQueryParams(database->connection, sql, (int)count, types, values, lengths, formats, 1) == 0)
        return lose(database, "cannot send to the database", reason);
    start_answer(database, ASKED);
    return 0;
}

static const char *advice(const char *sqlstate) {
    static const struct {
        const char *class, *text;
    } table[] = {
        {"42501", ": grant the user doorpost_writer, doorpost_reader or doorpost_runner, for what it does"},
        {"42P01",
         ": the schema is missing: run `doorpost forward --schema | psql` as the owner of the database"},
        {"42883",
         ": the schema is incomplete: run `doorpost forward --schema | psql` as the owner of the database"},
        {"25006", ": it is a standby, or it is failing over"},
        {"53100", ": free disk space there"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].class, sqlstate) == 0)
            return table[i].text;
    return "";
}

/* Keeps why the server refused a statement. */
static void note_refusal(struct database *database, const PGresult *result) {
    char message[240];
    const char *state = pq.resultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = pq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    snprintf(database->sqlstate, sizeof database->sqlstate, "%s", state != NULL ? state : "");
    copy_message(text != NULL ? text : pq.resultErrorMessage(result), message, sizeof message);
    explain(&database->refusal, "the database refuses: %s%s", message, advice(database->sqlstate));
}

/* Reads what has arrived; an answer may come in pieces, and its end after a refusal. Returns a state or an
 * error. */
static int take_results(struct database *database, struct reason *reason) {
    PGconn *connection = database->connection;
    if (database->flushing) {
        int left = pq.flush(connection);
        if (left < 0)
            return lose(database, LOST, reason);
        database->flushing = left > 0;
    }
    if (pq.consumeInput(connection) == 0)
        return lose(database, LOST, reason);
    while (!pq.isBusy(connection)) {
        PGresult *result = pq.getResult(connection);
        ExecStatusType status = pq.resultStatus(result);
        bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
        if (result == NULL && database->refusal.text[0] != '\0')
            return FAIL(reason, ERROR_INVALID, "%s", database->refusal.text);
        if (result == NULL)
            return database->answer != NULL ? DATABASE_READY : lose(database, LOST, reason);
        if (good && database->answer == NULL) {
            database->answer = result;
            continue;
        }
        bool by_server = pq.resultErrorField(result, PG_DIAG_SQLSTATE) != NULL;
        if (!good)
            note_refusal(database, result);
        pq.clear(result);
        if ((!good && !by_server) || pq.status(connection) == CONNECTION_BAD)
            return lose(database, LOST, reason); /* libpq could not read on, or ran out of memory */
    }
    return DATABASE_BUSY;
}

static void take_notifications(struct database *database) {
    for (PGnotify *one; (one = pq.notifies(database->connection)) != NULL; pq.freemem(one))
        database->notified = true;
}

/* ---- going on ---- */

static int continue_connecting(struct database *database, struct reason *reason) {
    database->wants = pq.connectPoll(database->connection);
    if (database->wants == PGRES_POLLING_FAILED)
        return try_next(database, "cannot connect to the database", reason);
    if (database->wants != PGRES_POLLING_OK)
        return DATABASE_BUSY;
    pq.setnonblocking(database->connection, 1);
    pq.clear(database->answer);
    database->answer = NULL;
    database->connections++;
    database->notified = true; /* what was missed meanwhile */
    return send_plain(database, database->use == DATABASE_WRITE ? set_up_write : set_up_read, SETTING_UP,
                      reason);
}

/* Checks what the set-up has found. The connection stays unusable if it does not fit. */
static int check_set_up(struct database *database, struct reason *reason) {
    int64_t version = database_is_null(database, 0, 0) ? 0 : database_number(database, 0, 0);
    const char *encoding = database_bytes(database, 0, 1, NULL);
    if (version < SCHEMA_VERSION)
        explain(reason,
                "the schema of the database has version %d, and this doorpost needs %d: run "
                "`doorpost forward --schema | psql` as the owner of the database",
                (int)version, SCHEMA_VERSION);
    else if (strcmp(encoding, "UTF8") != 0)
        explain(reason, "the encoding of the database is %s: create one with ENCODING 'UTF8'", encoding);
    else if (!database->follow)
        return DATABASE_READY;
    else
        return send_plain(database, "LISTEN doorpost", LISTENING, reason);
    database_disconnect(database);
    return ERROR_SYSTEM;
}

static int continue_answer(struct database *database, struct reason *reason) {
    enum step step = database->step;
    int result = take_results(database, reason);
    if (result == DATABASE_BUSY || result == ERROR_SYSTEM)
        return result;
    if (step == LISTENING) { /* refused by a standby: the caller looks from time to time */
        database->step = IDLE;
        return DATABASE_READY;
    }
    if (step == ASKED) {
        database->step = IDLE;
        return result;
    }
    if (result != DATABASE_READY) {
        database_disconnect(database);
        return ERROR_SYSTEM;
    }
    result = check_set_up(database, reason);
    if (result == DATABASE_READY)
        database->step = IDLE;
    return result;
}

int database_advance(struct database *database, struct reason *reason) {
    int result = DATABASE_READY;
    enum step before;
    do {
        before = database->step;
        switch (before) {
        case CLOSED:
            database->tried = 0;
            result = connect_to_host(database, reason);
            if (result < 0)
                result = try_next(database, "cannot connect to the database", reason);
            break;
        case CONNECTING:
            result = continue_connecting(database, reason);
            break;
        case IDLE:
            result =
                pq.consumeInput(database->connection) != 0 ? DATABASE_READY : lose(database, LOST, reason);
            break;
        default:
            result = continue_answer(database, reason);
        }
    } while (result == DATABASE_BUSY && database->step != before);
    if (database->connection != NULL && database->step != CONNECTING)
        take_notifications(database);
    if (result != DATABASE_BUSY || monotonic_now() < database->deadline)
        return result;
    return database->step == CONNECTING ? try_next(database, "the database does not answer", reason)
                                        : lose(database, "the database does not answer", reason);
}

size_t database_watch(const struct database *database, struct pollfd *watched) {
    if (database->connection == NULL)
        return 0;
    bool writing =
        database->step == CONNECTING ? database->wants == PGRES_POLLING_WRITING : database->flushing;
    bool reading = database->step != CONNECTING || database->wants == PGRES_POLLING_READING;
    *watched = (struct pollfd){.fd = pq.socket(database->connection),
                               .events = (short)((reading ? POLLIN : 0) | (writing ? POLLOUT : 0))};
    return watched->fd >= 0 ? 1 : 0;
}

int64_t database_wait_limit(const struct database *database) {
    if (database->step == CLOSED || database->step == IDLE)
        return -1;
    int64_t left = database->deadline - monotonic_now();
    return left > 0 ? left : 0;
}

bool database_is_connected(const struct database *database) {
    return database->step == ASKED || database->step == IDLE;
}

unsigned database_connections(const struct database *database) {
    return database->connections;
}

bool database_notified(struct database *database) {
    bool notified = database->notified;
    database->notified = false;
    return notified;
}

const char *database_warning(const struct database *database) {
    return database->warning[0] != '\0' ? database->warning : NULL;
}

const char *database_sqlstate(const struct database *database) {
    return database->sqlstate;
}

/* ---- the answer ---- */

size_t database_rows(const struct database *database) {
    return (size_t)pq.ntuples(database->answer);
}

bool database_is_null(const struct database *database, size_t row, size_t column) {
    return pq.getisnull(database->answer, (int)row, (int)column) != 0;
}

const char *database_bytes(const struct database *database, size_t row, size_t column, size_t *length) {
    if (length != NULL)
        *length = (size_t)pq.getlength(database->answer, (int)row, (int)column);
    return pq.getvalue(database->answer, (int)row, (int)column);
}

int64_t database_number(const struct database *database, size_t row, size_t column) {
    size_t length;
    const char *bytes = database_bytes(database, row, column, &length);
    int64_t number = length > 0 && (bytes[0] & 0x80) != 0 ? -1 : 0;
    for (size_t i = 0; i < length && length <= sizeof number; i++)
        number = (int64_t)((uint64_t)number << 8 | (unsigned char)bytes[i]);
    return number;
}

uint64_t database_affected(const struct database *database) {
    return strtoull(pq.cmdTuples(database->answer), NULL, 10);
}

/* ---- waiting ---- */

int database_wait(struct database *database, struct reason *reason) {
    int result;
    while ((result = database_advance(database, reason)) == DATABASE_BUSY) {
        struct pollfd watched;
        size_t count = database_watch(database, &watched);
        int64_t left = database_wait_limit(database);
        (void)poll(&watched, count, left < 0 ? -1 : (int)(left / 1000 + 1));
    }
    return result == DATABASE_READY ? 0 : result;
}

int database_query(struct database *database, const char *sql, struct column *parameters, size_t count,
                   struct reason *reason) {
    int result = database_wait(database, reason);
    if (result == 0)
        result = database_ask(database, sql, parameters, count, reason);
    return result == 0 ? database_wait(database, reason) : result;
}
