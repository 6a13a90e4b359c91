#define _GNU_SOURCE /* fgetgrent */
#include "user.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 1024

static bool find(const char *name, uid_t uid, struct user *user) {
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *found = NULL;
    while (file != NULL && (found = fgetpwent(file)) != NULL)
        if (name != NULL ? strcmp(found->pw_name, name) == 0 : found->pw_uid == uid)
            break;
    if (found != NULL) {
        *user = (struct user){.uid = found->pw_uid, .gid = found->pw_gid};
        snprintf(user->name, sizeof user->name, "%s", found->pw_name);
        snprintf(user->home, sizeof user->home, "%s", found->pw_dir);
    }
    if (file != NULL)
        fclose(file);
    return found != NULL;
}

bool user_named(const char *name, struct user *user) {
    return find(name, 0, user);
}

bool user_with_id(uid_t uid, struct user *user) {
    if (find(NULL, uid, user))
        return true;
    *user = (struct user){.uid = uid, .gid = uid};
    snprintf(user->name, sizeof user->name, "user %lu", (unsigned long)uid);
    return false;
}

static size_t groups_of(const struct user *user, gid_t groups[GROUPS_MAX]) {
    size_t count = 0;
    FILE *file = fopen("/etc/group", "re");
    const struct group *group;
    groups[count++] = user->gid;
    while (file != NULL && count < GROUPS_MAX && (group = fgetgrent(file)) != NULL)
        for (char **member = group->gr_mem; *member != NULL; member++)
            if (strcmp(*member, user->name) == 0) {
                groups[count++] = group->gr_gid;
                break;
            }
    if (file != NULL)
        fclose(file);
    return count;
}

int user_become(const struct user *user) {
    static gid_t groups[GROUPS_MAX];
    if (setgroups(groups_of(user, groups), groups) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0)
        return -1;
    bool known = user->home[0] != '\0';
    if (known)
        return setenv("HOME", user->home, 1) | setenv("USER", user->name, 1) |
               setenv("LOGNAME", user->name, 1);
    return setenv("HOME", "/", 1) | unsetenv("USER") | unsetenv("LOGNAME");
}
