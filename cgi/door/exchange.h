/* A request to the door page and the answer to it, whether by CGI or FastCGI. */
#ifndef DOORPOST_EXCHANGE_H
#define DOORPOST_EXCHANGE_H

#include "account.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_MAX 65536 /* bytes of a request's body */

struct page; /* the program's state: page.h */

/* One request. All text is valid until exchange_finish(). */
struct exchange {
    struct page *page;
    void *gateway; /* FCGX_Request, or NULL for CGI */
    const char *method;
    const char *query;    /* QUERY_STRING, "" if none */
    char route[32];       /* NAME of ?/NAME, "" if none */
    char user[USER_SIZE]; /* signed in; "" if not */
    char *body;           /* NUL-terminated, read by exchange_body(); wiped by exchange_end() */
    size_t length;
    int status; /* of the answer; 0: none yet */
    bool finished;
    struct reason cause; /* logged if not "" */
    int64_t since;       /* monotonic_now() when it began */
};

/* Fills in the fields above. exchange_end() finishes the request, logs it and frees what belongs to it. */
void exchange_begin(struct exchange *exchange, struct page *page, void *gateway);
void exchange_end(struct exchange *exchange);

/* A variable of the gateway (RFC 3875, section 4.1), or "". */
const char *exchange_variable(const struct exchange *exchange, const char *name);

/* Decodes the query's or an HTML form's member `name` (application/x-www-form-urlencoded) into `out`. Returns
 * false if there is none or more than one, or it is longer, or is malformed or contains a NUL. */
bool exchange_query(const struct exchange *exchange, const char *name, char *out, size_t size);
bool exchange_form(const struct exchange *exchange, const char *name, char *out, size_t size);

/* Decodes what follows NAME/ in ?/NAME/OPERAND, where a plus sign is itself. Returns as exchange_query(). */
bool exchange_operand(const struct exchange *exchange, char *out, size_t size);

/* Reads the body. Returns 0, or answers 411, 413 or 400 itself and returns -1. */
int exchange_body(struct exchange *exchange);

/* Answers; `type` is NULL if there is no body. `fields` are further header fields, each with "\r\n", or "".
 * The security fields are always added; Cache-Control: no-store unless `fields` has Cache-Control. */
void exchange_answer(struct exchange *exchange, int status, const char *type, const char *fields,
                     const void *body, size_t length);

/* A JSON error: {"error":WORD,"message":MESSAGE}. */
void exchange_error(struct exchange *exchange, int status, const char *word, const char *message);

/* Sends an answer's end to the web server now, so that the viewer does not wait for what this request still
 * does. Under CGI it closes standard output; under FastCGI it ends the request. */
void exchange_finish(struct exchange *exchange);

#endif
