#!/bin/sh
# Posts the event, as Ring sent it, to any URL that accepts JSON (curl):
#
#   doorpost exec --name forward -- deploy/on-press/http-post.sh https://example.org/hook
#
# A 4xx answer is final: the event is given up at once, except for 408, 425 and 429. All other failures are retried.
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
