/* The answers, one function a route; see route.c for the table. Each answers its request. */
#ifndef DOORPOST_ROUTES_H
#define DOORPOST_ROUTES_H

#include "exchange.h"

/* page.c, signin.c, link.c */
void route_page(struct exchange *exchange);     /* GET, no query */
void route_exchange(struct exchange *exchange); /* POST, no query: Ring's Token Exchange URL */
void route_account(struct exchange *exchange);  /* GET ?nonce=…&time=…: Ring's Account Link URL */
void route_link(struct exchange *exchange);
void route_login(struct exchange *exchange);
void route_logout(struct exchange *exchange);

/* devices.c, events.c, picture.c, live.c: for a signed-in user */
void route_devices(struct exchange *exchange);
void route_events(struct exchange *exchange);
void route_picture(struct exchange *exchange);
void route_live(struct exchange *exchange);     /* POST ?/live/DEVICE&id=… */
void route_live_end(struct exchange *exchange); /* DELETE ?/live/ID */

#endif
