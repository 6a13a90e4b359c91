/* The part of `doorpost check` that verifies the merged stream: each event's signature, and that the columns
 * of its row say what the body says. */
#ifndef DOORPOST_CHECK_STREAM_H
#define DOORPOST_CHECK_STREAM_H

#include "findings.h"

/* Checks all events in the database and prints the result. A location that database_new() refuses is a usage
 * error. Returns an exit code. */
int check_stream(const char *where, struct findings *findings);

#endif
