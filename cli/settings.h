/* Which journal and which keys a verb works on: the handler's settings, or what the command line says. */
#ifndef DOORPOST_SETTINGS_H
#define DOORPOST_SETTINGS_H

#include "config.h"
#include "keys.h"
#include "options.h"

struct settings {
    const char *conf, *journal, *key_file;
};

/* For a verb's table of options. */
#define OPTION_CONF(settings) \
    { 'c', "conf", OPTION_TEXT, "FILE", "the env file with the settings", &(settings).conf }
#define OPTION_JOURNAL(settings) \
    { 'J', "journal", OPTION_TEXT, "DIR", "the journal, whatever the settings say", &(settings).journal }
#define OPTION_KEY_FILE(settings) \
    { 'K', "key-file", OPTION_TEXT, "FILE", "the key file, whatever the settings say", &(settings).key_file }

enum need { NEED_NOTHING = 0, NEED_JOURNAL = 1, NEED_KEYS = 2 };

/* Reads the settings as the handler does, with what the command line says over them. Returns 0, or
 * ERROR_TROUBLE with a reason; also where something that is needed is not set. If the command line has all
 * that is needed and no
 * --conf, settings that cannot be read are no error: the reason says why they were left out. */
int settings_read(const struct settings *settings, unsigned needs, struct config *config,
                  struct reason *reason);

/* The same, and prints the reason. Returns 0 or STATUS_PROBLEM. */
int settings_load(const struct settings *settings, unsigned needs, struct config *config);

/* Where root runs this and the journal is another user's, goes on as that user for good: whatever a verb
 * makes in the journal must be open to the handler. Returns 0 or says what is wrong and returns
 * STATUS_PROBLEM. */
int settings_become_owner(const struct config *config);

/* The keys of config->key_file, to be freed with keys_free(); NULL after having said why not. */
struct keys *settings_keys(const struct config *config);

#endif
