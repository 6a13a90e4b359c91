/* The settings: environment variables named DOORPOST_..., and the same names in an env file. */
#ifndef DOORPOST_CONFIG_H
#define DOORPOST_CONFIG_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_FILE "/etc/doorpost/doorpost.env"
#define CONFIG_PATH_SIZE 1024
#define BODY_DEFAULT 65536
/* A request has to fit into a socket's buffer, because a worker takes it only once it is whole. */
#define BODY_LIMIT 131072

enum log_level { LOG_OFF, LOG_PROBLEMS, LOG_ALL };

struct config {
    char file[CONFIG_PATH_SIZE];     /* the env file that was read, or cannot be; or "" */
    char key_file[CONFIG_PATH_SIZE]; /* DOORPOST_KEY_FILE, an absolute path */
    char journal[CONFIG_PATH_SIZE];  /* DOORPOST_JOURNAL, an absolute path */
    size_t max_body;                 /* DOORPOST_MAX_BODY, bytes, 1 to BODY_LIMIT */
    int64_t max_age;                 /* DOORPOST_MAX_AGE, seconds; 0 is off */
    enum log_level log;              /* DOORPOST_LOG */
    char on_event[CONFIG_PATH_SIZE]; /* DOORPOST_ON_EVENT: a program and its arguments, or "" */
    struct reason warning;           /* a name that no setting has, or "" */
};

/* Which env file would config_read() read? Returns 1 with its path if it must exist, 0 if it may be absent,
 * or ERROR_TROUBLE with a reason. */
int config_find(char path[CONFIG_PATH_SIZE], struct reason *reason);

/* Reads one env file and then the environment, which wins. The env file is the one that DOORPOST_CONF names
 * (it must exist then); else doorpost/doorpost.env in the nearest of the directories above this program where
 * the user that it runs as has one; else CONFIG_DEFAULT_FILE, where it exists. Paths in an env file are
 * absolute, or relative to its directory.
 *
 * Returns 0, or ERROR_TROUBLE with a reason that names the setting. The fields hold defaults where they could
 * not be read, so that a caller can still log. */
int config_read(struct config *config, struct reason *reason);

/* The same, and the two settings that the handler cannot do without must be there. */
int config_load(struct config *config, struct reason *reason);

/* The directory that this program's file is in. Returns 0, or -1 where the system does not tell (errno). */
int config_program_directory(char out[CONFIG_PATH_SIZE]);

#endif
