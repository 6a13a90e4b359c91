/* The owner can move things into the journal, and root must not give away what was never in it. So what is
 * done is done to what is open: a directory that only root can write to, which nobody else can have moved
 * there; and a file of root's without other names that begins as Doorpost's files do. The index is rebuilt
 * from the journal, so its files are removed: that the owner could always do. */
#include "adopt.h"

#include "directory.h"
#include "options.h"
#include "regular.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX "seen"
#define LOOK 128   /* bytes: a slot of cursors/NAME.waiting */
#define RUNNING 21 /* the same of the first line of cursors/NAME.lock: how many commands run */

static const char *const rooms[] = {".", "cursors", "rejected", "damaged", INDEX};

struct search {
    uid_t owner;
    void (*visit)(struct search *search, const char *room, int directory, const char *name);
    unsigned found;
    /* of adopt_count() */
    char *first;
    size_t size;
    /* of adopt_all() */
    const struct user *user;
    const char *path;
    unsigned left;
};

/* In the journal's directory people keep other things too. */
static bool is_ours(const char *room, const char *name) {
    static const char *const names[] = {"lock", "pruned", "pruned.new", "counted", "counted.new"};
    int32_t day;
    if (room[0] != '.')
        return name[0] != '.';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strlen(name) == SEGMENT_NAME_SIZE - 1 && strcmp(name + DAY_SIZE - 1, ".jsonl") == 0 &&
           day_parse(name, DAY_SIZE - 1, &day) == 0;
}

static void look_at(struct search *search, const char *room, int directory, const char *name) {
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_uid != search->owner) {
        search->found++;
        search->visit(search, room, directory, name);
    }
}

/* A room that cannot be entered is told as a whole. */
static void search_room(struct search *search, int journal, const char *room) {
    const struct dirent *entry;
    if (room[0] != '.')
        look_at(search, ".", journal, room);
    int fd = openat(journal, room, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (is_ours(room, entry->d_name))
            look_at(search, room, dirfd(stream), entry->d_name);
    if (stream != NULL)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
}

static void search_all(struct search *search, int journal) {
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        search_room(search, journal, rooms[i]);
}

/* The start of a path: nothing for the journal's directory itself. */
static const char *prefix(const char *room) {
    return room[0] == '.' ? "" : room;
}

static void note_first(struct search *search, const char *room, int directory, const char *name) {
    (void)directory;
    if (search->found == 1)
        snprintf(search->first, search->size, "%s%s%s", prefix(room), room[0] == '.' ? "" : "/", name);
}

unsigned adopt_count(int journal, uid_t owner, char *first, size_t size) {
    struct search search = {.owner = owner, .visit = note_first, .first = first, .size = size};
    search_all(&search, journal);
    return search.found;
}

/* ---- giving ---- */

/* Does a file begin as one of Doorpost's? */
static bool begins_well(int fd) {
    static const char *const starts[] = {
        "{\"seq\":", "{\"received_at\":\"", "{\"day\":\"", "{\"through\":\"", "drop ", "retry "};
    char text[LOOK + 1] = "", day[DAY_SIZE];
    unsigned long number;
    ssize_t got = pread(fd, text, LOOK, 0);
    if (got >= 0 && strspn(text, " \n") == (size_t)got)
        return true; /* a lock; a spare; nobody waits */
    const char *note = text + RUNNING;
    if (got >= RUNNING && strspn(text, "0123456789 ") == RUNNING - 1 &&
        (*note == '\0' || strncmp(note, "program ", 8) == 0 || strncmp(note, "no program ", 11) == 0))
        return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(text, starts[i], strlen(starts[i])) == 0)
            return true;
    return sscanf(text, "[%18lu,\"%10[0-9-]\",", &number, day) == 2;
}

static bool give(const struct search *search, int fd) {
    return fd >= 0 && fchown(fd, search->user->uid, search->user->gid) == 0;
}

static bool give_directory(const struct search *search, int directory, const char *name) {
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == 0 &&
                (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 && give(search, fd);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool give_file(const struct search *search, int directory, const char *name) {
    struct stat status;
    int fd = regular_open(directory, name, O_RDONLY, NULL);
    bool good = fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == 0 && status.st_nlink == 1 &&
                begins_well(fd) && give(search, fd);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool is_room(const char *name) {
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (strcmp(name, rooms[i]) == 0)
            return true;
    return false;
}

static void adopt(struct search *search, const char *room, int directory, const char *name) {
    bool done = strcmp(room, INDEX) == 0          ? unlinkat(directory, name, 0) == 0
                : room[0] == '.' && is_room(name) ? give_directory(search, directory, name)
                                                  : give_file(search, directory, name);
    if (done)
        return;
    search->left++;
    problem("%s/%s%s%s does not belong to %s, and is not what root has made there: look what it is, and move "
            "it away",
            search->path, prefix(room), room[0] == '.' ? "" : "/", name, search->user->name);
}

int adopt_all(int journal, const struct user *owner, const char *path) {
    struct search search = {.owner = owner->uid, .visit = adopt, .user = owner, .path = path};
    search_all(&search, journal);
    if (search.found > search.left)
        printf("%u of the files in %s belong to %s now.\n", search.found - search.left, path, owner->name);
    return search.left == 0 ? STATUS_DONE : STATUS_PROBLEM;
}
