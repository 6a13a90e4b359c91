#!/bin/sh
# A notification on this desktop (libnotify-bin):
#
#   doorpost exec --name notify --type button_press -- deploy/on-press/notify.sh
#
# It has to run in the session of the user who is to see it. A press that is older than five minutes (the machine was off) is let go.
set -eu
now=$(date +%s)
[ $((now - DOORPOST_TIMESTAMP / 1000)) -lt 300 ] || exit 0
exec notify-send --urgency=critical --app-name=Doorpost -- "Somebody is at the door" "$DOORPOST_DEVICE_ID"
