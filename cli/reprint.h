/* JSON that was read and printed again, as the JSON libraries of the usual languages print it. */
#ifndef DOORPOST_REPRINT_H
#define DOORPOST_REPRINT_H

#include <json-c/json.h>
#include <sys/types.h>

enum order { AS_IT_IS, AS_RING, BY_NAME }; /* of the members */
enum spacing { COMPACT, SPACED, BY_2, BY_4, BY_TAB, SPACINGS };

/* For each order and spacing there are as many styles: of escapes and of numbers. */
#define STYLES 20
#define STYLE(order, spacing) (((order)*SPACINGS + (spacing)) * STYLES)

/* Reads a document that only white space may follow. NULL if it is none; to be freed with json_object_put().
 */
struct json_object *reprint_parse(const char *text, size_t length);

/* An undo (mistake.h); `how` is the number of a style. */
ssize_t reprint(const char *text, size_t length, int how, char *out, size_t size);

#endif
