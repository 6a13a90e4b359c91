/* Which journal and which keys a verb works on: the handler's settings, or what the command line says. */
#ifndef DOORPOST_SETTINGS_H
#define DOORPOST_SETTINGS_H

#include "config.h"
#include "keys.h"
#include "options.h"

struct settings {
    const char *conf, *journal, *key_file;
};

/* For a verb's table of options, if its struct options has a `struct settings settings`. */
#define OPTION_CONF \
    { 'c', "conf", OPTION_TEXT, "FILE", "the env file with the settings", AT(settings.conf) }
#define OPTION_JOURNAL \
    { 'J', "journal", OPTION_TEXT, "DIR", "the journal, whatever the settings say", AT(settings.journal) }
#define OPTION_KEY_FILE \
    { 'K', "key-file", OPTION_TEXT, "FILE", "the key file, whatever the settings say", AT(settings.key_file) }

enum need { NEED_NOTHING = 0, NEED_JOURNAL = 1, NEED_KEYS = 2 };

/* Reads the settings as the handler does, with what the command line says over them. Returns 0, or
 * ERROR_TROUBLE with a reason; also where something that is needed is not set. If the command line has all
 * that is needed and no
 * --conf, settings that cannot be read are no error: the reason says why they were left out. */
int settings_read(const struct settings *settings, unsigned needs, struct config *config,
                  struct reason *reason);

/* The same, and prints the reason. Root that needs the journal goes on as the journal's owner, for good: it
 * can then do no more than the owner could, and what it makes in the journal is open to the handler. Returns
 * 0 or STATUS_PROBLEM. */
int settings_load(const struct settings *settings, unsigned needs, struct config *config);

/* The keys of config->key_file, to be freed with keys_free(); NULL after having said why not. */
struct keys *settings_keys(const struct config *config);

#endif
