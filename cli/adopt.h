/* What is in a journal and does not belong to the journal's owner, who can do nothing with it: files that
 * root's hands made there in earlier releases, or left there with a backup. */
#ifndef DOORPOST_ADOPT_H
#define DOORPOST_ADOPT_H

#include "user.h"

/* Counts them; `first` gets the path of one, from the journal (a descriptor). */
unsigned adopt_count(int journal, uid_t owner, char *first, size_t size);

/* Root gives them to the owner, who may be at work in the journal meanwhile, and hostile. What belongs to
 * neither, or is not what Doorpost makes, is left as it is and told. `path` is for messages. Returns 0 or
 * STATUS_PROBLEM. */
int adopt_all(int journal, const struct user *owner, const char *path);

#endif
