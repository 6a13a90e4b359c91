/* Deliveries for tests of the journal: events by number, appended one by one or as a batch, and reading back
 * the whole journal. */
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

/* The journal's clock. */
extern int64_t clock_now;

/* cmocka set-up: a new directory, noon of day one, and a disk without faults. */
int start_journal(void **state);

#define JOURNAL_TEST(name) cmocka_unit_test_setup_teardown(name, start_journal, remove_directory)

/* A deadline that a test never reaches, even on a busy machine. */
struct deadline distant_deadline(void);
struct journal *open_journal(const char *path);

/* Appends events given as pairs of request id and event id, as one batch; stores their dispositions and
 * numbers in `entries`. */
void append_pairs(struct journal *journal, const char *const pairs[][2], size_t count, struct entry *entries);
struct entry append_one(struct journal *journal, const char *request, const char *id);

/* Appends event `number`: its identifiers are derived from it. */
struct entry append_number(struct journal *journal, unsigned number);

/* Fails the test unless the entry has this disposition, and this `seq` if it is STORED or DUPLICATE. */
#define check(entry, disposition, seq) check_entry((entry), (disposition), (seq), __FILE__, __LINE__)
void check_entry(struct entry entry, enum disposition disposition, uint64_t seq, const char *file, int line);

/* Through another journal object: event `number` has that disposition and sequence number. */
void check_by_another(const char *path, unsigned number, enum disposition disposition, uint64_t seq);

/* Events `from` to `to` are duplicates, and each has its own number as `seq`. */
void check_known(struct journal *journal, unsigned from, unsigned to);

/* All lines of the journal, read from the files alone. */
struct contents {
    unsigned lines;      /* readable ones */
    unsigned damaged;    /* unreadable pieces */
    unsigned unchained;  /* lines that do not continue the chain */
    uint64_t last;       /* the highest number */
    uint64_t seq_of[64]; /* of each event number; 0: not found */
};

/* Reads the journal; fails the test if an identifier or a number appears twice. */
struct contents read_journal(const char *path);

/* The same, and requires an unbroken chain. Returns the number of lines. */
unsigned verify(const char *path);

size_t size_of(const char *path);
void add_bytes(const char *path, const void *bytes, size_t length);

/* Runs a shell command, printf style; fails the test if the command fails. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Removes lines `from` to `to` of a file, counted from 0, in place. */
void erase_lines(const char *path, unsigned from, unsigned to);

#endif
