/* One CGI 1.1 request (RFC 3875): metadata in the environment, body on standard input. */
#ifndef DOORPOST_CGI_H
#define DOORPOST_CGI_H

#include "handler.h"

/* Serves the request. Returns an exit status. */
int cgi_serve(struct handler *handler);

/* Answers 503 without a handler, and logs `cause`. */
void cgi_give_up(const char *cause);

#endif
