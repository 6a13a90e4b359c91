/* What a request needs before it can be answered: settings, rights, the directory. */
#ifndef DOORPOST_SETUP_H
#define DOORPOST_SETUP_H

#include "page.h"

/* Reads the settings, becomes the directory's owner if run by root, and opens the directory, unless that is
 * done. It is tried again with each request until it succeeds; from then on the settings stay. Returns 0, or
 * ERROR_SYSTEM with a reason. */
int setup(struct page *page, struct reason *reason);

#endif
