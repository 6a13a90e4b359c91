/* One line of the journal: an event as received, and its proof. */
#ifndef DOORPOST_RECORD_H
#define DOORPOST_RECORD_H

#include "config.h"
#include "signature.h"
#include "timestamp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAIN_SIZE 33          /* 32 hexadecimal digits and a NUL */
#define RECORD_HEADER_SIZE 320 /* enough for all members before the event */
#define RECORD_TAIL "}\n"
/* The longest line, its line break included. */
#define RECORD_LIMIT (RECORD_HEADER_SIZE + BODY_LIMIT + 2)

/* A parsed line. The pointers point into it. */
struct record {
    uint64_t seq;
    const char *line; /* without the line break */
    size_t length;
    const char *received_at; /* TIMESTAMP_SIZE - 1 bytes, formatted as a time */
    const char *key;         /* FINGERPRINT_SIZE - 1 bytes */
    const char *signature;   /* SIGNATURE_TEXT_SIZE - 1 bytes */
    const char *chain;       /* CHAIN_SIZE - 1 bytes */
    const char *event;       /* Ring's body */
    size_t event_length;
    bool verbatim; /* false: line breaks in the body became spaces, so the signature no longer fits */
};

/* The chain state: the number and hash of the last line. chain_start() before the first. */
struct chain_state {
    uint64_t seq;
    char recorded[CHAIN_SIZE]; /* recorded in the last line */
    char computed[CHAIN_SIZE]; /* computed over its bytes; differs if either was damaged */
    uint64_t damaged;          /* unreadable lines since then */
    bool known; /* false: reading began in the middle, and the first line is accepted as it is */
};

/* The chain state before the first line of a journal. */
struct chain_state chain_start(void);

/* Replaces line breaks in a body by spaces, in place, so that it fits on one line. Returns true if there
 * were none. Only for bodies that event_parse() accepted: there, line breaks occur only between tokens. */
bool record_flatten(char *body, size_t length);

/* Writes the part of a line before the event, and advances `chain` to this line; the line is this header +
 * body + RECORD_TAIL. `received_at` is in microseconds. Returns the length of the header. */
size_t record_write_header(struct chain_state *chain, int64_t received_at, const char *key,
                           const char *signature, bool verbatim, const char *body, size_t length,
                           char out[RECORD_HEADER_SIZE]);

/* Parses a line without its line break. A byte order mark before it and a carriage return after it, which
 * editors add, are ignored. Returns 0, or ERROR_DAMAGED if the line is not in our format. */
int record_parse(const char *line, size_t length, struct record *record);

enum scan {
    SCAN_RECORD,     /* follows from the line before */
    SCAN_UNCHAINED,  /* readable, but edited or not following from the line before */
    SCAN_DAMAGED,    /* bytes that are no line of ours */
    SCAN_INCOMPLETE, /* no line break yet: a torn tail, or more must be read */
};

/* Reads the next line of text[0..length) and advances `chain` over it. *used is the number of bytes
 * consumed, line break included (0 for SCAN_INCOMPLETE). If a line break was damaged, the line after it is
 * found anyway. The record is valid for SCAN_RECORD and SCAN_UNCHAINED. */
enum scan record_scan(const char *text, size_t length, struct chain_state *chain, struct record *record,
                      size_t *used);

#endif
