/* DOORPOST_DOOR: the private directory of the door page, its key, and what is encrypted with that.
 *
 *   key               32 random bytes in base64. With it, all tokens can be read and all sign-ins forged
 *   accounts/HASH     an account (account.h), and HASH.lock
 *   codes/HASH        an authorization code that was sent to Ring, so that it is never sent twice
 *   users/NAME        a user (user.h)
 *   cache/HASH.devices   the devices of an account, as Ring last told them
 *   pictures/HASH.jpg the picture of a press; .try, .none: not yet, given up
 *   live/HASH         the live session of a device
 *   login.lock        one sign-in at a time
 *
 * HASH is a keyed BLAKE2b: the names say nothing to somebody who may only list them. */
#ifndef DOORPOST_DOOR_H
#define DOORPOST_DOOR_H

#include "config.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOOR_HASH_SIZE 33 /* 32 hexadecimal digits and a NUL */
#define DOOR_SECRET 256   /* bytes of a client id or client secret */

struct door {
    const struct config *config;
    int fd;                          /* of the directory */
    unsigned char *keys;             /* sodium_malloc(); private to door.c */
    char *client_id, *client_secret; /* sodium_malloc(), DOOR_SECRET bytes each; "" until door_client() */
};

/* Opens the directory, creates what is missing in it (the key included), durably. Refuses a directory that
 * others may read or write, or that another user owns. Returns 0, or ERROR_SYSTEM with a reason. */
int door_open(struct door *door, const struct config *config, struct reason *reason);
void door_close(struct door *door);

/* Reads the client id and secret from DOORPOST_CLIENT_FILE if that was not done yet. Returns 0 or
 * ERROR_SYSTEM with a reason. */
int door_client(struct door *door, struct reason *reason);

enum door_purpose { DOOR_ACCOUNT = 1, DOOR_CODE, DOOR_DEVICE, DOOR_COOKIE, DOOR_ENTITY, DOOR_NETWORK };

/* A keyed hash of some bytes, different for each purpose. */
void door_hash(const struct door *door, enum door_purpose purpose, const void *bytes, size_t length,
               char out[DOOR_HASH_SIZE]);

/* Reads or writes an encrypted file (crypto_secretbox, XSalsa20-Poly1305); `path` is relative to the
 * directory and part of what is authenticated, so that files cannot be exchanged. door_read() returns 1 with
 * *text (from sodium_malloc(), NUL-terminated; the caller calls sodium_free()); 0 if there is no such file;
 * ERROR_DAMAGED or ERROR_SYSTEM with a reason. door_write() writes a new file, syncs it, renames it and syncs
 * the directory: after 0 it is durable. */
int door_read(const struct door *door, const char *path, char **text, size_t *length, struct reason *reason);
int door_write(const struct door *door, const char *path, const char *text, size_t length,
               struct reason *reason);

/* Writes a file that is not secret, in the same way. door_remove() makes a removal durable; no file is no
 * error. */
int door_write_plain(const struct door *door, const char *path, const void *bytes, size_t length,
                     struct reason *reason);
int door_remove(const struct door *door, const char *path, struct reason *reason);

/* Opens (and creates) a lock file and waits for its lock, up to `seconds` (0: does not wait). A lock excludes
 * other processes and, unlike fcntl(2) locks of one file, other threads of this one (open file description
 * locks; on NFS, flock(2) is mapped to a lock of the whole file). Returns a descriptor that holds it until
 * close(2); ERROR_TIMEOUT or ERROR_SYSTEM with a reason. */
int door_lock(const struct door *door, const char *path, int seconds, struct reason *reason);

/* Calls `visit` with the name of each file in a subdirectory; stops if it returns other than 0, and returns
 * that. Names that begin with a dot or end in .lock or .new are skipped. */
int door_each(const struct door *door, const char *subdirectory,
              int (*visit)(void *context, const char *name), void *context, struct reason *reason);

#endif
