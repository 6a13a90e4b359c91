/* The walk goes from / down, a name at a time, and puts what a link says in front of what is left. Each step
 * is taken in a directory that was found closed to others, so what was looked at stays as it was. In a
 * directory that everybody may write to and that is sticky, as /tmp, only the owner of an entry can change
 * that entry. */
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

struct way {
    char done[PATH_MAX]; /* "" is / */
    char left[2 * PATH_MAX];
    int links;
    struct user owner;
    struct stat status; /* of what is at the end of `done` */
    bool has_acl;       /* it lets others write than its group: then the bits of the group are the most */
};

static int too_long(const char *path, struct reason *reason) {
    return FAIL(reason, ERROR_SYSTEM, "cannot examine %.100s...: %s", path, strerror(ENAMETOOLONG));
}

/* May a user other than root and `owner` write there? */
static bool is_open(const struct way *way) {
    return (way->status.st_mode & S_IWOTH) != 0 ||
           ((way->status.st_mode & S_IWGRP) != 0 &&
            (way->has_acl ||
             (way->status.st_gid != 0 && (way->owner.uid == 0 || way->status.st_gid != way->owner.gid))));
}

/* Looks at what is at the end of `done`. Returns 0, or -1 with errno; then `status` stays that of the
 * directory. */
static int look(struct way *way) {
    const char *path = way->done[0] != '\0' ? way->done : "/";
    struct stat status;
    if (lstat(path, &status) != 0)
        return -1;
    way->status = status;
    way->has_acl = (status.st_mode & S_IWGRP) != 0 && lgetxattr(path, "system.posix_acl_access", NULL, 0) > 0;
    return 0;
}

static int check_owner(const struct way *way, struct reason *reason) {
    struct user user;
    if (way->status.st_uid == 0 || way->status.st_uid == way->owner.uid)
        return 0;
    user_with_id(way->status.st_uid, &user);
    return FAIL(
        reason, ERROR_SYSTEM,
        "%s belongs to %s, and root trusts nothing that another user can change: chown %s it, or run this "
        "as %s",
        way->done, user.name, way->owner.name, user.name);
}

static int check_mode(const struct way *way, struct reason *reason) {
    if (!is_open(way))
        return 0;
    return FAIL(reason, ERROR_SYSTEM,
                "%s can write to %s, and root trusts nothing that another user can change: chmod %s it",
                (way->status.st_mode & S_IWOTH) != 0 ? "everybody" : "a group", way->done,
                (way->status.st_mode & S_IWOTH) != 0 ? "go-w" : "g-w");
}

/* What the link at the end of `done` says comes before what is left. */
static int follow(struct way *way, struct reason *reason) {
    char target[PATH_MAX], left[2 * PATH_MAX];
    ssize_t length = readlink(way->done, target, sizeof target - 1);
    if (length < 0 || ++way->links > LINKS_MAX)
        return FAIL(reason, ERROR_SYSTEM, "cannot examine %s: %s", way->done,
                    strerror(length < 0 ? errno : ELOOP));
    target[length] = '\0';
    if (snprintf(left, sizeof left, "%s/%s", target, way->left) >= (int)sizeof left)
        return too_long(way->done, reason);
    memcpy(way->left, left, sizeof left);
    if (target[0] == '/')
        way->done[0] = '\0';
    else
        *strrchr(way->done, '/') = '\0';
    return 0;
}

/* Takes the next name from `left` to `done`. Returns 1, or 0 at the end. */
static int step(struct way *way, struct reason *reason) {
    char *name = way->left + strspn(way->left, "/");
    size_t length = strcspn(name, "/"), used = strlen(way->done);
    if (length == 0)
        return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        char *slash = strrchr(way->done, '/');
        if (slash != NULL)
            *slash = '\0';
    } else if (length != 1 || name[0] != '.') {
        if (used + length + 2 > sizeof way->done)
            return too_long(way->done, reason);
        way->done[used] = '/';
        memcpy(way->done + used + 1, name, length);
        way->done[used + 1 + length] = '\0';
    }
    memmove(way->left, name + length, strlen(name + length) + 1);
    return 1;
}

static int missing(const struct way *way, struct reason *reason) {
    if (errno == ENOENT && is_open(way)) /* way->status is that of the directory */
        return FAIL(
            reason, ERROR_SYSTEM,
            "there is no %s, and other users could make it: choose a directory that root alone can write to",
            way->done);
    if (errno == ENOENT)
        return FAIL(reason, ERROR_INVALID, "there is no %s", way->done);
    return FAIL(reason, ERROR_SYSTEM, "cannot examine %s: %s", way->done, strerror(errno));
}

static int walk(struct way *way, struct reason *reason) {
    for (;;) {
        if (look(way) != 0)
            return missing(way, reason);
        int result = check_owner(way, reason);
        if (result != 0)
            return result;
        if (S_ISLNK(way->status.st_mode)) {
            result = follow(way, reason);
            if (result != 0)
                return result;
            continue;
        }
        bool last = way->left[strspn(way->left, "/")] == '\0';
        if (last || (way->status.st_mode & S_ISVTX) == 0)
            result = check_mode(way, reason);
        if (result == 0)
            result = step(way, reason);
        if (result <= 0)
            return result;
    }
}

int trust_path(const char *path, uid_t owner, struct reason *reason) {
    static struct way way;
    char here[PATH_MAX] = "";
    way = (struct way){.links = 0};
    user_with_id(owner, &way.owner);
    if ((path[0] != '/' && getcwd(here, sizeof here) == NULL) ||
        snprintf(way.left, sizeof way.left, "%s/%s", here, path) >= (int)sizeof way.left)
        return too_long(path, reason);
    return walk(&way, reason);
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
        return FAIL(reason, ERROR_SYSTEM, "%s ends in no name", path);
    while (start > 1 && path[start - 1] == '/')
        start--;
    snprintf(directory, size, "%.*s", (int)(start > 0 ? start : 1), start > 0 ? path : ".");
    return 0;
}
