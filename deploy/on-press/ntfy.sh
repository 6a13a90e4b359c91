#!/bin/sh
# Sends a message to a phone through ntfy (https://ntfy.sh, or your own server; curl):
#
#   doorpost exec --name ntfy --type button_press -- deploy/on-press/ntfy.sh https://ntfy.sh/a-topic-nobody-guesses
set -eu
url=${1:?ntfy.sh URL}
at=$(date -d "@$((DOORPOST_TIMESTAMP / 1000))" +%H:%M:%S)
exec curl -sS --fail --max-time 20 -o /dev/null -H 'Title: Someone is at the door' -H 'Priority: high' -H 'Tags: bell' \
  --data-binary "$DOORPOST_DEVICE_ID at $at" "$url"
