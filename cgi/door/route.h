/* Which function answers a request, and who may ask it. */
#ifndef DOORPOST_ROUTE_H
#define DOORPOST_ROUTE_H

#include "exchange.h"

/* Answers one request. `gateway` as in struct exchange. */
void route_serve(struct page *page, void *gateway);

/* Returns true if the request is not one that another site's page caused: Sec-Fetch-Site is same-origin, or,
 * from a browser that does not send it, Origin is this site. */
bool route_is_ours(const struct exchange *exchange);

#endif
