/* The files of cgi/door/page/, which are part of the program. */
#ifndef DOORPOST_ASSETS_H
#define DOORPOST_ASSETS_H

#include "exchange.h"

struct blank {
    const char *name, *value;
};

/* Answers with an HTML page: each {{NAME}} in it is replaced by the value, escaped. `blanks` ends with a name
 * that is NULL. `fields` as for exchange_answer(). */
void asset_page(struct exchange *exchange, int status, const char *file, const char *fields,
                const struct blank *blanks);

/* Answers with message.html. */
void asset_message(struct exchange *exchange, int status, const char *title, const char *message);

/* Answers GET ?/FILE, also by 304. Returns false if there is no such file. */
bool asset_serve(struct exchange *exchange, const char *file);

/* Answers with a file as it is; an unknown name is a bug. */
void asset_answer(struct exchange *exchange, int status, const char *name);

/* The bytes of a file, or NULL. */
const char *asset_find(const char *file, const char **type, size_t *length);

#endif
