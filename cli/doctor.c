/* doorpost doctor: checks everything that a delivery needs, in that order, and says what to do about each
 * finding. A check that an earlier finding makes impossible is skipped. */
#include "account.h"
#include "adopt.h"
#include "api.h"
#include "audit.h"
#include "command.h"
#include "cursor.h"
#include "delivery.h"
#include "directory.h"
#include "failures.h"
#include "forward_note.h"
#include "keys.h"
#include "log_location.h"
#include "mounts.h"
#include "permission.h"
#include "privilege.h"
#include "processes.h"
#include "prune.h"
#include "rejected.h"
#include "ring.h"
#include "runner_note.h"
#include "sample.h"
#include "segment.h"
#include "settings.h"
#include "signature.h"
#include "tail.h"
#include "terminal.h"
#include "user.h"
#include "verbs.h"

#include "event.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_TIMEOUT (4 * SECOND)
#define SPACE_LEAST (64 << 20)        /* bytes */
#define START_TRIES 50                /* a tenth of a second each, while a web server starts */
#define SYNC_SLOW (SECOND / 2)        /* microseconds */
#define YEAR_2025 INT64_C(1735689600) /* seconds; an earlier clock must be wrong */
#define FAILING_LONG 120              /* seconds */
#define NFS_MAGIC 0x6969

enum level { LEVEL_GOOD, LEVEL_NOTE, LEVEL_WARNING, LEVEL_PROBLEM };

struct options {
    struct settings settings;
    const char *url, *user;
    bool json;
};

struct doctor {
    struct config config;
    struct directory directory;
    struct keys *keys;
    bool keys_good;
    const char *url, *user;
    bool json;
    struct json_object *report;
    char log[LOG_LOCATION_SIZE];
    unsigned problems;
};

__attribute__((format(printf, 4, 5))) static void tell(struct doctor *doctor, enum level level,
                                                       const char *check, const char *format, ...) {
    static const struct {
        const char *word;
        enum colour colour;
    } levels[] = {[LEVEL_GOOD] = {"ok", COLOUR_GOOD},
                  [LEVEL_NOTE] = {"note", COLOUR_NAME},
                  [LEVEL_WARNING] = {"warning", COLOUR_WARNING},
                  [LEVEL_PROBLEM] = {"problem", COLOUR_BAD}};
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    doctor->problems += level == LEVEL_PROBLEM;
    if (doctor->json) {
        struct json_object *one = json_object_new_object();
        json_object_object_add(one, "check", json_object_new_string(check));
        json_object_object_add(one, "level", json_object_new_string(levels[level].word));
        json_object_object_add(one, "text", json_object_new_string(text));
        json_object_array_add(doctor->report, one);
    } else {
        printf("%s%-8s%s %-11s ", colour(levels[level].colour), levels[level].word, colour(COLOUR_NONE),
               check);
        print_visibly(stdout, text, strlen(text));
        putchar('\n');
    }
}

/* ---- settings and keys ---- */

static bool check_settings(struct doctor *doctor, const struct settings *settings) {
    struct reason reason;
    if (settings_read(settings, NEED_JOURNAL | NEED_KEYS, &doctor->config, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "settings", "%s", reason.text);
        return false;
    }
    if (reason.text[0] != '\0')
        tell(doctor, LEVEL_WARNING, "settings", "%s; using the command line only", reason.text);
    if (doctor->config.warning.text[0] != '\0')
        tell(doctor, LEVEL_WARNING, "settings", "%s", doctor->config.warning.text);
    tell(doctor, LEVEL_GOOD, "settings", "key file %s, journal %s", doctor->config.key_file,
         doctor->config.journal);
    if (doctor->config.max_age > 0 && doctor->config.max_age < RING_LATEST_SECONDS)
        tell(doctor, LEVEL_WARNING, "settings",
             "DOORPOST_MAX_AGE is less than %d hours, but Ring delivers up to %d hours late: such events "
             "would be rejected permanently. Set it to %dd or more, but not longer than prune keeps",
             RING_LATEST_HOURS, RING_LATEST_HOURS, RING_LATEST_DAYS);
    return true;
}

/* Returns the command that repairs ownership, if `init` created the settings. */
static const char *repair(const struct doctor *doctor) {
    static char command[CONFIG_PATH_SIZE + 64];
    const char *slash = strrchr(doctor->config.file, '/');
    snprintf(command, sizeof command, "doorpost init --repair %.*s",
             slash != NULL ? (int)(slash - doctor->config.file) : 9,
             slash != NULL ? doctor->config.file : "DIRECTORY");
    return command;
}

static bool check_keys(struct doctor *doctor) {
    struct reason reason = {"out of memory"};
    struct stat status;
    char hint[HINT_SIZE];
    if (privilege_trust_keys(&doctor->config, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "keys", "%s. If it is in the directory of the settings, run: %s",
             reason.text, repair(doctor));
        return false;
    }
    doctor->keys = keys_alloc();
    if (doctor->keys == NULL || keys_load(doctor->keys, doctor->config.key_file, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "keys", "%s%s", reason.text,
             permission_hint(doctor->config.key_file, hint));
        return false;
    }
    if (keys_repeated(doctor->keys) > 0)
        tell(doctor, LEVEL_WARNING, "keys", "line %d of %s repeats a key: remove it",
             keys_repeated(doctor->keys), doctor->config.key_file);
    if (stat(doctor->config.key_file, &status) == 0 && (status.st_mode & (S_IRWXG & ~(mode_t)S_IRGRP)) != 0)
        tell(doctor, LEVEL_WARNING, "keys", "%s is writable by its group: chmod g-w it",
             doctor->config.key_file);
    bool decoded = false;
    for (size_t i = 0; i < keys_count(doctor->keys); i++)
        decoded |= keys_reading(doctor->keys, i) == READING_BASE64;
    tell(doctor, LEVEL_GOOD, "keys", "%zu %s, tried as text%s", keys_count(doctor->keys),
         keys_count(doctor->keys) == 1 ? "reading" : "readings", decoded ? " and base64-decoded" : "");
    if (!decoded)
        tell(doctor, LEVEL_NOTE, "keys",
             "no key is base64, as Ring's keys are: check that it was pasted completely, without quotation "
             "marks or a name");
    return true;
}

/* ---- directory and file system ---- */

/* Checks, as the user (or as the worker, if not 0) in a child process, access to settings, key file and
 * journal. Creates no file. Returns 0, or what is inaccessible: 3 settings, 2 key file, 1 journal; 4: not
 * tested. */
static int try_as(const struct doctor *doctor, const struct user *user, pid_t worker) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char name[CONFIG_PATH_SIZE + 32];
        snprintf(name, sizeof name, "%s/lock", doctor->config.journal);
        if ((worker != 0 ? processes_become(worker) : user_become(user)) != 0)
            _exit(4);
        if (doctor->config.file[0] != '\0' && access(doctor->config.file, R_OK) != 0)
            _exit(3);
        if (doctor->keys_good && access(doctor->config.key_file, R_OK) != 0)
            _exit(2);
        _exit(access(doctor->config.journal, R_OK | W_OK | X_OK) == 0 &&
                      (access(name, R_OK | W_OK) == 0 || errno == ENOENT)
                  ? 0
                  : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 4;
    return WEXITSTATUS(status);
}

/* Finds the user that the worker runs as: --user, else that of a running worker, else the journal's owner.
 * Returns the worker's pid, or 0 if none was found. */
static pid_t find_worker(struct doctor *doctor, const struct user *owner, struct user *user) {
    *user = *owner;
    if (doctor->user != NULL) {
        user_named(doctor->user, user);
        return 0;
    }
    pid_t worker = processes_find_worker(&doctor->config, user);
    if (worker != 0 && user->uid != 0)
        return worker;
    if (processes_find_server(user) != 0 && user->uid != owner->uid)
        tell(doctor, LEVEL_NOTE, "directory",
             "the web server runs as %s, but the journal belongs to %s: if the web server starts "
             "doorpost.cgi itself, use --user %s",
             user->name, owner->name, user->name);
    *user = *owner;
    return 0;
}

static void check_worker(struct doctor *doctor, const struct user *owner) {
    struct user user;
    pid_t worker = find_worker(doctor, owner, &user);
    if (doctor->user == NULL && user.uid == 0) {
        tell(doctor, LEVEL_WARNING, "directory",
             "the journal belongs to root, but web servers do not run as root: chown it to the web server's "
             "user, and test it with --user");
        return;
    }
    const char *name = user.name;
    switch (try_as(doctor, &user, worker)) {
    case 0:
        tell(doctor, LEVEL_GOOD, "directory",
             "%s can write to the journal, and read the settings and the key", name);
        break;
    case 1:
        if (user.uid == owner->uid)
            tell(doctor, LEVEL_PROBLEM, "directory",
                 "the user %s cannot write to the journal: chmod 700 %s, and run %s", name,
                 doctor->config.journal, repair(doctor));
        else
            tell(doctor, LEVEL_PROBLEM, "directory",
                 "the user %s cannot write to the journal: chown -hR %s %s", name, name,
                 doctor->config.journal);
        break;
    case 2:
        tell(doctor, LEVEL_PROBLEM, "directory",
             "the user %s cannot read the key file: chgrp %s to a group of that user, and chmod 640 it", name,
             doctor->config.key_file);
        break;
    case 3:
        tell(doctor, LEVEL_PROBLEM, "directory",
             "the user %s cannot read the settings: chgrp %s and its directory to a group of that user, and "
             "chmod 640 and 750 them",
             name, doctor->config.file);
        break;
    default:
        tell(doctor, LEVEL_PROBLEM, "directory", "cannot test whether the user %s can write to the journal",
             name);
    }
}

/* Reports files that do not belong to the journal's owner: the handler may run as that user and cannot open
 * them. */
static void check_owners(struct doctor *doctor, uid_t owner) {
    char first[128];
    struct user user;
    unsigned count = adopt_count(doctor->directory.fd, owner, first, sizeof first);
    user_with_id(owner, &user);
    if (count > 0)
        tell(doctor, LEVEL_PROBLEM, "directory",
             "%u files in the journal, such as %s, do not belong to its owner, %s: run %s", count, first,
             user.name, repair(doctor));
}

static bool check_directory(struct doctor *doctor) {
    struct reason reason = {""};
    struct stat status;
    struct statvfs space;
    char hint[HINT_SIZE];
    directory_start(&doctor->directory, doctor->config.journal);
    if (directory_open(&doctor->directory, &reason) != 0) {
        permission_hint(doctor->config.journal, hint);
        tell(doctor, LEVEL_PROBLEM, "directory", "%s%s", reason.text,
             hint[0] != '\0'                             ? hint
             : access(doctor->config.journal, F_OK) != 0 ? " (create it with `doorpost init`)"
                                                         : "");
        return false;
    }
    if (fstat(doctor->directory.fd, &status) == 0) {
        if ((status.st_mode & S_IWOTH) != 0)
            tell(doctor, LEVEL_PROBLEM, "directory", "%s is writable by all users: chmod 700 it",
                 doctor->config.journal);
        else if ((status.st_mode & (S_IROTH | S_IXOTH)) != 0)
            tell(doctor, LEVEL_WARNING, "directory", "%s is readable by all users: chmod 700 it",
                 doctor->config.journal);
        if (geteuid() != status.st_uid)
            tell(doctor, LEVEL_NOTE, "directory",
                 "did not test whether the web server's user can write to the journal: run doctor as that "
                 "user, or as root");
        else
            check_owners(doctor, status.st_uid);
    }
    if (fstatvfs(doctor->directory.fd, &space) != 0)
        return true;
    uint64_t left = (uint64_t)space.f_bavail * space.f_frsize;
    if (left < SPACE_LEAST)
        tell(doctor, LEVEL_PROBLEM, "space",
             "only %.1f MB free for the journal: free some space, or deliveries will be answered 503",
             (double)left / 1e6);
    else
        tell(doctor, LEVEL_GOOD, "space", "%.1f GB free", (double)left / 1e9);
    if (space.f_files > 0 && space.f_favail == 0)
        tell(doctor, LEVEL_PROBLEM, "space", "no free inodes: delete files");
    return true;
}

/* Returns true if another process sees the lock that this one holds. */
static bool lock_excludes(struct doctor *doctor) {
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fcntl(doctor->directory.lock, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Returns the mount option that makes locks local to this machine, or NULL. */
static const char *local_locks(const struct doctor *doctor) {
    static char options[1024];
    struct stat status;
    FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
    bool found = mountinfo != NULL && fstat(doctor->directory.fd, &status) == 0 &&
                 mounts_find(mountinfo, status.st_dev, options, sizeof options);
    if (mountinfo != NULL)
        fclose(mountinfo);
    return found ? mounts_local_locks(options) : NULL;
}

static bool check_lock(struct doctor *doctor, bool nfs) {
    struct reason reason = {""};
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    int result = directory_lock(&doctor->directory, &deadline, &reason);
    if (result < 0) {
        tell(doctor, LEVEL_PROBLEM, "locks", "%s%s", reason.text,
             result == ERROR_TIMEOUT
                 ? ": another process holds it; find it with `fuser -v` on the file `lock`"
             : nfs ? ": this is NFS without its lock service; mount it with locking, or move the journal to "
                     "a local disk"
                   : "");
        return false;
    }
    bool excludes = lock_excludes(doctor);
    const char *local = local_locks(doctor);
    directory_unlock(&doctor->directory);
    if (local != NULL)
        tell(doctor, LEVEL_PROBLEM, "locks",
             "this NFS is mounted with %s: locks do not exclude other machines, so two writers would "
             "overwrite each other's lines. Mount it without that option, or write from one machine only",
             local);
    else if (!excludes)
        tell(doctor, LEVEL_PROBLEM, "locks",
             "the file system grants locks but does not enforce them: move the journal to a local disk%s",
             nfs ? ", or mount this NFS without nolock" : "");
    else
        tell(doctor, LEVEL_GOOD, "locks", "work%s",
             nfs ? ", on NFS; every machine that writes must mount it with locking" : "");
    return excludes;
}

static void check_sync(struct doctor *doctor) {
    char name[32];
    snprintf(name, sizeof name, "doctor.%ld", (long)getpid());
    int fd = openat(doctor->directory.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int64_t began = monotonic_now();
    bool synced = fd >= 0 && write(fd, "x", 1) == 1 && fdatasync(fd) == 0 && fsync(doctor->directory.fd) == 0;
    int64_t spent = monotonic_now() - began;
    int error = errno;
    if (fd >= 0) {
        close(fd);
        unlinkat(doctor->directory.fd, name, 0);
    }
    if (!synced)
        tell(doctor, LEVEL_PROBLEM, "sync", "cannot write and sync in %s: %s", doctor->config.journal,
             strerror(error));
    else if (spent > SYNC_SLOW)
        tell(doctor, LEVEL_WARNING, "sync",
             "took %.1f s, but Ring waits only %d s for an answer: use a faster disk",
             (double)spent / (double)SECOND, RING_ANSWER_SECONDS);
    else
        tell(doctor, LEVEL_GOOD, "sync", "took %.2f ms", (double)spent / 1000);
}

/* A future day receives all events until it comes. Its file can be renamed to a free day that follows all
 * others and is, if possible, not after today. */
static void tell_future_day(struct doctor *doctor, int32_t today, int32_t last) {
    char name[DAY_SIZE], free_day[DAY_SIZE];
    int32_t first, before = -1;
    if (segment_range(doctor->directory.fd, 0, last - 1, &first, &before, NULL) < 0)
        before = -1;
    int32_t day = before < today ? today : before + 1;
    day_format(last, name);
    day_format(day, free_day);
    tell(doctor, LEVEL_PROBLEM, "clock",
         "the newest day in the journal, %s, is in the future: the clock was wrong then, or is wrong now. "
         "Until that day, events are written to its file, and prune keeps it. If the clock is correct now, "
         "run%s: mv %s/%s.jsonl %s/%s.jsonl",
         name, day > today ? " on that day" : "", doctor->config.journal, name, doctor->config.journal,
         free_day);
}

static void check_clock(struct doctor *doctor) {
    int32_t first, last;
    int64_t now = timestamp_now();
    int found = segment_range(doctor->directory.fd, 0, DAY_MAX, &first, &last, NULL);
    if (now / SECOND < YEAR_2025)
        tell(doctor, LEVEL_PROBLEM, "clock", "is before 2025: set it, and keep it correct with NTP");
    else if (found > 0 && last > timestamp_day(now) + 1)
        tell_future_day(doctor, timestamp_day(now), last);
    else
        tell(doctor, LEVEL_GOOD, "clock", "is plausible");
}

/* ---- journal and index ---- */

static void tell_damaged(void *context, const char *name, uint64_t bytes, bool torn) {
    tell(context, torn ? LEVEL_NOTE : LEVEL_PROBLEM, "journal",
         "%" PRIu64 " bytes at the end of a day were %s, and were moved to %s/damaged/%s: recover what you "
         "can, and move that file away",
         bytes, torn ? "an incomplete line" : "damaged", ((const struct doctor *)context)->config.journal,
         name);
}

static void check_journal(struct doctor *doctor) {
    struct reason reason = {""};
    int32_t first, last;
    struct audit audit = {0};
    struct deadline deadline = {.at = monotonic_now() + LOCK_TIMEOUT};
    int found = segment_range(doctor->directory.fd, 0, DAY_MAX, &first, &last, &reason);
    if (found < 0) {
        tell(doctor, LEVEL_PROBLEM, "journal", "%s", reason.text);
        return;
    }
    if (found == 0) {
        tell(doctor, LEVEL_NOTE, "journal", "no events received yet");
        return;
    }
    if (doctor->config.max_age == 0 && prune_has_run(doctor->directory.fd))
        tell(doctor, LEVEL_WARNING, "journal",
             "prune has deleted days, but DOORPOST_MAX_AGE is not set: a delivery replayed from those days "
             "would be stored as new. Set it to %dd or more, but not longer than prune keeps",
             RING_LATEST_DAYS);
    static struct walk walk;
    enum scan scan;
    struct record record;
    struct position position;
    uint64_t lines = 0, broken = 0;
    walk_start(&walk, doctor->directory.fd, (struct position){.day = last},
               (struct chain_state){.known = false});
    while ((found = walk_next(&walk, &scan, &record, &position, &reason)) > 0) {
        lines++;
        broken += scan != SCAN_RECORD;
    }
    walk_end(&walk);
    if (found < 0)
        tell(doctor, LEVEL_PROBLEM, "journal", "%s", reason.text);
    else if (broken > 0)
        tell(doctor, LEVEL_PROBLEM, "journal",
             "%" PRIu64 " damaged lines in the newest day: list them with `doorpost check`", broken);
    else
        tell(doctor, LEVEL_GOOD, "journal",
             "the newest day's %" PRIu64 " lines are intact; `doorpost check` verifies all days", lines);
    if (tail_each_damaged(doctor->directory.fd, tell_damaged, doctor, &reason) < 0)
        tell(doctor, LEVEL_PROBLEM, "journal", "%s", reason.text);
    int result = audit_start(&audit, &doctor->directory, first, &deadline, &reason);
    if (result == ERROR_DAMAGED)
        tell(doctor, LEVEL_PROBLEM, "index", "%s: run doorpost check --rebuild-index", reason.text);
    else if (result != 0)
        tell(doctor, LEVEL_PROBLEM, "index", "%s", reason.text);
    else if (audit.absent)
        tell(doctor, LEVEL_WARNING, "index",
             "missing: it is created at the next delivery, or by doorpost check --rebuild-index");
    else
        tell(doctor, LEVEL_GOOD, "index", "is intact");
    audit_end(&audit);
}

static int count_one(void *context, const struct rejection *rejection) {
    uint64_t *count = context;
    (void)rejection;
    ++*count;
    return 0;
}

static void check_rejected(struct doctor *doctor) {
    struct reason reason = {""};
    uint64_t count = 0;
    if (rejected_each(doctor->directory.fd, INT64_MIN, INT64_MAX, count_one, &count, &reason) != 0)
        tell(doctor, LEVEL_PROBLEM, "rejected", "%s", reason.text);
    else if (count > 0)
        tell(doctor, LEVEL_NOTE, "rejected", "%" PRIu64 " signed but unusable: `doorpost rejected` shows why",
             count);
    else
        tell(doctor, LEVEL_GOOD, "rejected", "no signed delivery was unusable");
}

static void check_failures(struct doctor *doctor, const char *name, int lock) {
    struct reason reason = {""};
    struct json_object *list = failures_list(doctor->directory.fd, lock, name, &reason);
    if (list == NULL)
        tell(doctor, LEVEL_PROBLEM, "consumer", "%s", reason.text);
    else
        failures_summarize(list, name, &reason);
    if (list != NULL && reason.text[0] != '\0')
        tell(doctor, LEVEL_WARNING, "consumer", "%s", reason.text);
    json_object_put(list);
}

/* Skips the handler's own consumer: its program is in the settings, which are checked already. */
static void check_program(struct doctor *doctor, const char *name, int lock) {
    struct runner_note note;
    char path[COMMAND_PATH_SIZE];
    runner_note_read(lock, &note);
    if (note.program[0] == '\0' || (strcmp(name, CURSOR_ON_EVENT) == 0 && doctor->config.on_event[0] != '\0'))
        return;
    if (note.missing)
        tell(doctor, LEVEL_PROBLEM, "consumer",
             "%s: program %.200s was missing or not executable at the last start: install it and start the "
             "consumer again, or, if it is no longer needed, delete %.100s/cursors/%s",
             name, note.program, doctor->config.journal, name);
    else if (!command_find(note.program, path))
        tell(doctor, LEVEL_PROBLEM, "consumer", "%s: program %.200s is now missing or not executable", name,
             note.program);
}

/* Returns true if there are lines after the consumer's position. */
static bool has_events_left(const struct doctor *doctor, const char *name) {
    static struct cursor cursor;
    struct position end;
    int32_t first, last;
    int directory = doctor->directory.fd;
    return cursor_read(directory, name, &cursor, NULL) > 0 &&
           segment_range(directory, 0, DAY_MAX, &first, &last, NULL) > 0 &&
           cursor_end_of_day(directory, last, &end, NULL) == 0 &&
           (cursor.mark.position.day < end.day ||
            (cursor.mark.position.day == end.day && cursor.mark.position.offset < end.offset));
}

/* Only a note, because a timer may be about to start the consumer. */
static void check_runs(struct doctor *doctor, const char *name, int lock) {
    if (cursor_holder(lock, CURSOR_LOCK_RUNNER) == 0 && has_events_left(doctor, name))
        tell(doctor, LEVEL_NOTE, "consumer",
             "%s is not running, and has events left to run: see `doorpost exec --status`", name);
}

/* A failover takes less than a minute, so a short failure is only a warning. */
static void check_forwarder(struct doctor *doctor, const char *name, int lock,
                            const struct forward_note *note) {
    bool runs = cursor_holder(lock, CURSOR_LOCK_RUNNER) != 0, behind = has_events_left(doctor, name);
    int64_t failing = note->failing ? (timestamp_now() - note->error_at) / SECOND : 0;
    if (note->failing)
        tell(doctor, failing < FAILING_LONG ? LEVEL_WARNING : LEVEL_PROBLEM, "forwarder",
             "%s%s has not been able to forward events for %" PRId64 " s: %s", name,
             runs ? "" : ", which is not running,", failing, note->error.text);
    else if (!runs && behind)
        tell(doctor, LEVEL_NOTE, "forwarder",
             "%s is not running, and has events left to forward: see `doorpost forward --status`", name);
    else
        tell(doctor, LEVEL_GOOD, "forwarder",
             "%s %s: %" PRIu64 " events sent, %" PRIu64 " that the database already had, %" PRIu64
             " errors overcome",
             name, runs ? "is running" : "has nothing left to forward", note->sent, note->duplicates,
             note->errors);
}

static int check_consumer(void *context, const char *name) {
    struct doctor *doctor = context;
    struct reason reason = {""};
    struct forward_note note;
    int lock = cursor_open_lock(doctor->directory.fd, name, &reason);
    if (lock < 0) {
        tell(doctor, LEVEL_PROBLEM, "consumer", "%s", reason.text);
        return 0;
    }
    if (forward_note_read(lock, &note)) {
        check_forwarder(doctor, name, lock, &note);
    } else {
        check_failures(doctor, name, lock);
        check_program(doctor, name, lock);
        check_runs(doctor, name, lock);
    }
    close(lock);
    return 0;
}

static void check_consumers(struct doctor *doctor) {
    struct reason reason = {""};
    char program[CONFIG_PATH_SIZE], path[COMMAND_PATH_SIZE];
    if (sscanf(doctor->config.on_event, "%1023s", program) == 1 && !command_find(program, path))
        tell(doctor, LEVEL_PROBLEM, "consumer", "DOORPOST_ON_EVENT: program %s is missing or not executable",
             program);
    if (cursor_each(doctor->directory.fd, check_consumer, doctor, &reason) != 0)
        tell(doctor, LEVEL_PROBLEM, "consumer", "%s", reason.text);
}

/* ---- the door page ---- */

static int check_account(void *context, const struct account *account) {
    struct doctor *doctor = context;
    const char *id = account->id[0] != '\0' ? account->id : account->name;
    int64_t left = API_REFRESH_LIFE - (timestamp_now() - account->refreshed_at) / (86400 * SECOND);
    if (account->error[0] != '\0')
        tell(doctor, LEVEL_PROBLEM, "account", "%s: %s", id, account->error);
    else if (left < API_REFRESH_LIFE / 2)
        tell(doctor, left < 0 ? LEVEL_PROBLEM : LEVEL_WARNING, "account",
             "%s: its tokens can be renewed for %" PRId64
             " more days: run `doorpost account refresh` daily (deploy/README.md)",
             id, left < 0 ? 0 : left);
    else
        tell(doctor, LEVEL_GOOD, "account", "%s: %s", id, account_state_name(account->state));
    return 0;
}

/* As the worker opens it, and as the journal's owner, who must be the same user. */
static void check_door(struct doctor *doctor) {
    struct reason reason = {""};
    struct door door;
    if (doctor->config.door[0] == '\0')
        return;
    if (door_open(&door, &doctor->config, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "door", "%s", reason.text);
        return;
    }
    if (door_client(&door, &reason) != 0)
        tell(doctor, LEVEL_PROBLEM, "door", "%s", reason.text);
    else
        tell(doctor, LEVEL_GOOD, "door", "%.200s, client file %.200s, API %s", doctor->config.door,
             doctor->config.client_file, doctor->config.api);
    if (doctor->config.door_login == LOGIN_REMOTE_USER)
        tell(doctor, LEVEL_NOTE, "door",
             "the web server signs users in (DOORPOST_DOOR_LOGIN=remote-user): it "
             "must set REMOTE_USER itself, on every request");
    account_each(&door, check_account, doctor, &reason);
    if (reason.text[0] != '\0')
        tell(doctor, LEVEL_PROBLEM, "account", "%s", reason.text);
    door_close(&door);
}

/* ---- the round trip ---- */

/* Returns advice on an unexpected status, sent by Doorpost (`ours`) or another program; NULL if there is
 * none. */
static const char *advice(int status, bool ours) {
    static const struct {
        int status;
        bool ours;
        const char *text;
    } cases[] = {
        {400, true, "Doorpost rejects it for this reason"},
        {401, true, "the worker has a different key: check that it reads the same settings"},
        {413, true, "DOORPOST_MAX_BODY is too low"},
        {300, false, "this is a redirect: register its target URL"},
        {400, false, "check that this is not http:// on an HTTPS port"},
        {401, false,
         "the web server requires a password, which Ring does not send: disable authentication for this "
         "path"},
        {403, false,
         "the web server denies access: check the path (the sites in deploy/ deny all others), and that "
         "doorpost.cgi is executable (mode 755)"},
        {404, false, "nothing is served at this path: check the web server's configuration"},
        {405, false,
         "this path does not accept POST, so it is not Doorpost: check the path in the web server's "
         "configuration"},
        {413, false, "the web server's limit on request bodies is too low"},
        {429, false, "the web server limits the request rate: do not limit signed requests"},
        {500, false, "the web server could not run doorpost.cgi: see its error log"},
        {502, false,
         "the web server is running, but the worker is not: start it (systemctl start doorpost.socket, or "
         "see the web server's file in deploy/), or check the path of its socket"},
        {504, false, "the worker does not answer the web server: check whether it or its disk hangs"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].status == (status / 100 == 3 ? 300 : status) && cases[i].ours == ours)
            return cases[i].text;
    return NULL;
}

static void tell_unexpected(struct doctor *doctor, struct answer *answer, int status, const char *word,
                            const char *unknown) {
    bool ours = strstr(answer->body, "\"status\"") != NULL;
    const char *known = answer->status == status ? NULL : advice(answer->status, ours);
    for (char *at = answer->body; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = ' ';
    if (answer->status == 503)
        tell(doctor, LEVEL_PROBLEM, "round trip",
             "expected %d %s, got 503 %.120s: %s; the reason is in the log: %s", status, word, answer->body,
             ours ? "Doorpost could not store the event"
                  : "this answer comes from the web server itself: check that the worker is running",
             doctor->log);
    else
        tell(doctor, LEVEL_PROBLEM, "round trip", "expected %d %s, got %d %.120s: %s", status, word,
             answer->status, answer->body, known != NULL ? known : unknown);
}

/* Retries if refused: a web server that was just restarted may not listen yet. */
static int post(const struct doctor *doctor, const char *body, size_t length, const char *signature,
                struct answer *answer, struct reason *reason) {
    int result = delivery_send(doctor->url, body, length, signature, answer, reason);
    for (int i = 1; result != 0 && answer->refused && i < START_TRIES; i++) {
        usleep(SECOND / 10);
        result = delivery_send(doctor->url, body, length, signature, answer, reason);
    }
    return result;
}

/* Sends the body, and checks the answer for a status and a word. */
static bool expect(struct doctor *doctor, const char *body, size_t length, const char *signature, int status,
                   const char *word, const char *unknown) {
    struct answer answer;
    struct reason reason = {""};
    if (post(doctor, body, length, signature, &answer, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "round trip", "%s", reason.text);
        return false;
    }
    if (answer.status == status && strstr(answer.body, word) != NULL) {
        tell(doctor, LEVEL_GOOD, "round trip", "%s in %.1f ms, as expected", word, answer.seconds * 1000);
        return true;
    }
    tell_unexpected(doctor, &answer, status, word, unknown);
    return false;
}

/* A URL on this machine is for testing; any other is meant for Ring. */
static void check_scheme(struct doctor *doctor) {
    static const char *const local[] = {"127.", "localhost", "[::1]"};
    if (strncasecmp(doctor->url, "http://", 7) != 0)
        return;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strncasecmp(doctor->url + 7, local[i], strlen(local[i])) == 0)
            return;
    tell(doctor, LEVEL_PROBLEM, "round trip",
         "Ring delivers only to https://: get a certificate (certbot), and register https://%.200s",
         doctor->url + 7);
}

static void check_round_trip(struct doctor *doctor) {
    char body[SAMPLE_SIZE], signature[SIGNATURE_TEXT_SIZE];
    uint8_t digest[SIGNATURE_BYTES];
    check_scheme(doctor);
    size_t length = sample_write(RING_PRESS, EVENT_TEST_DEVICE, EVENT_TEST_DEVICE, timestamp_now(), body);
    signature_make(doctor->keys, 0, body, length, digest);
    signature_format(digest, signature);
    if (!expect(doctor, body, length, signature, 200, "stored", "check that this is Doorpost's URL") ||
        !expect(doctor, body, length, signature, 200, "duplicate",
                "the second delivery was not recognized as a duplicate: check that all workers use the same "
                "journal"))
        return;
    digest[SIGNATURE_BYTES - 1] ^= 1;
    signature_format(digest, signature);
    expect(doctor, body, length, signature, 401, "unauthorized",
           "a wrong signature was not rejected: check that Doorpost answers at this URL");
}

/* ---- all checks ---- */

/* As root, checks the worker's permissions, then becomes the journal's owner. */
static bool become_owner(struct doctor *doctor) {
    struct reason reason = {""};
    struct user owner;
    if (geteuid() != 0)
        return true;
    if (privilege_find_owner(&doctor->config, &owner, &reason) != 0) {
        tell(doctor, LEVEL_PROBLEM, "directory", "%s%s", reason.text,
             access(doctor->config.journal, F_OK) != 0 ? " (create it with `doorpost init`)" : "");
        return false;
    }
    check_worker(doctor, &owner);
    if (privilege_become_owner(&doctor->config, &owner, &reason) == 0)
        return true;
    tell(doctor, LEVEL_PROBLEM, "directory", "%s", reason.text);
    return false;
}

static void examine(struct doctor *doctor, const struct settings *settings) {
    struct statfs system;
    if (!check_settings(doctor, settings))
        return;
    log_location(&doctor->config, doctor->log); /* while still root, to examine any worker */
    doctor->keys_good = check_keys(doctor);
    if (become_owner(doctor) && check_directory(doctor)) {
        bool nfs = fstatfs(doctor->directory.fd, &system) == 0 && system.f_type == NFS_MAGIC;
        check_sync(doctor);
        check_clock(doctor);
        if (check_lock(doctor, nfs))
            check_journal(doctor);
        check_rejected(doctor);
        check_consumers(doctor);
        check_door(doctor);
    }
    if (doctor->url != NULL && doctor->keys_good)
        check_round_trip(doctor);
    else if (doctor->url == NULL)
        tell(doctor, LEVEL_NOTE, "round trip", "not tested: use --url https://YOUR.HOST/doorpost");
}

static int doctor_main(int argc, char *argv[]) {
    struct options options = {0};
    struct user user;
    options_parse(argc, argv, &verb_doctor, &options);
    struct doctor doctor = {
        .directory = {.fd = -1, .lock = -1}, .url = options.url, .user = options.user, .json = options.json};
    if (doctor.user != NULL && !user_named(doctor.user, &user))
        usage_error("unknown user \"%s\"", doctor.user);
    doctor.report = json_object_new_array();
    if (doctor.report == NULL)
        return problem("out of memory");
    examine(&doctor, &options.settings);
    if (doctor.json)
        print_json(doctor.report);
    else
        printf("%s%s%s\n", colour(doctor.problems == 0 ? COLOUR_GOOD : COLOUR_BAD),
               doctor.problems == 0 ? "All checks passed." : "Problems found: see above.",
               colour(COLOUR_NONE));
    json_object_put(doctor.report);
    keys_free(doctor.keys);
    directory_close(&doctor.directory);
    return doctor.problems == 0 ? STATUS_DONE : STATUS_PROBLEM;
}

static const struct option_spec table[] = {
    {'u', "url", OPTION_TEXT, "URL", "the endpoint registered with Ring", AT(url)},
    {0, "user", OPTION_TEXT, "USER", "the web server's user (as root)", AT(user)},
    {0, "json", OPTION_FLAG, NULL, "the findings as one JSON array", AT(json)},
    OPTION_CONF,
    OPTION_JOURNAL,
    OPTION_KEY_FILE,
    {0}};

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "check the whole installation, and explain how to fix each finding",
    .synopsis = "[--url URL] [--user USER] [--json]",
    .what =
        "Checks settings, keys, directory, locks, syncs, clock, journal and index. With --url, sends a "
        "signed press\n"
        "of the device " EVENT_TEST_DEVICE " on a round trip; it stays in the journal, but runs no command.",
    .options = table,
    .run = doctor_main,
};
