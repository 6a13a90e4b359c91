/* FastCGI 1.0 as an application speaks it: a web server's bytes to requests, and answers to bytes. Pure: no
 * socket, no clock. libfcgi's fastcgi.h has the numbers of the protocol. */
#ifndef DOORPOST_RECORDS_H
#define DOORPOST_RECORDS_H

#include "request.h"

#include <fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name-value pairs (section 3.4) as they come, in any pieces. The fields belong to fastcgi.c. */
struct fastcgi_pairs {
    enum { PAIR_NAME_LENGTH, PAIR_VALUE_LENGTH, PAIR_NAME, PAIR_VALUE } part;
    unsigned int more_bytes; /* of a length of four bytes */
    uint32_t name_left, value_left;
    char name[20]; /* the longest that we look for has 19 characters */
    size_t name_length;
    const char **
        present; /* the pointer that is set to `value` once it is there, or NULL: nobody asked for this one */
    char *value;
    size_t value_length;
};

/* One connection's input. The fields belong to fastcgi.c; a new one is all zeros but for the first. */
struct fastcgi {
    unsigned int connections; /* the limit that FCGI_GET_VALUES_RESULT reports (section 4.1) */
    unsigned char header[FCGI_HEADER_LEN];
    size_t header_length;    /* bytes of it that are there */
    size_t content, padding; /* bytes of the record that are still to come */
    enum { PART_HEADER, PART_CONTENT, PART_PADDING } part;
    unsigned char begin[8]; /* the content of FCGI_BEGIN_REQUEST */
    size_t begin_length;
    enum { RECORD_SKIPPED, RECORD_BEGIN, RECORD_PARAMS, RECORD_STDIN, RECORD_ABORT, RECORD_VALUES } record;
    enum { REQUEST_NONE, REQUEST_PARAMS, REQUEST_STDIN, REQUEST_WHOLE } phase;
    uint16_t id; /* of the request, unless REQUEST_NONE */
    bool keep;   /* FCGI_KEEP_CONN (section 5.1), of the last request that began */
    bool early;  /* the request is decided before its last record; what still comes of it is skipped */
    bool lost;   /* where records begin is not known any more */
    struct request *request; /* where it gathers, or NULL */
    struct fastcgi_pairs params, values;
    const char *asked[3]; /* not NULL: FCGI_GET_VALUES asked for it */
};

/* Why fastcgi_read() stopped before the end of its input. */
enum fastcgi_event {
    FASTCGI_MORE,    /* it did not: more has to come */
    FASTCGI_REPLY,   /* the reply is full: it is to be sent first */
    FASTCGI_BEGUN,   /* a request begins: fastcgi_gather() or fastcgi_overloaded() is to be called first */
    FASTCGI_REQUEST, /* fastcgi->request can be decided: it is whole, or has a fault; fastcgi_answer() is to
                        be called in the end */
    FASTCGI_ABORTED, /* the web server does not want the answer any more; fastcgi_aborted() or
                        fastcgi_answer() is to be called */
    FASTCGI_AGAIN,   /* the next request begins, and this one has no answer yet: to be read when it has */
    FASTCGI_REFUSED, /* an unknown role or a second request at once: the reply has the answer; it is to be
                        logged */
    FASTCGI_LOST     /* not FastCGI 1.0: the connection is to be closed */
};

#define FASTCGI_REPLY_SIZE 4096

/* Records for the web server that are no answer to a request. */
struct fastcgi_reply {
    unsigned char bytes[FASTCGI_REPLY_SIZE];
    size_t length;
};

/* Reads from `length` bytes, and adds to `reply` what is answered at once: FCGI_GET_VALUES, unknown
 * management records, requests that are refused. Sets `*used`. Whatever has been added to `reply` is to be
 * sent before the answer. */
enum fastcgi_event fastcgi_read(struct fastcgi *fastcgi, const unsigned char *bytes, size_t length,
                                size_t *used, struct fastcgi_reply *reply);

/* After FASTCGI_BEGUN: gathers the request in `request`, which stays the caller's. */
void fastcgi_gather(struct fastcgi *fastcgi, struct request *request, int64_t since);

/* After FASTCGI_BEGUN: refuses it with FCGI_OVERLOADED. */
void fastcgi_overloaded(struct fastcgi *fastcgi, struct fastcgi_reply *reply);

/* Decides a request that has begun as REQUEST_INCOMPLETE. Nothing more is read. */
void fastcgi_give_up(struct fastcgi *fastcgi);

/* Ends the request without an answer. */
void fastcgi_aborted(struct fastcgi *fastcgi, struct fastcgi_reply *reply);

/* Has the web server begun to send something that is not there to its end? If the connection is closed
 * meanwhile, it may lose the answer. */
bool fastcgi_is_mid_message(const struct fastcgi *fastcgi);

/* The most bytes that fastcgi_answer() writes beside log and text. */
#define FASTCGI_ANSWER_ROOM 64

/* Ends the request with an answer: writes `log` as FCGI_STDERR, if there is any, `text` as FCGI_STDOUT, and
 * FCGI_END_REQUEST. Each is at most 65,535 bytes. Returns the length. */
size_t fastcgi_answer(struct fastcgi *fastcgi, const char *log, size_t log_length, const char *text,
                      size_t text_length, unsigned char *out);

#endif
