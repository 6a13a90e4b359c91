/* Reprints parsed JSON in the styles of common JSON libraries. */
#ifndef DOORPOST_REPRINT_H
#define DOORPOST_REPRINT_H

#include <json-c/json.h>
#include <sys/types.h>

enum order { AS_IT_IS, AS_RING, BY_NAME }; /* of the members */
enum spacing { COMPACT, SPACED, BY_2, BY_4, BY_TAB, SPACINGS };

/* Styles of escapes and numbers for each order and spacing. */
#define STYLES 20
#define STYLE(order, spacing) (((order)*SPACINGS + (spacing)) * STYLES)

/* Parses a document that only white space may follow. Returns NULL if invalid; free with json_object_put().
 */
struct json_object *reprint_parse(const char *text, size_t length);

/* An undo (mistake.h); `how` is the index of a style. */
ssize_t reprint(const char *text, size_t length, int how, char *out, size_t size);

#endif
