/* A connection to a database without one: which locations are refused, and hosts of which none answers, each
 * in its own way. The clock is put forward instead of waiting. */
#include "support.h"

#include "database.h"
#include "timestamp.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HOST_WITHIN (5 * SECOND)

static int64_t forward; /* by so much the clock was put forward, in microseconds */
static int silent = -1; /* a server that accepts connections and never answers */
static unsigned silent_port, closed_port;
static struct database *database;
static struct reason reason;

int clock_gettime(clockid_t clock, struct timespec *out) {
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec += forward / SECOND;
    return result;
}

static int bind_any(unsigned *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
                getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int closed = -1; /* bound, so that no other program takes the port, but not listening */

static int set_up(void **state) {
    (void)state;
    silent = bind_any(&silent_port);
    closed = bind_any(&closed_port);
    database = NULL;
    return listen(silent, 64);
}

static int tear_down(void **state) {
    (void)state;
    database_free(database);
    close(silent);
    close(closed);
    return 0;
}

static void check_refused(const char *where, const char *why) {
    reason.text[0] = '\0';
    assert_int_equal(database_check(where, &reason), ERROR_INVALID);
    assert_non_null(strstr(reason.text, why));
    assert_null(strstr(reason.text, "secret"));
    assert_null(database_new(where, DATABASE_WRITE, "test", false, &reason));
    assert_non_null(strstr(reason.text, why));
}

static void locations_are_checked(void **state) {
    (void)state;
    static const char *const good[] = {
        "postgresql:///doorpost",
        "postgres://host",
        "postgresql://user@a:5432,b:5433/doorpost?target_session_attrs=read-write",
        "service=doorpost",
        "host=/run/postgresql dbname=doorpost",
        "host=a user=password"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(database_is_location(good[i]));
        assert_int_equal(database_check(good[i], &reason), 0);
    }
    check_refused("postgresql://user:secret@host/doorpost", "PGPASSFILE");
    check_refused("postgresql://host/doorpost?password=secret", "PGPASSFILE");
    check_refused("postgresql:///doorpost?sslpassword=secret", "PGPASSFILE");
    check_refused("host=a password=secret", "PGPASSFILE");
    check_refused("host=a sslpassword='secret'", "PGPASSFILE");
    check_refused("postgresql://[::1/doorpost", "malformed");
    check_refused("postgresql://host/doorpost?colour=red", "malformed");
    check_refused("host=a colour=red", "malformed");
    check_refused("host='a", "malformed");
    static const char *const other[] = {"", "start", "1042", "doorpost", "/var/lib/doorpost", "http://host/"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_false(database_is_location(other[i]));
        check_refused(other[i], "is not a database");
    }
}

static void open_database(const char *format, unsigned one, unsigned other) {
    char where[256];
    snprintf(where, sizeof where, format, one, other);
    database = database_new(where, DATABASE_WRITE, "test", false, &reason);
    assert_non_null(database);
    struct pollfd watched;
    assert_int_equal(database_watch(database, &watched), 0);
    assert_int_equal(database_wait_limit(database), -1);
    assert_false(database_is_connected(database));
}

/* Calls database_advance() as its callers do, until it fails. Returns by how much it put the clock forward.
 */
static int64_t advance_until_it_fails(void) {
    int64_t began = forward;
    int result;
    reason.text[0] = '\0';
    for (int round = 0; (result = database_advance(database, &reason)) == DATABASE_BUSY; round++) {
        struct pollfd watched;
        int64_t left = database_wait_limit(database);
        assert_true(round < 100);
        assert_true(left >= 0 && left <= HOST_WITHIN);
        assert_int_equal(database_watch(database, &watched), 1);
        assert_true(watched.fd >= 0 && (watched.events & (POLLIN | POLLOUT)) != 0);
        if (poll(&watched, 1, 200) == 0)
            forward += (left / SECOND + 1) * SECOND;
    }
    assert_int_equal(result, ERROR_SYSTEM);
    struct pollfd watched;
    assert_int_equal(database_watch(database, &watched), 0);
    assert_int_equal(database_wait_limit(database), -1);
    assert_false(database_is_connected(database));
    assert_int_equal(database_connections(database), 0);
    return forward - began;
}

static void a_closed_port_fails_at_once(void **state) {
    (void)state;
    open_database("postgresql://127.0.0.1:%u/doorpost", closed_port, 0);
    for (int attempt = 0; attempt < 3; attempt++) {
        assert_int_equal(advance_until_it_fails(), 0);
        assert_non_null(strstr(reason.text, "cannot connect to the database: "));
        assert_non_null(strstr(reason.text, "Connection refused"));
        assert_null(strchr(reason.text, '\n'));
    }
}

static void a_host_that_never_answers_is_given_up(void **state) {
    (void)state;
    open_database("postgresql://127.0.0.1:%u/doorpost", silent_port, 0);
    for (int attempt = 0; attempt < 3; attempt++) {
        assert_in_range(advance_until_it_fails(), 1, HOST_WITHIN + SECOND);
        assert_non_null(strstr(reason.text, "the database does not answer"));
    }
}

static void each_of_several_hosts_is_tried(void **state) {
    (void)state;
    static const char *const forms[] = {"postgresql://127.0.0.1:%u,127.0.0.1:%u/doorpost",
                                        "host=127.0.0.1,127.0.0.1 port=%u,%u",
                                        "hostaddr=127.0.0.1,127.0.0.1 port=%u,%u"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (int order = 0; order < 2; order++) {
            open_database(forms[i], order == 0 ? closed_port : silent_port,
                          order == 0 ? silent_port : closed_port);
            for (int attempt = 0; attempt < 3; attempt++)
                assert_in_range(advance_until_it_fails(), 1, HOST_WITHIN + SECOND);
            database_free(database);
        }
    open_database("postgresql://127.0.0.1:%u,127.0.0.1:%u/doorpost", silent_port, silent_port);
    assert_in_range(advance_until_it_fails(), HOST_WITHIN + 1, 2 * (HOST_WITHIN + SECOND));
}

static void what_is_not_there_is_said(void **state) {
    (void)state;
    open_database("host=/nowhere dbname=doorpost", 0, 0);
    assert_int_equal(advance_until_it_fails(), 0);
    assert_non_null(strstr(reason.text, "/nowhere"));
    assert_int_equal(database_wait(database, &reason), ERROR_SYSTEM);
    assert_int_equal(database_query(database, "SELECT 1", NULL, 0, &reason), ERROR_SYSTEM);
    database_free(database);
    open_database("service=nowhere", 0, 0);
    assert_int_equal(advance_until_it_fails(), 0);
    assert_non_null(strstr(reason.text, "nowhere"));
}

static void giving_up_in_between_is_possible(void **state) {
    (void)state;
    open_database("postgresql://127.0.0.1:%u/doorpost", silent_port, 0);
    for (int attempt = 0; attempt < 3; attempt++) {
        struct pollfd watched;
        assert_int_equal(database_advance(database, &reason), DATABASE_BUSY);
        assert_int_equal(database_watch(database, &watched), 1);
        database_disconnect(database);
        assert_int_equal(database_watch(database, &watched), 0);
        assert_int_equal(database_wait_limit(database), -1);
    }
    assert_int_equal(database_advance(database, &reason), DATABASE_BUSY); /* freed while connecting */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    static const char *const variables[] = {"PGHOST",    "PGHOSTADDR", "PGPORT",           "PGSERVICE",
                                            "PGUSER",    "PGDATABASE", "PGSERVICEFILE",    "PGPASSWORD",
                                            "PGSSLMODE", "PGOPTIONS",  "PGCONNECT_TIMEOUT"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    const struct CMUnitTest tests[] = {
        TEST(locations_are_checked),
        TEST(a_closed_port_fails_at_once),
        TEST(a_host_that_never_answers_is_given_up),
        TEST(each_of_several_hosts_is_tried),
        TEST(what_is_not_there_is_said),
        TEST(giving_up_in_between_is_possible),
    };
    return cmocka_run_group_tests_name("database", tests, NULL, NULL);
}
