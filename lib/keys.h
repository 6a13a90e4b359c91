/* The signing keys: each line of the key file in both readings, ready for HMAC-SHA256. */
#ifndef DOORPOST_KEYS_H
#define DOORPOST_KEYS_H

#include "error.h"

#include <sodium.h>
#include <stddef.h>
#include <sys/stat.h>

#define KEYS_LINES 16      /* more than a rotation needs */
#define KEY_TEXT_SIZE 1024 /* bytes of one line */
#define KEY_FILE_SIZE 8192 /* bytes, comments included */
#define KEY_MIN_BYTES 16   /* bytes */
#define FINGERPRINT_SIZE 9 /* eight hexadecimal digits and a NUL */

enum reading { READING_TEXT, READING_BASE64 };

struct key {
    crypto_auth_hmacsha256_state start; /* keyed already: a signature hashes only the body */
    char fingerprint[FINGERPRINT_SIZE];
    enum reading reading;
    int line;
};

/* Holds secrets: allocate with keys_alloc(). The fields are private to keys.c. */
struct keys {
    size_t count;
    int repeated;
    struct stat loaded;                /* the file the keys were read from */
    crypto_auth_hmacsha256_state work; /* not on the stack, which a core dump includes */
    unsigned char text[KEY_TEXT_SIZE]; /* one line of the file */
    unsigned char bytes[KEY_TEXT_SIZE];
    struct key key[2 * KEYS_LINES];
    char file[KEY_FILE_SIZE];
};

/* Allocates an empty set, excluded from core dumps and zeroed by keys_free(). Returns NULL if out of
 * memory. */
struct keys *keys_alloc(void);
void keys_free(struct keys *keys);

/* Keeps the set out of swap as well, if the system allows it. For long-lived processes. */
void keys_lock(struct keys *keys);

/* Reads the key file unless it is unchanged since the last call. One key per line; surrounding white
 * space, blank lines and # comments (also after a base64 key) are dropped. Each line counts as its text
 * and, if it is base64 (RFC 4648, section 4) of at least 16 bytes, also as the decoded bytes. Returns 0,
 * or ERROR_SYSTEM with a reason (file, line, what to do) if the file is unreadable, empty, UTF-16,
 * readable or writable by everybody, or holds a key that is shorter than 16 bytes or contains an invisible
 * character; the set is then empty. */
int keys_load(struct keys *keys, const char *path, struct reason *reason);

/* Parses the text of a key file, as keys_load() does. `path` is used in the reason. */
int keys_parse(struct keys *keys, const char *text, size_t length, const char *path, struct reason *reason);

/* Returns the start of the next key in a key file's text, or NULL at the end. *length excludes the
 * comment. Moves *text past the line and updates the line number *number (initially 0). */
const char *keys_next_line(const char **text, const char *end, int *number, size_t *length);

size_t keys_count(const struct keys *keys);

/* The reading and the line number (from 1) of the key at `index`. */
enum reading keys_reading(const struct keys *keys, size_t index);
int keys_line(const struct keys *keys, size_t index);

/* The number of a line that repeats an earlier one, or 0. */
int keys_repeated(const struct keys *keys);

/* When the key file was last changed, in microseconds since 1970. */
int64_t keys_changed_at(const struct keys *keys);

/* The first eight hexadecimal digits of the key bytes' SHA-256: identifies a key without revealing it.
 * `index` < count. */
const char *keys_fingerprint(const struct keys *keys, size_t index);

/* Starts an HMAC-SHA256 (RFC 2104) with the key at `index`. The next call overwrites the state. */
crypto_auth_hmacsha256_state *keys_start(struct keys *keys, size_t index);

#endif
