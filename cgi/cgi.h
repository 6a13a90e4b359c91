/* One request of CGI 1.1 (RFC 3875), in the environment and on standard input. */
#ifndef DOORPOST_CGI_H
#define DOORPOST_CGI_H

#include "handler.h"

/* Serves it. Returns an exit status. */
int cgi_serve(struct handler *handler);

/* Answers 503 without a handler: `cause` is logged. */
void cgi_give_up(const char *cause);

#endif
