/* People read reasons in logs, so they never contain a key, a body or a signature. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void explain(struct reason *reason, const char *format, ...) {
    int saved = errno;
    if (reason != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reason->text, sizeof reason->text, format, arguments);
        va_end(arguments);
    }
    errno = saved;
}
