#!/bin/sh
# Shows a notification on this desktop (libnotify-bin):
#
#   doorpost exec --name notify --type button_press -- deploy/on-press/notify.sh
#
# Run it in the session of the user to notify. A press older than five minutes (the machine was off) is skipped.
set -eu
now=$(date +%s)
[ $((now - DOORPOST_TIMESTAMP / 1000)) -lt 300 ] || exit 0
exec notify-send --urgency=critical --app-name=Doorpost -- "Someone is at the door" "$DOORPOST_DEVICE_ID"
