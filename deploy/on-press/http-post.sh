#!/bin/sh
# Passes the event on, as Ring sent it, to any URL that accepts a POST of JSON. Settings: POST_URL (settings.sh says where). Needs curl.
#
#   doorpost exec --name pass-on -- deploy/on-press/http-post.sh [URL]
#
# A 4xx answer is final: a retry cannot help, so the event is given up at once. Everything else is retried.
set -eu
# shellcheck source=/dev/null
. "$(dirname "$0")/settings.sh"
POST_URL=${1:-${POST_URL:-}}
need POST_URL "where to send each event"
need_program curl curl
status=$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $DOORPOST_SEQ" --data-binary @- "$POST_URL") || exit 1
case $status in
  2??) exit 0 ;;
  408 | 425 | 429) exit 1 ;;
  4??) echo "$POST_URL answered $status" && exit 78 ;;
  *) echo "$POST_URL answered $status" && exit 1 ;;
esac
