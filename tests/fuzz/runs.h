/* A seeded fuzzer of many runs: random numbers, the runs, and one line of TAP. RUNS is the number of runs,
 * SEED the random seed, RUN the number of a single run with verbose output. */
#ifndef DOORPOST_RUNS_H
#define DOORPOST_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls run() for each number and prints the result: "N THINGS, seed S" and the line of TAP. Returns an exit
 * status. */
int runs_do(size_t runs, void (*run)(void), const char *things, const char *promise);

/* A number that looks random. */
uint64_t mix(uint64_t value);

/* A random number below `below`; the same for each run of the same seed and number. */
size_t draw(size_t below);
bool one_in(size_t count);

/* Restarts the random sequence from this number. Each run begins with its own. */
void draw_from(uint64_t number);

/* Prints only if a single run is requested. */
void print_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Marks this run as failed; printed once a run. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool has_failed(void);

/* Ends the test because of an error of its own. */
void die(const char *what) __attribute__((noreturn));

#endif
