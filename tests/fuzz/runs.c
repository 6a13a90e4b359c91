#include "runs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FAILURES_PRINTED 10

static uint64_t state;
static bool verbose, failed; /* failed: the current run has */
static unsigned failures;
static size_t run_number;

/* splitmix64: neighbouring seeds give unrelated sequences. */
uint64_t mix(uint64_t value) {
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void draw_from(uint64_t number) {
    state = mix(number);
}

size_t draw(size_t below) {
    return (size_t)(mix(state++) % below);
}

bool one_in(size_t count) {
    return draw(count) == 0;
}

static void print(const char *format, va_list arguments) {
    vprintf(format, arguments);
    putchar('\n');
}

void print_verbose(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (verbose) {
        fputs("# ", stdout);
        print(format, arguments);
    }
    va_end(arguments);
}

void wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (verbose || (!failed && failures < FAILURES_PRINTED)) {
        printf("# run %zu: ", run_number);
        print(format, arguments);
    }
    va_end(arguments);
    failures += !failed;
    failed = true;
}

bool has_failed(void) {
    return failed;
}

void die(const char *what) {
    perror(what);
    exit(2);
}

static uint64_t number_in(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

int runs_do(size_t runs, void (*run)(void), const char *things, const char *promise) {
    uint64_t seed = number_in("SEED", 20261123);
    verbose = getenv("RUN") != NULL;
    runs = (size_t)number_in("RUNS", runs);
    size_t first = (size_t)number_in("RUN", 0), end = verbose ? first + 1 : runs;
    for (run_number = first; run_number < end; run_number++) {
        failed = false;
        draw_from(mix(seed) ^ run_number);
        run();
    }
    printf("1..1\n# %zu %s, seed %" PRIu64 "\n", runs, things, seed);
    printf("%s 1 - %s, %u failures\n", failures == 0 ? "ok" : "not ok", promise, failures);
    return failures > 0;
}
