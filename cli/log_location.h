/* Where the log lines of this set-up go. The handler writes to its standard error, which whatever started it
 * chose. */
#ifndef DOORPOST_LOG_LOCATION_H
#define DOORPOST_LOG_LOCATION_H

#include "config.h"

#define LOG_LOCATION_SIZE 256

/* Writes "/var/log/lighttpd/doorpost.log", "journalctl -u doorpost" or the like. It is asked of a running
 * worker with these settings, as far as this user may look at it; else the files are named that web servers
 * usually have. Returns `out`. */
const char *log_location(const struct config *config, char out[LOG_LOCATION_SIZE]);

#endif
