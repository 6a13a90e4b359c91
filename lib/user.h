/* Users of this machine, from /etc/passwd and /etc/group (passwd(5), group(5)), which list the users that
 * web servers run as. getpwnam(3) and initgroups(3) would also ask LDAP and the like, but through shared
 * libraries that a static program cannot rely on. */
#ifndef DOORPOST_USER_H
#define DOORPOST_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct user {
    uid_t uid;
    gid_t gid; /* the user's own group */
    char name[64];
    char home[256]; /* "": unknown */
};

/* Find a user. Return false if there is none; user_with_id() then sets the name to "user NUMBER" and the
 * group to the same number. */
bool user_named(const char *name, struct user *user);
bool user_with_id(uid_t uid, struct user *user);

/* Switches root to that user permanently, with exactly that user's groups and with that user's HOME, USER
 * and LOGNAME. Returns 0, or -1 with errno. */
int user_become(const struct user *user);

#endif
