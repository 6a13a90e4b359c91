#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

bool peer_is_allowed(const struct sockaddr_storage *peer) {
    const char *list = getenv(PEER_ADDRESSES);
    const void *address = peer->ss_family == AF_INET
                              ? (const void *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr
                          : peer->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr
                              : NULL;
    if (list == NULL)
        return true;
    while (address != NULL && *list != '\0') {
        char text[INET6_ADDRSTRLEN] = "";
        unsigned char one[sizeof(struct in6_addr)];
        size_t length = strcspn(list, ", ");
        if (length > 0 && length < sizeof text) {
            memcpy(text, list, length);
            if (inet_pton(peer->ss_family, text, one) == 1 &&
                memcmp(one, address, peer->ss_family == AF_INET ? sizeof(struct in_addr) : sizeof one) == 0)
                return true;
        }
        list += length + (list[length] != '\0');
    }
    return false;
}
