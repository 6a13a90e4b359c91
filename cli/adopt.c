/* The owner can move other files into the journal, and root must not give those away. So all checks and
 * changes use an open descriptor, and only two kinds are changed: a directory of root's that only root can
 * write to, which nobody else can have moved there; and a file of root's with one link that begins as
 * Doorpost's files do. Index files are deleted, which the owner could always do: the index is rebuilt from
 * the journal. */
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
#define START_SIZE 128    /* bytes: a slot of cursors/NAME.waiting */
#define LOCK_LINE_SIZE 21 /* bytes: the command count that begins cursors/NAME.lock */

static const char *const subdirectories[] = {".", "cursors", "rejected", "damaged", INDEX};

struct search {
    uid_t owner;
    void (*visit)(struct search *search, const char *subdirectory, int directory, const char *name);
    unsigned found;
    /* for adopt_count() */
    char *first;
    size_t size;
    /* for adopt_all() */
    const struct user *user;
    const char *path;
    unsigned left;
};

/* Returns true if the name is one of Doorpost's: people keep other files in the journal's directory too. */
static bool is_ours(const char *subdirectory, const char *name) {
    static const char *const names[] = {"lock", "pruned", "pruned.new", "counted", "counted.new"};
    int32_t day;
    if (subdirectory[0] != '.')
        return name[0] != '.';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strlen(name) == SEGMENT_NAME_SIZE - 1 && strcmp(name + DAY_SIZE - 1, ".jsonl") == 0 &&
           day_parse(name, DAY_SIZE - 1, &day) == 0;
}

static void check_owner(struct search *search, const char *subdirectory, int directory, const char *name) {
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_uid != search->owner) {
        search->found++;
        search->visit(search, subdirectory, directory, name);
    }
}

/* A subdirectory that cannot be opened is reported as a whole. */
static void search_subdirectory(struct search *search, int journal, const char *subdirectory) {
    const struct dirent *entry;
    if (subdirectory[0] != '.')
        check_owner(search, ".", journal, subdirectory);
    int fd = openat(journal, subdirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    while (stream != NULL && (entry = readdir(stream)) != NULL)
        if (is_ours(subdirectory, entry->d_name))
            check_owner(search, subdirectory, dirfd(stream), entry->d_name);
    if (stream != NULL)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
}

static void search_all(struct search *search, int journal) {
    for (size_t i = 0; i < sizeof subdirectories / sizeof *subdirectories; i++)
        search_subdirectory(search, journal, subdirectories[i]);
}

/* Returns a path's first part: "" for the journal's directory itself. */
static const char *prefix(const char *subdirectory) {
    return subdirectory[0] == '.' ? "" : subdirectory;
}

static void note_first(struct search *search, const char *subdirectory, int directory, const char *name) {
    (void)directory;
    if (search->found == 1)
        snprintf(search->first, search->size, "%s%s%s", prefix(subdirectory),
                 subdirectory[0] == '.' ? "" : "/", name);
}

unsigned adopt_count(int journal, uid_t owner, char *first, size_t size) {
    struct search search = {.owner = owner, .visit = note_first, .first = first, .size = size};
    search_all(&search, journal);
    return search.found;
}

/* ---- changing ownership ---- */

/* Returns true if the file begins as one of Doorpost's. */
static bool begins_as_ours(int fd) {
    static const char *const starts[] = {
        "{\"seq\":", "{\"received_at\":\"", "{\"day\":\"", "{\"through\":\"", "drop ", "retry "};
    char text[START_SIZE + 1] = "", day[DAY_SIZE];
    unsigned long number;
    ssize_t got = pread(fd, text, START_SIZE, 0);
    if (got >= 0 && strspn(text, " \n") == (size_t)got)
        return true; /* a lock, a reserved file, or an empty waiting list */
    const char *note = text + LOCK_LINE_SIZE;
    if (got >= LOCK_LINE_SIZE && strspn(text, "0123456789 ") == LOCK_LINE_SIZE - 1 &&
        (*note == '\0' || strncmp(note, "program ", 8) == 0 || strncmp(note, "no program ", 11) == 0))
        return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(text, starts[i], strlen(starts[i])) == 0)
            return true;
    return sscanf(text, "[%18lu,\"%10[0-9-]\",", &number, day) == 2;
}

static bool change_owner(const struct search *search, int fd) {
    return fd >= 0 && fchown(fd, search->user->uid, search->user->gid) == 0;
}

static bool change_directory_owner(const struct search *search, int directory, const char *name) {
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool given = fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == 0 &&
                 (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 && change_owner(search, fd);
    if (fd >= 0)
        close(fd);
    return given;
}

static bool change_file_owner(const struct search *search, int directory, const char *name) {
    struct stat status;
    int fd = regular_open(directory, name, O_RDONLY, NULL);
    bool given = fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == 0 && status.st_nlink == 1 &&
                 begins_as_ours(fd) && change_owner(search, fd);
    if (fd >= 0)
        close(fd);
    return given;
}

static bool is_subdirectory(const char *name) {
    for (size_t i = 0; i < sizeof subdirectories / sizeof *subdirectories; i++)
        if (strcmp(name, subdirectories[i]) == 0)
            return true;
    return false;
}

static void adopt_file(struct search *search, const char *subdirectory, int directory, const char *name) {
    bool done = strcmp(subdirectory, INDEX) == 0 ? unlinkat(directory, name, 0) == 0
                : subdirectory[0] == '.' && is_subdirectory(name)
                    ? change_directory_owner(search, directory, name)
                    : change_file_owner(search, directory, name);
    if (done)
        return;
    search->left++;
    problem("%s/%s%s%s does not belong to %s and was not created there by root: examine it, and move it away",
            search->path, prefix(subdirectory), subdirectory[0] == '.' ? "" : "/", name, search->user->name);
}

int adopt_all(int journal, const struct user *owner, const char *path) {
    struct search search = {.owner = owner->uid, .visit = adopt_file, .user = owner, .path = path};
    search_all(&search, journal);
    if (search.found > search.left)
        printf("Changed the owner of %u files in %s to %s.\n", search.found - search.left, path, owner->name);
    return search.left == 0 ? STATUS_DONE : STATUS_PROBLEM;
}
