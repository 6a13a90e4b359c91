/* Users of this machine, by /etc/passwd (passwd(5)): the users that web servers run as are there. getpwnam(3)
 * would also ask LDAP and the like, but through shared libraries that a static program cannot count on. */
#ifndef DOORPOST_USER_H
#define DOORPOST_USER_H

#include <pwd.h>

/* NULL where there is none. What they return holds until the next call. */
const struct passwd *user_named(const char *name);
const struct passwd *user_with_id(uid_t id);

#endif
