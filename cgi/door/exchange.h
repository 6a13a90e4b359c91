/* A request to the door page and the answer to it, whether by CGI or FastCGI. */
#ifndef DOORPOST_EXCHANGE_H
#define DOORPOST_EXCHANGE_H

#include "account.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_MAX 65536 /* bytes of a request's body */

struct page; /* the program's state: page.h */

/* One request. All text is valid until the answer. */
struct exchange {
    struct page *page;
    void *gateway; /* FCGX_Request, or NULL for CGI */
    const char *method;
    const char *query;    /* QUERY_STRING, "" if none */
    char route[32];       /* NAME of ?/NAME, "" if none */
    char user[USER_SIZE]; /* signed in; "" if not */
    char *body;           /* NUL-terminated, read by exchange_body() */
    size_t length;
    bool answered;
};

/* A variable of the gateway (RFC 3875, section 4.1), or "". */
const char *exchange_variable(const struct exchange *exchange, const char *name);

/* Decodes the query's or an HTML form's member `name` (application/x-www-form-urlencoded) into `out`. Returns
 * false if there is none, or it is longer, or contains a NUL. */
bool exchange_query(const struct exchange *exchange, const char *name, char *out, size_t size);
bool exchange_form(const struct exchange *exchange, const char *name, char *out, size_t size);

/* Decodes what follows NAME/ in ?/NAME/OPERAND. Returns as exchange_query(). */
bool exchange_operand(const struct exchange *exchange, char *out, size_t size);

/* Reads the body. Returns 0, or answers 411, 413 or 400
 * itself and returns -1. */
int exchange_body(struct exchange *exchange);

/* Answers. `fields` are further header fields, each with "\r\n", or "". The security fields are always added;
 * Cache-Control: no-store unless `fields` has Cache-Control. */
void exchange_answer(struct exchange *exchange, int status, const char *type, const char *fields,
                     const void *body, size_t length);

/* A JSON error: {"error":WORD,"message":MESSAGE}. */
void exchange_error(struct exchange *exchange, int status, const char *word, const char *message);

/* Sends an answer's end to the web server now, so that the viewer does not wait for what this request still
 * does. Under CGI it closes standard output; under FastCGI it ends the request. */
void exchange_finish(struct exchange *exchange);

#endif
