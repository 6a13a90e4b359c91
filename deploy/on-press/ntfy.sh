#!/bin/sh
# Sends a message to a phone through ntfy (https://ntfy.sh, or your own server), with the picture of the press and a link to the door page.
# Settings: NTFY_URL, NTFY_TOKEN, DOOR_URL (settings.sh says where). Needs curl.
#
#   doorpost exec --name ntfy --type button_press --timeout 60s -- deploy/on-press/ntfy.sh [NTFY_URL]
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/settings.sh"
NTFY_URL=${1:-${NTFY_URL:-}}
need NTFY_URL "the topic's address, as in https://ntfy.sh/a-topic-that-nobody-guesses"
need_program curl curl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/event"
at=$(date -d "@$((DOORPOST_TIMESTAMP / 1000))" +%H:%M:%S)
text="$DOORPOST_DEVICE_ID at $at"

# A token in curl's arguments would be visible to every user, so the options go to its standard input.
options() {
  printf 'header = "Title: Someone is at the door"\nheader = "Priority: high"\nheader = "Tags: bell"\n'
  [ -z "${DOOR_URL:-}" ] || printf 'header = "Click: %s#seq=%s"\n' "$DOOR_URL" "$DOORPOST_SEQ"
  [ -z "${NTFY_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$NTFY_TOKEN"
}
send() { # curl's options
  options | curl --disable -sS --config - --fail --max-time 20 -o /dev/null "$@" "$NTFY_URL"
}
if picture "$work/door.jpg" "$work/event"; then
  send -H "Filename: door.jpg" -H "Message: $text" --upload-file "$work/door.jpg"
else
  send --data-binary "$text"
fi
