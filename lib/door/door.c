/* The key file's 32 bytes are never used themselves: three keys are derived from them (crypto_kdf), one to
 * encrypt files, one to hash and one in reserve.
 *
 * An encrypted file is a 24-byte nonce and a secretbox. Its key is derived from its path. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include "door.h"

#include "directory.h"
#include "keys.h"
#include "regular.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY crypto_generichash_KEYBYTES
#define CONTEXT "doorpost" /* crypto_kdf_CONTEXTBYTES */
#define FILE_LIMIT (1 << 20)
#define LEFTOVER 3600                /* seconds after which a file that was not renamed is removed */
#define LOCK_INTERVAL (SECOND / 100) /* between two attempts */
#define PATH_SIZE 256                /* of a path in the directory */
#define SUFFIX ".new"

enum derived { KEY_FILES, KEY_HASHES, KEYS };

static pthread_mutex_t client_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Tokens pass through memory that is not ours to protect (json-c, curl). 1 rather than 0: then the kernel
 * does not give a core to a program either (core(5)). */
static void forbid_core(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur > 1) {
        limit.rlim_cur = 1;
        setrlimit(RLIMIT_CORE, &limit);
    }
}

/* ---- files ---- */

/* The directory part of a path: "." or one subdirectory. */
static const char *parent(const char *path, char out[PATH_SIZE]) {
    size_t length = strcspn(path, "/");
    snprintf(out, PATH_SIZE, "%.*s", path[length] == '/' ? (int)length : 1, path[length] == '/' ? path : ".");
    return out;
}

static int write_all(int fd, const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t written = write(fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        at += written;
        length -= (size_t)written;
    }
    return 0;
}

/* Writes and syncs a new file. Returns 0, or -1 with errno set. */
static int write_new(int directory, const char *name, const void *bytes, size_t length) {
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    int result = write_all(fd, bytes, length) == 0 && fsync(fd) == 0 ? 0 : -1;
    int error = errno;
    if (close(fd) != 0 && result == 0) { /* some network file systems report a full disk only here */
        result = -1;
        error = errno;
    }
    errno = error;
    return result;
}

/* A name that no other writer uses at the same time. */
static void new_name(const char *path, char out[PATH_SIZE]) {
    snprintf(out, PATH_SIZE, "%.200s.%08x%08x" SUFFIX, path, (unsigned)randombytes_random(),
             (unsigned)randombytes_random());
}

int door_write_plain(const struct door *door, const char *path, const void *bytes, size_t length,
                     struct reason *reason) {
    char name[PATH_SIZE], directory[PATH_SIZE];
    new_name(path, name);
    if (write_new(door->fd, name, bytes, length) == 0 && renameat(door->fd, name, door->fd, path) == 0 &&
        directory_sync(door->fd, parent(path, directory)) == 0)
        return 0;
    explain(reason, "cannot write %s in %s: %s", path, door->config->door, strerror(errno));
    unlinkat(door->fd, name, 0);
    return ERROR_SYSTEM;
}

int door_remove(const struct door *door, const char *path, struct reason *reason) {
    char directory[PATH_SIZE];
    if (unlinkat(door->fd, path, 0) != 0) {
        if (errno == ENOENT)
            return 0;
        return FAIL(reason, ERROR_SYSTEM, "cannot remove %s in %s: %s", path, door->config->door,
                    strerror(errno));
    }
    if (directory_sync(door->fd, parent(path, directory)) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot sync %s in %s: %s", directory, door->config->door,
                    strerror(errno));
    return 0;
}

/* Reads a file into memory from sodium_malloc(). Returns as door_read(). */
static int read_whole(const struct door *door, const char *path, unsigned char **bytes, size_t *length,
                      struct reason *reason) {
    struct reason why;
    struct stat status;
    int fd = regular_open(door->fd, path, O_RDONLY, &why);
    if (fd == ERROR_INVALID)
        return 0;
    if (fd < 0)
        return FAIL(reason, fd, "in %s: %s", door->config->door, why.text);
    int result = 1;
    *length = 0;
    *bytes = fstat(fd, &status) == 0 && status.st_size <= FILE_LIMIT
                 ? sodium_malloc((size_t)status.st_size + 1)
                 : NULL;
    if (*bytes == NULL)
        result =
            FAIL(reason, ERROR_DAMAGED, "cannot read %s in %s: it is too large", path, door->config->door);
    while (result == 1 && *length < (size_t)status.st_size) {
        ssize_t got = read(fd, *bytes + *length, (size_t)status.st_size - *length);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            result = FAIL(reason, ERROR_SYSTEM, "cannot read %s in %s: %s", path, door->config->door,
                          strerror(errno));
        *length += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    if (result != 1) {
        sodium_free(*bytes);
        *bytes = NULL;
    }
    return result;
}

/* ---- encryption ---- */

static void file_key(const struct door *door, const char *path, unsigned char out[KEY]) {
    crypto_generichash(out, KEY, (const unsigned char *)path, strlen(path), door->keys + KEY_FILES * KEY,
                       KEY);
}

int door_read(const struct door *door, const char *path, char **text, size_t *length, struct reason *reason) {
    unsigned char key[KEY], *bytes;
    size_t size;
    *text = NULL;
    *length = 0;
    int result = read_whole(door, path, &bytes, &size, reason);
    if (result != 1)
        return result;
    size_t least = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
    char *plain = size >= least ? sodium_malloc(size - least + 1) : NULL;
    file_key(door, path, key);
    if (plain == NULL ||
        crypto_secretbox_open_easy((unsigned char *)plain, bytes + crypto_secretbox_NONCEBYTES,
                                   size - crypto_secretbox_NONCEBYTES, bytes, key) != 0) {
        sodium_free(plain);
        result =
            FAIL(reason, ERROR_DAMAGED, "%s in %s is damaged, or was written with another key than %s/key",
                 path, door->config->door, door->config->door);
    } else {
        plain[size - least] = '\0';
        *text = plain;
        *length = size - least;
    }
    sodium_memzero(key, sizeof key);
    sodium_free(bytes);
    return result;
}

int door_write(const struct door *door, const char *path, const char *text, size_t length,
               struct reason *reason) {
    unsigned char key[KEY];
    size_t size = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + length;
    unsigned char *bytes = sodium_malloc(size);
    if (bytes == NULL)
        return FAIL(reason, ERROR_SYSTEM, "not enough memory for %s", path);
    randombytes_buf(bytes, crypto_secretbox_NONCEBYTES);
    file_key(door, path, key);
    crypto_secretbox_easy(bytes + crypto_secretbox_NONCEBYTES, (const unsigned char *)text, length, bytes,
                          key);
    sodium_memzero(key, sizeof key);
    int result = door_write_plain(door, path, bytes, size, reason);
    sodium_free(bytes);
    return result;
}

void door_hash(const struct door *door, enum door_purpose purpose, const void *bytes, size_t length,
               char out[DOOR_HASH_SIZE]) {
    unsigned char hash[(DOOR_HASH_SIZE - 1) / 2], first = (unsigned char)purpose;
    crypto_generichash_state state;
    crypto_generichash_init(&state, door->keys + KEY_HASHES * KEY, KEY, sizeof hash);
    crypto_generichash_update(&state, &first, 1);
    crypto_generichash_update(&state, bytes, length);
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(out, DOOR_HASH_SIZE, hash, sizeof hash);
}

/* ---- the key file ---- */

static int derive(struct door *door, const unsigned char *text, size_t length, struct reason *reason) {
    unsigned char master[crypto_kdf_KEYBYTES];
    size_t size;
    int result = 0;
    if (sodium_base642bin(master, sizeof master, (const char *)text, length, "\r\n \t", &size, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        size != sizeof master)
        result = FAIL(reason, ERROR_SYSTEM,
                      "%s/key is damaged: restore it from a backup. Without it, every account has to be "
                      "connected again: then remove it, and the files in accounts/ and codes/",
                      door->config->door);
    for (unsigned i = 0; i < KEYS && result == 0; i++)
        crypto_kdf_derive_from_key(door->keys + i * KEY, KEY, i + 1, CONTEXT, master);
    sodium_memzero(master, sizeof master);
    return result;
}

static int count_one(void *context, const char *name) {
    (void)name;
    return *(int *)context = 1;
}

/* Creates the key, unless another process does so at the same time. */
static int create_key(const struct door *door, struct reason *reason) {
    char name[PATH_SIZE];
    unsigned char master[crypto_kdf_KEYBYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof master, sodium_base64_VARIANT_ORIGINAL)];
    int accounts = 0, result = 0;
    if (door_each(door, "accounts", count_one, &accounts, reason) < 0)
        return ERROR_SYSTEM;
    if (accounts != 0 && faccessat(door->fd, "key", F_OK, 0) != 0)
        return FAIL(
            reason, ERROR_SYSTEM,
            "%s/key is missing: restore it from a backup, because the files in accounts/ are "
            "encrypted with it. Without it, every account has to be connected again: then remove them",
            door->config->door);
    randombytes_buf(master, sizeof master);
    sodium_bin2base64(text, sizeof text, master, sizeof master, sodium_base64_VARIANT_ORIGINAL);
    text[sizeof text - 1] = '\n';
    new_name("key", name);
    if (write_new(door->fd, name, text, sizeof text) != 0 ||
        (linkat(door->fd, name, door->fd, "key", 0) != 0 && errno != EEXIST) || fsync(door->fd) != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot write %s/key: %s", door->config->door, strerror(errno));
    unlinkat(door->fd, name, 0);
    sodium_memzero(master, sizeof master);
    sodium_memzero(text, sizeof text);
    return result;
}

static int load_key(struct door *door, struct reason *reason) {
    unsigned char *text;
    size_t length;
    int result = read_whole(door, "key", &text, &length, reason);
    if (result == 0 && (result = create_key(door, reason)) == 0)
        result = read_whole(door, "key", &text, &length, reason);
    if (result == 0)
        return FAIL(reason, ERROR_SYSTEM, "%s/key disappeared", door->config->door);
    if (result < 0)
        return ERROR_SYSTEM;
    result = derive(door, text, length, reason);
    sodium_free(text);
    return result;
}

/* ---- the directory ---- */

static int check_directory(const struct door *door, struct reason *reason) {
    struct stat status;
    const char *path = door->config->door;
    if (fstat(door->fd, &status) != 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot examine %s: %s", path, strerror(errno));
    if (status.st_uid != geteuid())
        return FAIL(reason, ERROR_SYSTEM,
                    "DOORPOST_DOOR, %s, belongs to user %u, and this is user %u: chown it to the web "
                    "server's user",
                    path, (unsigned)status.st_uid, (unsigned)geteuid());
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return FAIL(reason, ERROR_SYSTEM, "others can enter DOORPOST_DOOR, %s, which has tokens: chmod 700",
                    path);
    return 0;
}

static int prepare(struct door *door, struct reason *reason) {
    static const char *const names[] = {"accounts", "codes", "users", "cache", "pictures", "live"};
    int result = check_directory(door, reason);
    for (size_t i = 0; i < sizeof names / sizeof *names && result == 0; i++) {
        int fd = directory_open_subdirectory(door->fd, names[i], true, reason);
        if (fd >= 0)
            close(fd);
        else
            result = ERROR_SYSTEM;
    }
    return result == 0 ? load_key(door, reason) : result;
}

int door_open(struct door *door, const struct config *config, struct reason *reason) {
    *door = (struct door){.config = config, .fd = -1};
    if (config->door[0] == '\0')
        return FAIL(reason, ERROR_SYSTEM,
                    "DOORPOST_DOOR is not set: let it name a private directory for accounts and pictures");
    if (sodium_init() < 0)
        return FAIL(reason, ERROR_SYSTEM, "libsodium cannot be used here");
    forbid_core();
    door->keys = sodium_malloc(KEYS * KEY);
    door->client_id = sodium_malloc(DOOR_SECRET);
    door->client_secret = sodium_malloc(DOOR_SECRET);
    door->fd = open(config->door, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;
    if (door->fd < 0)
        result = FAIL(reason, ERROR_SYSTEM,
                      "cannot open DOORPOST_DOOR, %s: %s (it is a directory of mode 700 that belongs to the "
                      "web server's user)",
                      config->door, strerror(errno));
    else if (door->keys == NULL || door->client_id == NULL || door->client_secret == NULL)
        result = FAIL(reason, ERROR_SYSTEM, "not enough memory for the keys of %s", config->door);
    else {
        door->client_id[0] = door->client_secret[0] = '\0';
        result = prepare(door, reason);
    }
    if (result != 0)
        door_close(door);
    return result;
}

void door_close(struct door *door) {
    if (door->fd >= 0)
        close(door->fd);
    door->fd = -1;
    sodium_free(door->keys);
    sodium_free(door->client_id);
    sodium_free(door->client_secret);
    door->keys = NULL;
    door->client_id = door->client_secret = NULL;
}

int door_each(const struct door *door, const char *subdirectory,
              int (*visit)(void *context, const char *name), void *context, struct reason *reason) {
    DIR *stream = directory_list(door->fd, subdirectory);
    if (stream == NULL)
        return FAIL(reason, ERROR_SYSTEM, "cannot list %s/%s: %s", door->config->door, subdirectory,
                    strerror(errno));
    const struct dirent *entry;
    struct stat status;
    int result = 0;
    while (result == 0 && (errno = 0, entry = readdir(stream)) != NULL) {
        const char *name = entry->d_name, *dot = strrchr(name, '.');
        if (name[0] == '.' || (dot != NULL && strcmp(dot, ".lock") == 0))
            continue;
        if (dot == NULL || strcmp(dot, SUFFIX) != 0)
            result = visit(context, name);
        else if (fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 status.st_mtime < timestamp_now() / SECOND - LEFTOVER)
            unlinkat(dirfd(stream), name, 0); /* its writer crashed */
    }
    if (result == 0 && errno != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot list %s/%s: %s", door->config->door, subdirectory,
                      strerror(errno));
    closedir(stream);
    return result;
}

/* ---- locks ---- */

int door_lock(const struct door *door, const char *path, int seconds, struct reason *reason) {
    struct reason why;
    int64_t deadline = monotonic_now() + seconds * SECOND;
    int fd = regular_open(door->fd, path, O_RDWR | O_CREAT, &why);
    if (fd < 0)
        return FAIL(reason, ERROR_SYSTEM, "in %s: %s", door->config->door, why.text);
    for (;;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
            return fd;
        bool held = errno == EAGAIN || errno == EACCES;
        if ((held && monotonic_now() >= deadline) || (!held && errno != EINTR)) {
            int result =
                held ? FAIL(reason, ERROR_TIMEOUT, "another request holds %s in %s", path, door->config->door)
                     : FAIL(reason, ERROR_SYSTEM, "cannot lock %s in %s: %s", path, door->config->door,
                            strerror(errno));
            close(fd);
            return result;
        }
        usleep(LOCK_INTERVAL);
    }
}

/* ---- the client's id and secret ---- */

static bool take_line(char out[DOOR_SECRET], const char *line, size_t length) {
    if (length >= DOOR_SECRET)
        return false;
    for (size_t i = 0; i < length; i++)
        if (line[i] <= ' ' || line[i] > '~')
            return false;
    memcpy(out, line, length);
    out[length] = '\0';
    return true;
}

static int parse_client(struct door *door, const char *text, size_t length, struct reason *reason) {
    const char *file = door->config->client_file, *end = text + length, *line;
    char *const into[] = {door->client_id, door->client_secret};
    int count = 0, number = 0;
    size_t size;
    for (; (line = keys_next_line(&text, end, &number, &size)) != NULL; count++)
        if (count < 2 && !take_line(into[count], line, size))
            return FAIL(reason, ERROR_SYSTEM,
                        "%s, line %d: must be the client %s that Ring issued, of printable characters, and "
                        "under %d",
                        file, number, count == 0 ? "id" : "secret", DOOR_SECRET);
    if (count != 2)
        return FAIL(reason, ERROR_SYSTEM,
                    "%s must have two lines, the client id and the client secret; it has %d", file, count);
    return 0;
}

/* The secret is read into sodium_malloc() and never through stdio, whose buffers would keep it. */
static int read_client(struct door *door, struct reason *reason) {
    struct reason why;
    struct stat status;
    const char *path = door->config->client_file;
    if (path[0] == '\0')
        return FAIL(reason, ERROR_SYSTEM,
                    "DOORPOST_CLIENT_FILE is not set: let it name a file with two lines, the client id and "
                    "the client secret that Ring issued");
    int fd = regular_open(AT_FDCWD, path, O_RDONLY, &why);
    if (fd < 0)
        return FAIL(reason, ERROR_SYSTEM, "%s: %s", "DOORPOST_CLIENT_FILE", why.text);
    int result = 0;
    char *text = sodium_malloc(KEY_FILE_SIZE);
    ssize_t length = text != NULL ? read(fd, text, KEY_FILE_SIZE) : -1;
    if (length < 0 || fstat(fd, &status) != 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot read %s: %s", path, strerror(errno));
    else if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0)
        result = FAIL(reason, ERROR_SYSTEM, "%s is open to everybody: chmod 640 or 600", path);
    else
        result = parse_client(door, text, (size_t)length, reason);
    sodium_free(text);
    close(fd);
    return result;
}

int door_client(struct door *door, struct reason *reason) {
    int result = 0;
    pthread_mutex_lock(&client_mutex);
    if (door->client_id[0] == '\0' || door->client_secret[0] == '\0')
        result = read_client(door, reason);
    if (result != 0)
        door->client_id[0] = door->client_secret[0] = '\0';
    pthread_mutex_unlock(&client_mutex);
    return result;
}
