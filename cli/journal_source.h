/* The journal as a source of events. */
#ifndef DOORPOST_JOURNAL_SOURCE_H
#define DOORPOST_JOURNAL_SOURCE_H

#include "source.h"

/* `journal` and `run` stay the caller's. Returns NULL if out of memory. */
struct source *journal_source_new(const char *journal, const struct run *run);

#endif
