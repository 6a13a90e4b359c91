/* Which web servers may connect to a FastCGI worker. */
#ifndef DOORPOST_PEER_H
#define DOORPOST_PEER_H

#include <stdbool.h>
#include <sys/socket.h>

#define PEER_ADDRESSES "FCGI_WEB_SERVER_ADDRS"

/* FastCGI 1.0, section 3.2: if the variable is set, only these addresses may connect, and no peer without an
 * address. */
bool peer_is_allowed(const struct sockaddr_storage *peer);

#endif
