/* The picture of a press, fetched from Ring once and kept. */
#ifndef DOORPOST_PICTURE_H
#define DOORPOST_PICTURE_H

#include "door.h"
#include "event.h"

struct page;

/* "yes" if the picture is here, "pending" if it may still come, "none" if it was given up. */
const char *picture_state(const struct door *door, const struct event *event);

/* In a FastCGI worker: fetches the pictures of new presses until page->ending is set. One process does it at
 * a time; another one takes over when that ends. */
void picture_follow(struct page *page);

#endif
