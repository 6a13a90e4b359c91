/* One line of the journal: an event as it was received, and the proof of it. */
#ifndef DOORPOST_RECORD_H
#define DOORPOST_RECORD_H

#include "config.h"
#include "signature.h"
#include "timestamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAIN_SIZE 33          /* 32 hexadecimal digits and a NUL */
#define RECORD_HEADER_SIZE 320 /* more than all members before the event can take */
#define RECORD_TAIL "}\n"
/* The longest line, its line break included. */
#define RECORD_LIMIT (RECORD_HEADER_SIZE + BODY_LIMIT + 2)

/* A line taken apart. The pointers lead into the line. */
struct record {
    uint64_t seq;
    const char *line; /* up to, not with, the line break */
    size_t length;
    const char *received_at; /* TIMESTAMP_SIZE - 1 bytes, in the form of a time */
    const char *key;         /* FINGERPRINT_SIZE - 1 bytes */
    const char *signature;   /* SIGNATURE_TEXT_SIZE - 1 bytes */
    const char *chain;       /* CHAIN_SIZE - 1 bytes */
    const char *event;       /* Ring's body */
    size_t event_length;
    bool verbatim; /* false: line breaks in the body became spaces, so the signature no longer fits */
};

/* Where a chain of lines stands: after which line, and with which hash. All zero (link_start) before the
 * first. */
struct chain_state {
    uint64_t seq;
    char recorded[CHAIN_SIZE]; /* the chain that the last line says */
    char computed[CHAIN_SIZE]; /* the chain that its bytes give; differs where either was damaged */
    uint64_t damaged;          /* lines since then that could not be read at all */
    bool known;                /* false: reading began in the middle, the first line is taken at its word */
};

/* Before the first line of a journal. */
struct chain_state chain_start(void);

/* Turns the line breaks of a body into spaces, in place, so that it fits on one line. Returns true where
 * there were none. Only for bodies that event_parse() took: there they stand between tokens. */
bool record_flatten(char *body, size_t length);

/* Writes what stands before the event in its line, the line being head + body + RECORD_TAIL, and steps `link`
 * on to this line. `received_at` in microseconds. Returns the length of the head. */
size_t record_write_header(struct chain_state *chain, int64_t received_at, const char *key,
                           const char *signature, bool verbatim, const char *body, size_t length,
                           char out[RECORD_HEADER_SIZE]);

/* Takes a line (without its line break) apart. What editors add around it, a byte order mark before it and a
 * carriage return after it, is not part of the line. Returns 0, or ERROR_DAMAGED if it is not one that we
 * write. */
int record_parse(const char *line, size_t length, struct record *record);

enum scan {
    SCAN_RECORD,     /* a line that follows from the one before */
    SCAN_UNCHAINED,  /* a line that can be read, but was edited, or does not follow from the one before */
    SCAN_DAMAGED,    /* bytes that are no line of ours */
    SCAN_INCOMPLETE, /* no line break yet: a torn tail, or more has to be read */
};

/* Reads the next line of text[0..length), steps `link` over it, and says in *used how many bytes it took, its
 * line break included (0 for SCAN_INCOMPLETE). Where a line break was damaged, the line after it is found all
 * the same. The record is meaningful for SCAN_RECORD and SCAN_UNCHAINED. */
enum scan record_scan(const char *text, size_t length, struct chain_state *chain, struct record *record,
                      size_t *used);

#endif
