/* Signing in and out. */
#ifndef DOORPOST_SIGNIN_H
#define DOORPOST_SIGNIN_H

#include "exchange.h"

/* Answers with the sign-in form, which leads back to this request's query if that is a page's. If the web
 * server signs people in, says that it has not. */
void signin_ask(struct exchange *exchange, int status, const char *message);

/* Answers 303: the page's URL with `query`, which is "" or begins with a question mark. `fields` as for
 * exchange_answer(). */
void signin_redirect(struct exchange *exchange, const char *query, const char *fields);

#endif
