/* Standard output of a CGI program, which its web server reads. */
#ifndef DOORPOST_OUTPUT_H
#define DOORPOST_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

/* Writes the text, and gives up at `deadline` on monotonic_now()'s clock, or if the web server has closed its
 * end. */
void output_write(const char *text, size_t length, int64_t deadline);

#endif
