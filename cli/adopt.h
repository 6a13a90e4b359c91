/* Files in a journal that its owner does not own and so cannot use: created by root under earlier releases,
 * or restored from a backup by root. */
#ifndef DOORPOST_ADOPT_H
#define DOORPOST_ADOPT_H

#include "user.h"

/* Counts them. `journal` is a descriptor. Writes one file's path, relative to the journal, to `first`. */
unsigned adopt_count(int journal, uid_t owner, char *first, size_t size);

/* As root, changes their ownership to the owner, who may be hostile and change the journal meanwhile.
 * Reports, and does not change, files that belong to neither or are not Doorpost's. `path` is for messages.
 * Returns 0 or STATUS_PROBLEM. */
int adopt_all(int journal, const struct user *owner, const char *path);

#endif
