/* Ring issues one key, in base64, and the documentation does not say whether the text or the decoded bytes
 * are the HMAC key. A wrong guess fails every delivery, so each line is tried both ways. Several lines are
 * a rotation: for a while, deliveries signed with the old and the new key arrive side by side. */
#include "keys.h"

#include "invisible.h"
#include "regular.h"
#include "timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct keys *keys_alloc(void) {
    void *memory =
        mmap(NULL, sizeof(struct keys), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, sizeof(struct keys), MADV_DONTDUMP);
    return memory;
}

void keys_lock(struct keys *keys) {
    mlock(keys, sizeof *keys);
}

void keys_free(struct keys *keys) {
    if (keys == NULL)
        return;
    sodium_memzero(keys, sizeof *keys);
    munmap(keys, sizeof *keys);
}

size_t keys_count(const struct keys *keys) {
    return keys->count;
}

const char *keys_fingerprint(const struct keys *keys, size_t index) {
    return keys->key[index].fingerprint;
}

enum reading keys_reading(const struct keys *keys, size_t index) {
    return keys->key[index].reading;
}

int keys_line(const struct keys *keys, size_t index) {
    return keys->key[index].line;
}

int keys_repeated(const struct keys *keys) {
    return keys->repeated;
}

int64_t keys_changed_at(const struct keys *keys) {
    return keys->loaded.st_mtim.tv_sec * SECOND;
}

crypto_auth_hmacsha256_state *keys_start(struct keys *keys, size_t index) {
    keys->work = keys->key[index].start;
    return &keys->work;
}

static void add(struct keys *keys, const unsigned char *bytes, size_t length, enum reading reading,
                int line) {
    struct key *key = &keys->key[keys->count];
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, bytes, length);
    sodium_bin2hex(key->fingerprint, sizeof key->fingerprint, digest, 4);
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->key[i].fingerprint, key->fingerprint) == 0) {
            keys->repeated = line;
            return;
        }
    key->reading = reading;
    key->line = line;
    crypto_auth_hmacsha256_init(&key->start, bytes, length);
    keys->count++;
}

/* Decodes the text into keys->bytes. Returns true if the result is long enough for a key. */
static bool is_base64_key(struct keys *keys, const char *text, size_t length, size_t *decoded) {
    return sodium_base642bin(keys->bytes, sizeof keys->bytes, text, length, NULL, decoded, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           *decoded >= KEY_MIN_BYTES;
}

static int add_line(struct keys *keys, const char *path, int number, struct reason *reason) {
    const char *text = (const char *)keys->text;
    size_t length = strlen(text);
    if (length < KEY_MIN_BYTES)
        return FAIL(reason, ERROR_SYSTEM, "%s, line %d: the key is shorter than %d bytes: paste it again",
                    path, number, KEY_MIN_BYTES);
    if (keys->count + 2 > sizeof keys->key / sizeof *keys->key)
        return FAIL(reason, ERROR_SYSTEM, "%s contains more than %d keys: remove the retired ones", path,
                    KEYS_LINES);
    add(keys, keys->text, length, READING_TEXT, number);
    size_t decoded;
    if (is_base64_key(keys, text, length, &decoded))
        add(keys, keys->bytes, decoded, READING_BASE64, number);
    return 0;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Returns the start of the comment, or `end`. */
static const char *comment_start(const char *line, const char *end) {
    for (const char *at = line; at < end; at++)
        if (*at == '#' && (at == line || is_space(at[-1])))
            return at;
    return end;
}

const char *keys_next_line(const char **text, const char *end, int *number, size_t *length) {
    while (*text < end) {
        const char *line = *text;
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (line_end == NULL)
            line_end = end;
        *text = line_end < end ? line_end + 1 : end;
        if (++*number == 1 && line_end - line >= 3 && memcmp(line, BYTE_ORDER_MARK, 3) == 0)
            line += 3;
        while (line < line_end && is_space(*line))
            line++;
        line_end = comment_start(line, line_end);
        while (line_end > line && is_space(line_end[-1]))
            line_end--;
        *length = (size_t)(line_end - line);
        if (*length > 0)
            return line;
    }
    return NULL;
}

/* Ring's keys are base64, which has neither blanks nor #. In any other text, a # after a blank may belong
 * to the key. */
static bool is_unambiguous(struct keys *keys, const char *line, size_t length, const char *end) {
    const char *after = line + length;
    size_t decoded;
    while (after < end && is_space(*after))
        after++;
    return after == end || *after != '#' || is_base64_key(keys, line, length, &decoded);
}

/* Returns true unless text follows the = that ends a base64 key. */
static bool is_alone(struct keys *keys, const char *line, size_t length) {
    const char *equals = memchr(line, '=', length);
    size_t decoded, whole = equals != NULL ? (size_t)(equals - line) : length;
    while (whole < length && line[whole] == '=')
        whole++;
    return whole == length || !is_base64_key(keys, line, whole, &decoded);
}

static int read_line(struct keys *keys, const char *line, size_t length, const char *end, const char *path,
                     int number, struct reason *reason) {
    char invisible[INVISIBLE_SIZE];
    if (!is_unambiguous(keys, line, length, end))
        return FAIL(reason, ERROR_SYSTEM,
                    "%s, line %d: # after a blank, but the text before it is not base64: put the comment on "
                    "its own line",
                    path, number);
    if (invisible_find(line, length, invisible))
        return FAIL(reason, ERROR_SYSTEM, "%s, line %d: the key contains %s: paste it again as plain text",
                    path, number, invisible);
    if (length >= KEY_TEXT_SIZE)
        return FAIL(reason, ERROR_SYSTEM,
                    "%s, line %d: too long for a signing key: put one key on each line, as text", path,
                    number);
    if (!is_alone(keys, line, length))
        return FAIL(reason, ERROR_SYSTEM,
                    "%s, line %d: text after the key: put one key on each line; a comment after it starts "
                    "with a blank and #",
                    path, number);
    memcpy(keys->text, line, length);
    keys->text[length] = '\0';
    return add_line(keys, path, number, reason);
}

int keys_parse(struct keys *keys, const char *text, size_t length, const char *path, struct reason *reason) {
    const char *end = text + length;
    const char *line;
    size_t line_length;
    if (is_utf16(text, length))
        return FAIL(reason, ERROR_SYSTEM,
                    "%s is UTF-16 or UTF-32: save it as UTF-8 or ASCII (in Notepad: Encoding)", path);
    for (int number = 0; (line = keys_next_line(&text, end, &number, &line_length)) != NULL;) {
        int result = read_line(keys, line, line_length, end, path, number, reason);
        if (result != 0)
            return result;
    }
    if (keys->count == 0)
        return FAIL(reason, ERROR_SYSTEM, "%s contains no key: add Ring's HMAC signing key on its own line",
                    path);
    return 0;
}

static int check_mode(const struct stat *file, const char *path, struct reason *reason) {
    if ((file->st_mode & (S_IROTH | S_IWOTH)) != 0)
        return FAIL(reason, ERROR_SYSTEM, "the key file %s is accessible to all users: chmod o-rwx it", path);
    if (file->st_size > KEY_FILE_SIZE)
        return FAIL(reason, ERROR_SYSTEM, "the key file %s is larger than %d bytes: check DOORPOST_KEY_FILE",
                    path, KEY_FILE_SIZE);
    return 0;
}

static int read_file(struct keys *keys, int fd, const char *path, struct reason *reason) {
    int result = check_mode(&keys->loaded, path, reason);
    if (result != 0)
        return result;
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, keys->file + length, sizeof keys->file - length)) > 0)
        length += (size_t)got;
    if (got < 0)
        result = FAIL(reason, ERROR_SYSTEM, "cannot read the key file %s: %s", path, strerror(errno));
    else
        result = keys_parse(keys, keys->file, length, path, reason);
    sodium_memzero(keys->file, length);
    sodium_memzero(keys->text, sizeof keys->text);
    sodium_memzero(keys->bytes, sizeof keys->bytes);
    return result;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* File system clocks are coarse: a file changed within the last two seconds can change again without a new
 * time stamp, so it is read again until it is older than that. */
static bool is_unchanged(const struct keys *keys, const char *path) {
    struct stat now;
    return keys->count > 0 && timestamp_now() / SECOND - keys->loaded.st_ctim.tv_sec > 2 &&
           stat(path, &now) == 0 && same_file(&now, &keys->loaded);
}

int keys_load(struct keys *keys, const char *path, struct reason *reason) {
    if (is_unchanged(keys, path))
        return 0;
    if (keys->count > 0) /* else all zero: do not touch its pages in a CGI process */
        sodium_memzero(keys, sizeof *keys);
    int fd = regular_open(AT_FDCWD, path, O_RDONLY, reason);
    if (fd == ERROR_DAMAGED)
        return FAIL(reason, ERROR_SYSTEM, "the key file %s is not a regular file", path);
    if (fd < 0)
        return FAIL(reason, ERROR_SYSTEM, "cannot read the key file %s: %s", path, strerror(errno));
    int result = fstat(fd, &keys->loaded) == 0
                     ? read_file(keys, fd, path, reason)
                     : FAIL(reason, ERROR_SYSTEM, "cannot stat the key file %s: %s", path, strerror(errno));
    close(fd);
    if (result != 0)
        sodium_memzero(keys, sizeof *keys);
    return result;
}
