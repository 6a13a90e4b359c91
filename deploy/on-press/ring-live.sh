#!/bin/sh
# Starts a live video session with the device that was pressed, by WHEP, as Ring suggests (curl):
#
#   doorpost exec --name live --type button_press --timeout 60s -- deploy/on-press/ring-live.sh SETTINGS
#
# SETTINGS is a file with the lines
#
#   API=https://...               the base of Ring's API, from its partner documentation
#   TOKEN_FILE=/.../token         the bearer token, alone in a file of mode 600; the program that renews it replaces the file
#   OFFER=/.../offer.sdp          the SDP offer of the video's receiver
#   ANSWERS=/.../sessions         a directory: the answer is written to DEVICE.sdp, the session's URL to DEVICE.session
#
# A session lasts 30 s on battery, 60 s on mains: a press older than 30 s is skipped.
set -eu
API='' TOKEN_FILE='' OFFER='' ANSWERS=''
# shellcheck source=/dev/null
. "${1:?ring-live.sh SETTINGS}"
now=$(date +%s)
[ $((now - DOORPOST_TIMESTAMP / 1000)) -lt 30 ] || exit 0
case $DOORPOST_DEVICE_ID in
  '' | *[!A-Za-z0-9._-]* | .*) echo "device id not usable in a URL: $DOORPOST_DEVICE_ID" && exit 78 ;;
esac
for file in "$TOKEN_FILE" "$OFFER"; do
  [ -r "$file" ] || { echo "cannot read $file" && exit 78; }
done
answer=$ANSWERS/$DOORPOST_DEVICE_ID
trap 'rm -f "$answer.new" "$answer.head"' EXIT
# The token is passed to curl on standard input: all users can see arguments.
status=$(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$TOKEN_FILE")" |
  curl -sS --config - --max-time 20 -o "$answer.new" -D "$answer.head" -w '%{http_code}' -H 'Content-Type: application/sdp' \
    --data-binary "@$OFFER" "$API/v1/devices/$DOORPOST_DEVICE_ID/media/streaming/whep/sessions")
case $status in
  201) ;;
  401 | 403) echo "Ring refused the token: $status (renew $TOKEN_FILE)" && exit 1 ;;
  *) echo "Ring answered $status" && exit 1 ;;
esac
sed -n 's/^[Ll]ocation: *\([^[:cntrl:]]*\).*/\1/p' "$answer.head" >"$answer.session"
mv "$answer.new" "$answer.sdp"
echo "live: $answer.sdp"
