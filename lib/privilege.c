#include "privilege.h"

#include "trust.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int privilege_trust_settings(struct reason *reason) {
    char path[CONFIG_PATH_SIZE], directory[CONFIG_PATH_SIZE], name[CONFIG_PATH_SIZE];
    struct reason why = {""};
    if (geteuid() != 0)
        return 0;
    int found = config_find(path, reason);
    if (found < 0)
        return found;
    if (strcmp(path, "/dev/null") == 0 || trust_path(path, 0, &why) != ERROR_SYSTEM)
        return 0;
    if (access(path, F_OK) != 0 || trust_split(path, directory, name, sizeof name, NULL) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read the settings in %s: %s", path, strerror(errno));
    return FAIL(reason, ERROR_SYSTEM, "%s. If `doorpost init` created it, run doorpost init --repair %s",
                why.text, directory);
}

int privilege_trust_keys(const struct config *config, struct reason *reason) {
    if (geteuid() != 0 || trust_path(config->key_file, 0, reason) != ERROR_SYSTEM)
        return 0;
    return ERROR_SYSTEM;
}

static int find_owner(const char *directory, const char *what, struct user *owner, struct reason *reason) {
    struct stat status;
    *owner = (struct user){.uid = geteuid(), .gid = getegid()};
    if (geteuid() != 0)
        return 0;
    if (stat(directory, &status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot open the %s %s: %s", what, directory, strerror(errno));
    if (!user_with_id(status.st_uid, owner))
        owner->gid = status.st_gid;
    return trust_path(directory, status.st_uid, reason) != 0 ? ERROR_SYSTEM : 0;
}

static int become_owner(const char *directory, const struct user *owner, struct reason *reason) {
    if (geteuid() != 0 || owner->uid == 0)
        return 0;
    if (user_become(owner) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot switch to %s, the owner of %s: %s", owner->name, directory,
                    strerror(errno));
    if (access(directory, X_OK) != 0)
        return FAIL(reason, ERROR_SYSTEM,
                    "cannot open %s as its owner, %s: %s (if it is a copy for root alone: chown -R root it)",
                    directory, owner->name, strerror(errno));
    return 0;
}

int privilege_find_owner(const struct config *config, struct user *owner, struct reason *reason) {
    return find_owner(config->journal, "journal directory", owner, reason);
}

int privilege_become_owner(const struct config *config, const struct user *owner, struct reason *reason) {
    return become_owner(config->journal, owner, reason);
}

int privilege_drop(const struct config *config, struct reason *reason) {
    struct user owner;
    int result = privilege_find_owner(config, &owner, reason);
    return result == 0 ? privilege_become_owner(config, &owner, reason) : result;
}

int privilege_drop_for_door(const struct config *config, struct reason *reason) {
    struct user owner;
    int result = find_owner(config->door, "door page's directory", &owner, reason);
    return result == 0 ? become_owner(config->door, &owner, reason) : result;
}
