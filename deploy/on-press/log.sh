#!/bin/sh
# Writes a line to the system log (logger). `make install` installs it where doorpost-exec.service expects it:
#
#   doorpost exec --name log --type button_press -- /usr/local/lib/doorpost/log-press
#
set -eu
exec logger -t doorpost -- "$DOORPOST_TYPE $DOORPOST_DEVICE_ID, number $DOORPOST_SEQ"
