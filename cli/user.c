#include "user.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct passwd *find(const char *name, uid_t id) {
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *user = NULL;
    while (file != NULL && (user = fgetpwent(file)) != NULL)
        if (name != NULL ? strcmp(user->pw_name, name) == 0 : user->pw_uid == id)
            break;
    if (file != NULL)
        fclose(file);
    return user;
}

const struct passwd *user_named(const char *name) {
    return find(name, 0);
}

const struct passwd *user_with_id(uid_t id) {
    return find(NULL, id);
}
