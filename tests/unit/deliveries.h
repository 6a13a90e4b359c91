/* Deliveries for tests of the journal: events by number, appended one by one or as a batch, and a reading of
 * all that is in the journal afterwards. */
#ifndef DOORPOST_TESTS_DELIVERIES_H
#define DOORPOST_TESTS_DELIVERIES_H

#include "disk.h"
#include "journal.h"
#include "support.h"
#include "timestamp.h"

#define SIGNATURE "sha256=a76659b3a3c0a00766acb29bbfbd2cd14fc37fc5153ff62c26d0945fe0cfc0df"
#define FEW 4                             /* buckets of the first table: full after 38 events */
#define DAY_ONE INT64_C(1795435200000000) /* 2026-11-23T12:00:00Z */
#define A_DAY (86400 * SECOND)
#define FIRST "2026-11-23.jsonl"
#define SECOND_DAY "2026-11-24.jsonl"
#define THIRD_DAY "2026-11-25.jsonl"

/* What the journal takes for the time. */
extern int64_t clock_now;

/* cmocka set-up: a new directory, noon of day one, and a disk without faults. */
int start_journal(void **state);

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, start_journal, remove_directory)

/* Later than the tests are over, even on a machine that is busy. */
struct deadline soon(void);
struct journal *open_journal(const char *path);

/* Appends events given as pairs of request id and event id, as one batch; their dispositions and numbers go
 * to `entries`. */
void append_pairs(struct journal *journal, const char *const pairs[][2], size_t count, struct entry *entries);
struct entry append_one(struct journal *journal, const char *request, const char *id);

/* Event number `number`: its identifiers are made of it. */
struct entry append_number(struct journal *journal, unsigned number);

/* Fails the test unless this is what became of the entry. `seq` is compared unless it is UNAVAILABLE. */
#define check(entry, disposition, seq) check_entry((entry), (disposition), (seq), __FILE__, __LINE__)
void check_entry(struct entry entry, enum disposition disposition, uint64_t seq, const char *file, int line);

/* By a journal object of its own: event `number` has that disposition and number. */
void check_by_another(const char *path, unsigned number, enum disposition disposition, uint64_t seq);

/* Events `from` to `to` are duplicates, each with its own number as `seq`. */
void check_known(struct journal *journal, unsigned from, unsigned to);

/* All lines of the journal, read from its files alone. */
struct contents {
    unsigned lines;      /* that can be read */
    unsigned damaged;    /* pieces that cannot */
    unsigned unchained;  /* lines that do not follow from the one before */
    uint64_t last;       /* the highest number */
    uint64_t seq_of[64]; /* of event number so and so; 0: it is not there */
};

/* Reads them; fails the test if an identifier or a number is there twice. */
struct contents read_journal(const char *path);

/* The same, and every line follows from the one before. Returns how many there are. */
unsigned verify(const char *path);

size_t size_of(const char *path);
void add_bytes(const char *path, const void *bytes, size_t length);

/* Runs a shell command, printf style; it has to succeed. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The lines of a file: `from` and `to` count from 0. Removes them, in place. */
void erase_lines(const char *path, unsigned from, unsigned to);

#endif
