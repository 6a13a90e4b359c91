/* The files of the page, embedded in the program. */
#ifndef DOORPOST_ASSETS_H
#define DOORPOST_ASSETS_H

#include "exchange.h"

/* Answers with an embedded file as it is; an unknown name is a bug. */
void asset_answer(struct exchange *exchange, int status, const char *name);

#endif
