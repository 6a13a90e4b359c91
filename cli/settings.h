/* The journal and keys that a verb works on: from the handler's settings or the command line. */
#ifndef DOORPOST_SETTINGS_H
#define DOORPOST_SETTINGS_H

#include "config.h"
#include "keys.h"
#include "options.h"

struct settings {
    const char *conf, *journal, *key_file;
    const char *from; /* a database, instead of a journal */
};

/* For the option table of a verb whose struct options has a `struct settings settings`. */
#define OPTION_CONF \
    { 'c', "conf", OPTION_TEXT, "FILE", "the env file with the settings", AT(settings.conf) }
#define OPTION_JOURNAL                                                                         \
    {                                                                                          \
        'J', "journal", OPTION_TEXT, "DIR", "the journal, instead of the one in the settings", \
            AT(settings.journal)                                                               \
    }
#define OPTION_KEY_FILE                                                                           \
    {                                                                                             \
        'K', "key-file", OPTION_TEXT, "FILE", "the key file, instead of the one in the settings", \
            AT(settings.key_file)                                                                 \
    }

#define OPTION_FROM                                                                                \
    {                                                                                              \
        0, "from", OPTION_TEXT, "URL", "the merged stream in this database, instead of a journal", \
            AT(settings.from)                                                                      \
    }

enum need { NEED_NOTHING = 0, NEED_JOURNAL = 1, NEED_KEYS = 2 };

/* Reads the settings as the handler does; the command line takes precedence. Returns 0, or ERROR_SYSTEM with
 * a reason, also if a required setting is missing. If the command line supplies all that is needed and no
 * --conf, unreadable settings are not an error: the reason says why they were ignored. */
int settings_read(const struct settings *settings, unsigned needs, struct config *config,
                  struct reason *reason);

/* As settings_read(), but prints the reason. If root needs the journal, it permanently becomes the journal's
 * owner: it can then do no more than the owner could, and the handler can use what it creates there. Returns
 * 0 or STATUS_PROBLEM. */
int settings_load(const struct settings *settings, unsigned needs, struct config *config);

/* Reads the keys of config->key_file; free with keys_free(). Returns NULL after printing the reason. */
struct keys *settings_keys(const struct config *config);

#endif
