/* grow KEY_FILE DIRECTORY EVENTS SYNCED: appends presses through the library, in batches, and reports the
 * cost of one new event at 10^3, 10^5, 10^6, ... events, and the longest stall on the way there.
 * Tab-separated columns: events; microseconds for one new event (median of 101 synced appends of one event);
 * the 99th percentile; and, since the previous line, the longest single append in milliseconds (0: not
 * synced), how much of that was spent waiting for the disk, how much of it a concurrent thread that only
 * overwrites one sector was waiting too, the number of appends over 50 ms, and the number still over 50 ms
 * without the time that thread was waiting. The first SYNCED events are synced batch by batch, as a worker
 * does. After that the journal grows as fast as it can; only the measured appends are synced. */
#define _GNU_SOURCE
#include "journal.h"
#include "signature.h"
#include "timestamp.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 64
#define PROBES 101
#define STALL (SECOND / 20)
#define STANDSTILL (SECOND / 200)
#define INTERVALS_MAX 65536 /* the most recent ones are kept */

struct interval {
    int64_t from, to; /* monotonic_now() */
};

static int64_t lasted(struct interval interval) {
    return interval.to - interval.from;
}

static struct event events[BATCH];
static char bodies[BATCH][1024];
static char signatures[BATCH][SIGNATURE_TEXT_SIZE];
static struct entry entries[BATCH];
static struct entry *pointers[BATCH];
static unsigned long next;
static bool syncing = true;
static int64_t waited; /* microseconds spent in syncs */

static int wait_for_disk(long number, long a, long b, long c) {
    int64_t before = monotonic_now();
    int result = syncing ? (int)syscall(number, a, b, c) : 0;
    waited += monotonic_now() - before;
    return result;
}

/* Override the C library's. */
int fdatasync(int fd) {
    return wait_for_disk(SYS_fdatasync, fd, 0, 0);
}

int msync(void *address, size_t length, int flags) {
    return wait_for_disk(SYS_msync, (long)address, (long)length, flags);
}

static struct interval append(struct journal *journal, struct keys *keys, size_t count) {
    for (size_t i = 0; i < count; i++, next++) {
        uint8_t digest[SIGNATURE_BYTES];
        snprintf(events[i].request_id, EVENT_FIELD_SIZE, "c83081fc-2f1b-4cb7-8b18-%012lx", next);
        snprintf(events[i].id, EVENT_FIELD_SIZE, "ava1.ring.device.FRONTDOOR01_button_press_%lu", next);
        int length = snprintf(bodies[i], sizeof bodies[i],
                              "{\"meta\":{\"version\":\"1.1\",\"time\":\"2026-02-14T00:02:53.027052438Z\","
                              "\"request_id\":\"%s\","
                              "\"account_id\":\"ava1.ring.account.EXAMPLE1\"},\"data\":{\"id\":\"%s\","
                              "\"type\":\"button_press\",\"attributes\":{"
                              "\"source\":\"ava1.ring.device.FRONTDOOR01\",\"source_type\":\"devices\","
                              "\"timestamp\":1771027372393}}}",
                              events[i].request_id, events[i].id);
        signature_make(keys, 0, bodies[i], (size_t)length, digest);
        signature_format(digest, signatures[i]);
        entries[i] = (struct entry){.body = bodies[i],
                                    .length = (size_t)length,
                                    .key = keys_fingerprint(keys, 0),
                                    .signature = signatures[i],
                                    .received_at = timestamp_now(),
                                    .event = &events[i]};
        pointers[i] = &entries[i];
    }
    struct interval interval = {.from = monotonic_now()};
    waited = 0;
    struct deadline deadline = {.at = interval.from + 60 * SECOND};
    struct reason reason = {""};
    journal_append(journal, pointers, count, &deadline);
    if (journal_upkeep(journal, &deadline, &reason) != 0 ||
        entries[count - 1].disposition != DISPOSITION_STORED) {
        fprintf(stderr, "grow: %s %s\n", entries[count - 1].reason.text, reason.text);
        exit(1);
    }
    interval.to = monotonic_now();
    return interval;
}

/* ---- what the disk does to another thread ---- */

static struct interval standstills[INTERVALS_MAX]; /* of the concurrent thread */
static size_t standstill_count;
static pthread_mutex_t standstill_lock = PTHREAD_MUTEX_INITIALIZER;

/* Repeatedly overwrites a sector and syncs it. The file's blocks are allocated and its size is fixed, so this
 * waits for the disk alone, and not for the file system's work for the journal. */
static void *overwrite(void *context) {
    static const char sector[512] = "";
    int fd = *(const int *)context;
    for (;;) {
        struct interval interval = {.from = monotonic_now()};
        if (pwrite(fd, sector, sizeof sector, 0) != (ssize_t)sizeof sector ||
            syscall(SYS_fdatasync, fd) != 0) {
            perror("grow");
            exit(1);
        }
        interval.to = monotonic_now();
        if (lasted(interval) > STANDSTILL) {
            pthread_mutex_lock(&standstill_lock);
            standstills[standstill_count++ % INTERVALS_MAX] = interval;
            pthread_mutex_unlock(&standstill_lock);
        }
        usleep(STANDSTILL);
    }
    return NULL;
}

static void start_overwriting(const char *directory) {
    static int fd;
    char name[512];
    pthread_t thread;
    snprintf(name, sizeof name, "%s.beside", directory);
    fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || pthread_create(&thread, NULL, overwrite, &fd) != 0) {
        perror("grow");
        exit(1);
    }
}

/* How much of the interval the concurrent thread was stalled too. */
static int64_t stalled(struct interval interval) {
    int64_t sum = 0;
    pthread_mutex_lock(&standstill_lock);
    for (size_t i = 0; i < standstill_count && i < INTERVALS_MAX; i++) {
        int64_t from = interval.from > standstills[i].from ? interval.from : standstills[i].from;
        int64_t to = interval.to < standstills[i].to ? interval.to : standstills[i].to;
        sum += to > from ? to - from : 0;
    }
    pthread_mutex_unlock(&standstill_lock);
    return sum;
}

/* ---- growing ---- */

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Statistics between two measurements. */
struct stats {
    struct interval longest;             /* the longest append */
    int64_t longest_waited;              /* its time in syncs */
    struct interval over[INTERVALS_MAX]; /* the appends longer than STALL */
    size_t over_count;
};

static void grow(struct journal *journal, struct keys *keys, unsigned long stop, unsigned long synced,
                 struct stats *stats) {
    while (next < stop) {
        syncing = next < synced;
        struct interval interval = append(journal, keys, BATCH);
        if (syncing && lasted(interval) > STALL)
            stats->over[stats->over_count++ % INTERVALS_MAX] = interval;
        if (syncing && lasted(interval) > lasted(stats->longest)) {
            stats->longest = interval;
            stats->longest_waited = waited;
        }
    }
    if (!syncing)
        sync();
    syncing = true;
}

static void report(unsigned long stop, const int64_t probes[PROBES], const struct stats *stats) {
    unsigned own_stalls = 0; /* over STALL even without the time the concurrent thread was stalled */
    for (size_t i = 0; i < stats->over_count && i < INTERVALS_MAX; i++)
        own_stalls += lasted(stats->over[i]) - stalled(stats->over[i]) > STALL;
    printf("%lu\t%lld\t%lld\t%.1f\t%.1f\t%.1f\t%zu\t%u\n", stop, (long long)probes[PROBES / 2],
           (long long)probes[PROBES * 99 / 100], (double)lasted(stats->longest) / 1000,
           (double)stats->longest_waited / 1000, (double)stalled(stats->longest) / 1000, stats->over_count,
           own_stalls);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const unsigned long stops[] = {1000, 100000, 1000000, 10000000, 30000000};
    struct reason reason = {""};
    struct keys *keys = sodium_init() < 0 ? NULL : keys_alloc();
    if (argc != 5 || keys == NULL || keys_load(keys, argv[1], &reason) != 0) {
        fprintf(stderr, "grow KEY_FILE DIRECTORY EVENTS SYNCED %s\n", reason.text);
        return 2;
    }
    struct journal *journal = journal_new(argv[2], 0);
    if (journal == NULL)
        return 1;
    unsigned long wanted = strtoul(argv[3], NULL, 10), synced = strtoul(argv[4], NULL, 10);
    static struct stats stats;
    int64_t probes[PROBES];
    start_overwriting(argv[2]);
    for (size_t stop = 0; stop < sizeof stops / sizeof *stops && stops[stop] <= wanted; stop++) {
        stats.longest = (struct interval){0};
        stats.longest_waited = 0;
        stats.over_count = 0;
        grow(journal, keys, stops[stop], synced, &stats);
        for (size_t i = 0; i < PROBES; i++)
            probes[i] = lasted(append(journal, keys, 1));
        qsort(probes, PROBES, sizeof *probes, by_size);
        report(stops[stop], probes, &stats);
    }
    syncing = false;
    while (next < wanted)
        append(journal, keys, BATCH);
    journal_free(journal);
    keys_free(keys);
    return 0;
}
