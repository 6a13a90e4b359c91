/* Where this installation's log lines go. The handler writes to its standard error, which the program that
 * started it chose. */
#ifndef DOORPOST_LOG_LOCATION_H
#define DOORPOST_LOG_LOCATION_H

#include "config.h"

#define LOG_LOCATION_SIZE 256

/* Writes "/var/log/lighttpd/doorpost.log", "journalctl -u doorpost" or the like. Inspects a running worker
 * with these settings, as far as this user may; otherwise names the usual log files of web servers. Returns
 * `out`. */
const char *log_location(const struct config *config, char out[LOG_LOCATION_SIZE]);

#endif
