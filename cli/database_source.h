/* The database of the merged stream as a source of events, for runners on any number of machines. */
#ifndef DOORPOST_DATABASE_SOURCE_H
#define DOORPOST_DATABASE_SOURCE_H

#include "source.h"

/* `where`: see database_new(). Both stay the caller's. Returns NULL after printing the reason. */
struct source *database_source_new(const char *where, const struct run *run);

#endif
