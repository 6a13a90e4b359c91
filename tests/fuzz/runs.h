/* A seeded fuzzer of many runs: chance, the runs, and one line of TAP. RUNS is how many, SEED what they are
 * drawn with, RUN the number of one that is to be done alone, telling what it does. */
#ifndef DOORPOST_RUNS_H
#define DOORPOST_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls run() for each number and prints what came of it: "N THINGS, seed S" and the line of TAP. Returns an
 * exit status. */
int runs_do(size_t runs, void (*run)(void), const char *things, const char *promise);

/* A number that looks like a random one. */
uint64_t mix(uint64_t value);

/* A number below `below`, at random; the same in each run of the same seed and number. */
size_t draw(size_t below);
bool one_in(size_t count);

/* Draws from here on as this number says. Each run begins with one of its own. */
void draw_from(uint64_t number);

/* What is told when one run is done alone. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* This run has failed; told once a run. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool has_failed(void);

/* The test itself cannot go on. */
void die(const char *what) __attribute__((noreturn));

#endif
