#!/bin/sh
# A line in the system's log (logger, which every Debian has). `make install` puts it where doorpost-exec.service finds it:
#
#   doorpost exec --name log --type button_press -- /usr/local/lib/doorpost/log-press
#
set -eu
exec logger -t doorpost -- "$DOORPOST_TYPE $DOORPOST_DEVICE_ID, number $DOORPOST_SEQ"
