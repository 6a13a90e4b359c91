#!/bin/sh
# press.sh KEY_FILE [URL]: sends one new press, signed as Ring signs it, and prints the answer.
#
# For tests, with a test key only: the key is visible in the process list for a moment.
set -eu
key_file=${1:?press.sh KEY_FILE [URL]}
url=${2:-http://127.0.0.1:8080/doorpost}

body=$(mktemp)
trap 'rm -f "$body"' EXIT
now=$(date -u +%s)
printf '{"meta":{"version":"1.1","time":"%s","request_id":"%s","account_id":"ava1.ring.account.DEMO"},"data":{"id":"%s","type":"button_press","attributes":{"source":"ava1.ring.device.FRONTDOOR","source_type":"devices","timestamp":%s000},"relationships":{"devices":{"links":{"self":"/v1/devices/ava1.ring.device.FRONTDOOR"}}}}}' \
  "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(cat /proc/sys/kernel/random/uuid)" \
  "ava1.ring.device.FRONTDOOR_button_press_$now$$" "$now" >"$body"

signature=$(openssl dgst -sha256 -hmac "$(grep -v '^#' "$key_file" | head -n 1)" <"$body" | sed 's/.*= //')
curl -sS --noproxy '*' --max-time 10 --data-binary "@$body" \
  -H 'Content-Type: application/json' -H "X-Signature: sha256=$signature" "$url"
