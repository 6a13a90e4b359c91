/* Resolves the path from / down, one name at a time; the target of a symbolic link is prepended to the
 * remaining names. Each step is taken in a directory already found closed to others, so what was checked
 * cannot change. In a sticky directory that everybody can write to, such as /tmp, only the owner of an
 * entry can change it. */
#include "trust.h"

#include "user.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINKS_MAX 40

struct resolver {
    char resolved[PATH_MAX]; /* "" is / */
    char remaining[2 * PATH_MAX];
    int links;
    struct user owner;
    struct stat status; /* of the file at `resolved` */
    bool has_acl;       /* it may let others than the group write: the group bits are only the mask */
};

static int too_long(const char *path, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "cannot resolve %.100s...: %s", path, strerror(ENAMETOOLONG));
}

/* Returns true if a user other than root and `owner` can write there. */
static bool others_can_write(const struct resolver *resolver) {
    return (resolver->status.st_mode & S_IWOTH) != 0 ||
           ((resolver->status.st_mode & S_IWGRP) != 0 &&
            (resolver->has_acl ||
             (resolver->status.st_gid != 0 &&
              (resolver->owner.uid == 0 || resolver->status.st_gid != resolver->owner.gid))));
}

/* Examines the file at `resolved`. Returns 0, or -1 with errno; `status` then remains that of the
 * directory. */
static int examine(struct resolver *resolver) {
    const char *path = resolver->resolved[0] != '\0' ? resolver->resolved : "/";
    struct stat status;
    if (lstat(path, &status) != 0)
        return -1;
    resolver->status = status;
    resolver->has_acl =
        (status.st_mode & S_IWGRP) != 0 && lgetxattr(path, "system.posix_acl_access", NULL, 0) > 0;
    return 0;
}

static int check_owner(const struct resolver *resolver, struct reason *reason) {
    struct user user;
    if (resolver->status.st_uid == 0 || resolver->status.st_uid == resolver->owner.uid)
        return 0;
    user_with_id(resolver->status.st_uid, &user);
    return FAIL(reason, ERROR_SYSTEM,
                "%s is owned by %s, and root trusts nothing that another user can change: chown %s it, or "
                "run this as %s",
                resolver->resolved, user.name, resolver->owner.name, user.name);
}

static int check_mode(const struct resolver *resolver, struct reason *reason) {
    if (!others_can_write(resolver))
        return 0;
    return FAIL(reason, ERROR_SYSTEM,
                "%s can write to %s, and root trusts nothing that another user can change: chmod %s it",
                (resolver->status.st_mode & S_IWOTH) != 0 ? "everyone" : "a group", resolver->resolved,
                (resolver->status.st_mode & S_IWOTH) != 0 ? "go-w" : "g-w");
}

/* Prepends the target of the link at `resolved` to the remaining names. */
static int follow(struct resolver *resolver, struct reason *reason) {
    char target[PATH_MAX], joined[2 * PATH_MAX];
    ssize_t length = readlink(resolver->resolved, target, sizeof target - 1);
    if (length < 0 || ++resolver->links > LINKS_MAX)
        return FAIL(reason, ERROR_SYSTEM, "cannot resolve %s: %s", resolver->resolved,
                    strerror(length < 0 ? errno : ELOOP));
    target[length] = '\0';
    if (snprintf(joined, sizeof joined, "%s/%s", target, resolver->remaining) >= (int)sizeof joined)
        return too_long(resolver->resolved, reason);
    memcpy(resolver->remaining, joined, sizeof joined);
    if (target[0] == '/')
        resolver->resolved[0] = '\0';
    else
        *strrchr(resolver->resolved, '/') = '\0';
    return 0;
}

/* Moves the next name from `remaining` to `resolved`. Returns 1, or 0 at the end. */
static int step(struct resolver *resolver, struct reason *reason) {
    char *name = resolver->remaining + strspn(resolver->remaining, "/");
    size_t length = strcspn(name, "/"), used = strlen(resolver->resolved);
    if (length == 0)
        return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        char *slash = strrchr(resolver->resolved, '/');
        if (slash != NULL)
            *slash = '\0';
    } else if (length != 1 || name[0] != '.') {
        if (used + length + 2 > sizeof resolver->resolved)
            return too_long(resolver->resolved, reason);
        resolver->resolved[used] = '/';
        memcpy(resolver->resolved + used + 1, name, length);
        resolver->resolved[used + 1 + length] = '\0';
    }
    memmove(resolver->remaining, name + length, strlen(name + length) + 1);
    return 1;
}

static int explain_missing(const struct resolver *resolver, struct reason *reason) {
    if (errno == ENOENT && others_can_write(resolver)) /* status is that of the directory */
        return FAIL(reason, ERROR_SYSTEM,
                    "%s does not exist, and other users could create it: choose a directory that only root "
                    "can write to",
                    resolver->resolved);
    if (errno == ENOENT)
        return FAIL(reason, ERROR_INVALID, "%s does not exist", resolver->resolved);
    return FAIL(reason, ERROR_SYSTEM, "cannot resolve %s: %s", resolver->resolved, strerror(errno));
}

static int resolve(struct resolver *resolver, struct reason *reason) {
    for (;;) {
        if (examine(resolver) != 0)
            return explain_missing(resolver, reason);
        int result = check_owner(resolver, reason);
        if (result != 0)
            return result;
        if (S_ISLNK(resolver->status.st_mode)) {
            result = follow(resolver, reason);
            if (result != 0)
                return result;
            continue;
        }
        bool last = resolver->remaining[strspn(resolver->remaining, "/")] == '\0';
        if (last || (resolver->status.st_mode & S_ISVTX) == 0)
            result = check_mode(resolver, reason);
        if (result == 0)
            result = step(resolver, reason);
        if (result <= 0)
            return result;
    }
}

int trust_path(const char *path, uid_t owner, struct reason *reason) {
    static struct resolver resolver;
    char here[PATH_MAX] = "";
    resolver = (struct resolver){.links = 0};
    user_with_id(owner, &resolver.owner);
    if ((path[0] != '/' && getcwd(here, sizeof here) == NULL) ||
        snprintf(resolver.remaining, sizeof resolver.remaining, "%s/%s", here, path) >=
            (int)sizeof resolver.remaining)
        return too_long(path, reason);
    return resolve(&resolver, reason);
}

int trust_split(const char *path, char *directory, char *name, size_t size, struct reason *reason) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (length >= size)
        return too_long(path, reason);
    snprintf(name, size, "%.*s", (int)(length - start), path + start);
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FAIL(reason, ERROR_SYSTEM, "%s does not end in a name", path);
    while (start > 1 && path[start - 1] == '/')
        start--;
    snprintf(directory, size, "%.*s", (int)(start > 0 ? start : 1), start > 0 ? path : ".");
    return 0;
}
