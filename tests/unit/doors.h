/* A directory of the door page, with a client file, for unit tests; and a fake curl (fake_curl.h). */
#ifndef DOORPOST_TESTS_DOORS_H
#define DOORPOST_TESTS_DOORS_H

#include "account.h"
#include "fake_curl.h"

/* Creates DIRECTORY/door and DIRECTORY/client, and opens the door. */
void make_door(const char *directory, struct config *config, struct door *door);

/* Saves an account whose tokens are `age` seconds old and expire in `life` seconds. Its tokens are access-1
 * and refresh-1. The caller frees it. */
struct account *make_account(const struct door *door, const char *id, int64_t age, int64_t life);

/* The answer of Ring's token server with access-N and refresh-N. */
const char *tokens(int n);

#endif
