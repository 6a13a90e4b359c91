/* The settings: environment variables named DOORPOST_..., and the same names in an env file. */
#ifndef DOORPOST_CONFIG_H
#define DOORPOST_CONFIG_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_FILE "/etc/doorpost/doorpost.env"
#define CONFIG_PATH_SIZE 1024
#define BODY_DEFAULT 65536
/* A request must fit into a socket's buffer, because a worker accepts it only when it is complete. */
#define BODY_LIMIT 131072
#define CONFIG_URL_SIZE 256
#define API_DEFAULT "https://api.amazonvision.com"
#define OAUTH_DEFAULT "https://oauth.ring.com/oauth/token"
#define HOLD_LIMIT 1000

enum door_login { LOGIN_PASSWORD, LOGIN_REMOTE_USER };
enum log_level { LOG_OFF, LOG_PROBLEMS, LOG_ALL };

struct config {
    char file[CONFIG_PATH_SIZE];        /* the env file that was read or could not be read, or "" */
    char key_file[CONFIG_PATH_SIZE];    /* DOORPOST_KEY_FILE, an absolute path */
    char journal[CONFIG_PATH_SIZE];     /* DOORPOST_JOURNAL, an absolute path */
    size_t max_body;                    /* DOORPOST_MAX_BODY, bytes, 1 to BODY_LIMIT */
    int64_t max_age;                    /* DOORPOST_MAX_AGE, seconds; 0 is off */
    enum log_level log;                 /* DOORPOST_LOG */
    char on_event[CONFIG_PATH_SIZE];    /* DOORPOST_ON_EVENT: a program and its arguments, or "" */
    char door[CONFIG_PATH_SIZE];        /* DOORPOST_DOOR: the door page's private directory, or "" */
    char client_file[CONFIG_PATH_SIZE]; /* DOORPOST_CLIENT_FILE: client id and client secret, or "" */
    char api[CONFIG_URL_SIZE];          /* DOORPOST_API */
    char oauth[CONFIG_URL_SIZE];        /* DOORPOST_OAUTH */
    char ca[CONFIG_PATH_SIZE];  /* DOORPOST_CA: certificates of the CAs for both, or "": the system's */
    int door_hold;              /* DOORPOST_DOOR_HOLD: requests that a worker may hold; -1: by web server */
    enum door_login door_login; /* DOORPOST_DOOR_LOGIN */
    struct reason warning;      /* about an unknown setting, or "" */
};

/* Finds the env file that config_read() reads. Returns 1 with its path if it must exist, 0 if it may be
 * absent, or ERROR_SYSTEM with a reason. */
int config_find(char path[CONFIG_PATH_SIZE], struct reason *reason);

/* Reads one env file, then the environment, which overrides it. The env file is the one DOORPOST_CONF names
 * (which must exist); else doorpost/doorpost.env in the nearest directory above this program that has one
 * owned by root or this process's user; else CONFIG_DEFAULT_FILE, if it exists. Paths in an env file are
 * absolute, or relative to its directory.
 *
 * Returns 0, or ERROR_SYSTEM with a reason that names the setting. Fields that could not be read have their
 * defaults, so the caller can still log. */
int config_read(struct config *config, struct reason *reason);

/* Like config_read(), but fails if one of the two settings that the handler requires is missing. */
int config_load(struct config *config, struct reason *reason);

/* The directory that contains this program's file. Returns 0, or -1 with errno set. */
int config_program_directory(char out[CONFIG_PATH_SIZE]);

#endif
