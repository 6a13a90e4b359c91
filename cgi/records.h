/* The application side of FastCGI 1.0: parses a web server's bytes into requests, and formats answers. Pure:
 * no socket, no clock. The protocol's constants are in libfcgi's fastcgi.h. */
#ifndef DOORPOST_RECORDS_H
#define DOORPOST_RECORDS_H

#include "request.h"

#include <fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Incremental parser for name-value pairs (section 3.4). The fields are private to records.c. */
struct fastcgi_pairs {
    enum { PAIR_NAME_LENGTH, PAIR_VALUE_LENGTH, PAIR_NAME, PAIR_VALUE } part;
    unsigned int more_bytes; /* still to come of a four-byte length */
    uint32_t name_left, value_left;
    char name[20]; /* the longest wanted name has 19 characters */
    size_t name_length;
    const char **present; /* set to `value` once that is complete; NULL: not wanted */
    char *value;
    size_t value_length;
};

/* One connection's input. The fields are private to records.c; a new one is all zeros except the first. */
struct fastcgi {
    unsigned int connections; /* the limit reported in FCGI_GET_VALUES_RESULT (section 4.1) */
    unsigned char header[FCGI_HEADER_LEN];
    size_t header_length;    /* bytes of it read so far */
    size_t content, padding; /* bytes of the record still to come */
    enum { PART_HEADER, PART_CONTENT, PART_PADDING } part;
    unsigned char begin[8]; /* the content of FCGI_BEGIN_REQUEST */
    size_t begin_length;
    enum { RECORD_SKIPPED, RECORD_BEGIN, RECORD_PARAMS, RECORD_STDIN, RECORD_ABORT, RECORD_VALUES } record;
    enum { REQUEST_NONE, REQUEST_PARAMS, REQUEST_STDIN, REQUEST_WHOLE } phase;
    uint16_t id;             /* of the request, unless REQUEST_NONE */
    bool keep;               /* FCGI_KEEP_CONN (section 5.1) of the last request that began */
    bool early;              /* the request was decided before its last record; the rest is skipped */
    bool lost;               /* out of sync: record boundaries are unknown */
    struct request *request; /* the request being read, or NULL */
    struct fastcgi_pairs params, values;
    const char *asked[3]; /* not NULL: requested by FCGI_GET_VALUES */
};

/* Why fastcgi_read() returned. */
enum fastcgi_event {
    FASTCGI_MORE,    /* all input was used; more is needed */
    FASTCGI_REPLY,   /* the reply is full: send it first */
    FASTCGI_BEGUN,   /* a request begins: call fastcgi_gather() or fastcgi_overloaded() first */
    FASTCGI_REQUEST, /* fastcgi->request can be decided: it is complete or has a fault; call fastcgi_answer()
                        in the end */
    FASTCGI_ABORTED, /* the web server aborted the request; call fastcgi_aborted() or fastcgi_answer() */
    FASTCGI_AGAIN,   /* the next request begins before this one is answered: read on after the answer */
    FASTCGI_REFUSED, /* an unknown role or a concurrent request: the reply has the refusal; log it */
    FASTCGI_LOST     /* not FastCGI 1.0: close the connection */
};

#define FASTCGI_REPLY_SIZE 4096

/* Records for the web server other than the answer to a request. */
struct fastcgi_reply {
    unsigned char bytes[FASTCGI_REPLY_SIZE];
    size_t length;
};

/* Parses up to `length` bytes and sets `*used`. Adds immediate replies to `reply`: to FCGI_GET_VALUES,
 * unknown management records and refused requests. Send `reply` before the answer. */
enum fastcgi_event fastcgi_read(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length,
                                size_t *used, struct fastcgi_reply *reply);

/* After FASTCGI_BEGUN: reads the request into `request`, which the caller owns. */
void fastcgi_gather(struct fastcgi *fastcgi, struct request *request, int64_t since);

/* After FASTCGI_BEGUN: refuses the request with FCGI_OVERLOADED. */
void fastcgi_overloaded(struct fastcgi *fastcgi, struct fastcgi_reply *reply);

/* Marks a request that has begun as REQUEST_INCOMPLETE. Nothing more is read. */
void fastcgi_give_up(struct fastcgi *fastcgi);

/* Ends the request without an answer. */
void fastcgi_aborted(struct fastcgi *fastcgi, struct fastcgi_reply *reply);

/* Returns true if the web server may be in the middle of sending something. Closing the connection then could
 * lose the answer. */
bool fastcgi_is_mid_message(const struct fastcgi *fastcgi);

/* The most bytes that fastcgi_answer() writes in addition to log and text. */
#define FASTCGI_ANSWER_ROOM 64

/* Ends the request with an answer: writes `log`, if not empty, as FCGI_STDERR, `text` as FCGI_STDOUT, and
 * FCGI_END_REQUEST. Both are at most 65,535 bytes. Returns the length written. */
size_t fastcgi_answer(struct fastcgi *fastcgi, const char *log, size_t log_length, const char *text,
                      size_t text_length, unsigned char *out);

#endif
