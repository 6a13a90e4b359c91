/* The signing keys: each line of the key file in its two readings, ready for HMAC-SHA256. */
#ifndef DOORPOST_KEYS_H
#define DOORPOST_KEYS_H

#include "error.h"

#include <sodium.h>
#include <stddef.h>
#include <sys/stat.h>

#define KEYS_LINES 16      /* more lines than that is no rotation any more */
#define KEY_TEXT_SIZE 1024 /* bytes of one line */
#define KEY_FILE_SIZE 8192 /* bytes, comments included */
#define KEY_MIN_BYTES 16   /* bytes */
#define FINGERPRINT_SIZE 9 /* eight hexadecimal digits and a NUL */

enum reading { READING_TEXT, READING_BASE64 };

struct key {
    crypto_auth_hmacsha256_state start; /* with the key absorbed, so that a signature costs the body alone */
    char fingerprint[FINGERPRINT_SIZE];
    enum reading reading;
    int line;
};

/* Holds secrets: place it with keys_alloc(). The fields belong to keys.c; use the functions. */
struct keys {
    size_t count;
    int repeated;
    struct stat loaded;                /* the file that they were read from */
    crypto_auth_hmacsha256_state work; /* here rather than on a stack that a core dump would hold */
    unsigned char text[KEY_TEXT_SIZE]; /* one line of the file */
    unsigned char bytes[KEY_TEXT_SIZE];
    struct key key[2 * KEYS_LINES];
    char file[KEY_FILE_SIZE];
};

/* An empty set in memory that is kept out of core dumps and zeroed by keys_free(). NULL when there is no
 * memory. */
struct keys *keys_alloc(void);
void keys_free(struct keys *keys);

/* Keeps the set out of swap too, where the system allows it: for a process that lives long. */
void keys_lock(struct keys *keys);

/* Reads the key file, unless it is unchanged since the last call: one key a line, white space around it and
 * blank lines dropped, # for comments (behind a key in base64 too). Each line counts as its text and, where
 * it is base64 (RFC 4648, section 4) of 16 bytes or more, as the decoded bytes too. Returns 0, or
 * ERROR_TROUBLE with a reason (file, line, what to do) where the file is unreadable, empty, UTF-16, readable
 * or writable by everybody, or holds a key under 16 bytes or with an invisible character; the set is
 * then empty. */
int keys_load(struct keys *keys, const char *path, struct reason *reason);

/* Reads keys from the text of a key file; `path` is for the reason. As keys_load(), of which this is a part.
 */
int keys_parse(struct keys *keys, const char *text, size_t length, const char *path, struct reason *reason);

/* The next line of a key file's text that holds a key: steps *text behind it, counts *number (0 at first) on
 * to it, and returns where the key begins, with its length without a comment; NULL at the end. */
const char *keys_next_line(const char **text, const char *end, int *number, size_t *length);

size_t keys_count(const struct keys *keys);

/* In which reading of which line of the file (from 1) the key at `index` is. */
enum reading keys_reading(const struct keys *keys, size_t index);
int keys_line(const struct keys *keys, size_t index);

/* A line that repeats an earlier one, or 0. */
int keys_repeated(const struct keys *keys);

/* When the key file was changed last, microseconds since 1970. */
int64_t keys_changed_at(const struct keys *keys);

/* The first eight hexadecimal digits of the key bytes' SHA-256: names a key without telling it. `index` <
 * count. */
const char *keys_fingerprint(const struct keys *keys, size_t index);

/* Starts an HMAC-SHA256 (RFC 2104) with the key at `index`; the state is overwritten by the next call. */
crypto_auth_hmacsha256_state *keys_start(struct keys *keys, size_t index);

#endif
