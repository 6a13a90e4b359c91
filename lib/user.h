/* Users of this machine, by /etc/passwd and /etc/group (passwd(5), group(5)): the users that web servers run
 * as are there. getpwnam(3) and initgroups(3) would also ask LDAP and the like, but through shared libraries
 * that a static program cannot count on. */
#ifndef DOORPOST_USER_H
#define DOORPOST_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct user {
    uid_t uid;
    gid_t gid; /* the user's own group */
    char name[64];
    char home[256]; /* "": not known */
};

/* Finds a user. Returns false if there is none; user_with_id() then gives it the name "user NUMBER", and as
 * its group the same number. */
bool user_named(const char *name, struct user *user);
bool user_with_id(uid_t uid, struct user *user);

/* Root goes on as that user for good, in all of that user's groups and no others, and with that user's HOME,
 * USER and LOGNAME. Returns 0, or -1 with errno. */
int user_become(const struct user *user);

#endif
