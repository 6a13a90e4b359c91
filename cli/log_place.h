/* Where the log lines of this set-up go. The handler writes to its standard error, which whatever started it
 * chose. */
#ifndef DOORPOST_LOG_PLACE_H
#define DOORPOST_LOG_PLACE_H

#include "config.h"

#define LOG_PLACE_SIZE 256

/* Writes "/var/log/lighttpd/doorpost.log", "journalctl -u doorpost" or the like. It is asked of a running
 * worker with these settings, as far as this user may look at it; else the files are named that web servers
 * usually have. Returns `out`. */
const char *log_place(const struct config *config, char out[LOG_PLACE_SIZE]);

#endif
