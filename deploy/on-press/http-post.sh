#!/bin/sh
# Hands the event on, as Ring sent it, to any URL that takes a POST of JSON (curl):
#
#   doorpost exec --name hand-on -- deploy/on-press/http-post.sh https://example.org/hook
#
# What answers 4xx will not take it later either: the event is given up at once. All else is tried again.
set -eu
url=${1:?http-post.sh URL}
status=$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $DOORPOST_SEQ" --data-binary @- "$url") || exit 1
case $status in
  2??) exit 0 ;;
  408 | 425 | 429) exit 1 ;;
  4??) echo "$url answered $status" && exit 78 ;;
  *) echo "$url answered $status" && exit 1 ;;
esac
