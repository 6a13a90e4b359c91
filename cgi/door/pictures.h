/* Fetches the pictures of new presses, in a FastCGI worker. */
#ifndef DOORPOST_PICTURES_H
#define DOORPOST_PICTURES_H

struct page;

/* Works until page->ending is set. One process does it at a time; another one takes over when that ends. */
void pictures_follow(struct page *page);

#endif
