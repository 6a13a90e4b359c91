/* Reads group(5) itself: getgrgid(3) needs shared libraries, which a static program does not have. */
#include "permission.h"

#include "config.h"
#include "user.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Finds the nearest path component that this user may examine, starting from the path itself: that one denies
 * access. */
static bool find_closed(const char *path, struct stat *status) {
    char nearest[CONFIG_PATH_SIZE];
    snprintf(nearest, sizeof nearest, "%s", path);
    while (stat(nearest, status) != 0) {
        char *slash = strrchr(nearest, '/');
        if (errno != EACCES || slash == NULL || slash == nearest)
            return false;
        *slash = '\0';
    }
    return true;
}

static size_t add_user(uid_t id, char *out, size_t size) {
    struct user user;
    return user_with_id(id, &user) ? (size_t)snprintf(out, size, ", or as %s", user.name) : 0;
}

static void add_group(gid_t id, char *out, size_t size) {
    FILE *file = fopen("/etc/group", "re");
    const struct group *group = NULL;
    while (file != NULL && (group = fgetgrent(file)) != NULL && group->gr_gid != id)
        continue;
    if (group != NULL)
        snprintf(out, size, ", or as a member of group %.64s", group->gr_name);
    if (file != NULL)
        fclose(file);
}

const char *permission_hint(const char *path, char out[HINT_SIZE]) {
    struct stat status;
    out[0] = '\0';
    if (access(path, R_OK) == 0 || errno != EACCES || !find_closed(path, &status))
        return out;
    size_t used = (size_t)snprintf(out, HINT_SIZE, " (run this with sudo");
    if (status.st_uid != 0)
        used += add_user(status.st_uid, out + used, HINT_SIZE - used);
    if (status.st_gid != 0 && (status.st_mode & (S_ISDIR(status.st_mode) ? S_IXGRP : S_IRGRP)) != 0)
        add_group(status.st_gid, out + used, HINT_SIZE - used);
    strncat(out, ")", HINT_SIZE - 1 - strlen(out));
    return out;
}
