#!/bin/sh
# run.sh BINARY: demonstrates Doorpost. Creates a demo directory with a new key next to the binary (for root, a temporary one), starts
# lighttpd on 127.0.0.1:$PORT (8080) with deploy/lighttpd/fastcgi.conf, sends a signed press through it, shows its journal line and every
# later event, and serves until Ctrl-C. The tool `doorpost` must be next to the binary. If python3-aiohttp is installed, the door page is
# served at /door too, with tests/door/ring.py in place of Ring (live video needs python3-aiortc).
set -eu
binary=$(realpath "${1:?run.sh BINARY}")
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-8080}
url=http://127.0.0.1:$port/doorpost
demo=$(dirname "$binary")/demo
# As root, the tool reads nothing that another user can change, and that may include this directory.
[ "$(id -u)" -ne 0 ] || demo=$(mktemp -d)

# 7 is curl's "could not connect": the port is free.
status=0
curl -s --noproxy '*' -o /dev/null --max-time 2 "http://127.0.0.1:$port/" || status=$?
if [ "$status" -ne 7 ]; then
  echo "Port $port on 127.0.0.1 is in use: stop the program that listens on it, or choose another: make run PORT=8081" >&2
  exit 1
fi

umask 077
mkdir -p "$demo/journal"
[ -s "$demo/key" ] || openssl rand -base64 32 >"$demo/key"
cat >"$demo/doorpost.env" <<END
DOORPOST_KEY_FILE="$demo/key"
DOORPOST_JOURNAL="$demo/journal"
DOORPOST_LOG=all
END

stand_in=$here/../../tests/door/ring.py
server=
log=
ring=
stop() {
  trap - EXIT
  trap '' HUP INT TERM
  # shellcheck disable=SC2086 # each may be nothing
  kill $server $log $ring 2>/dev/null || :
  wait
}
trap stop EXIT
finish() {
  stop
  [ "$(id -u)" -ne 0 ] || rm -rf "$demo"
  exit 0
}
trap finish HUP INT TERM # HUP: the terminal was closed
if [ -x "${binary%/*}/doorpost-door.cgi" ] && [ -e "$stand_in" ] && /usr/bin/python3 -c 'import aiohttp' 2>/dev/null; then
  rm -rf "$demo/door" "$demo/ring"
  mkdir "$demo/door" "$demo/ring"
  mkfifo "$demo/ring/stdin" # the stand-in ends when its standard input does
  /usr/bin/python3 "$stand_in" --demo --directory "$demo/ring" --signing-key "$demo/key" <>"$demo/ring/stdin" \
    >"$demo/ring/addresses" 2>"$demo/ring/log" &
  ring=$!
fi
# As shipped, except for the paths, and without HTTPS.
# shellcheck disable=SC2016 # it is lighttpd's $HTTP
sed -e '/^ssl\./d' -e '/ssl\.engine/d' -e 's/"mod_openssl", //' -e 's/\$SERVER\["socket"\] =~ ":443\$"/$HTTP["scheme"] == "http"/' \
  -e "s#/usr/local/lib/doorpost/doorpost.cgi#$binary#" -e "s#/usr/local/lib/doorpost#${binary%/*}#" \
  -e "s#/etc/doorpost/doorpost.env#$demo/doorpost.env#" -e "s#/run/lighttpd/#$demo/#" \
  -e "s#/var/log/lighttpd/doorpost.log#$demo/doorpost.log#" \
  "$here/../lighttpd/fastcgi.conf" >"$demo/fastcgi.conf"
cat >"$demo/lighttpd.conf" <<END
server.bind = "127.0.0.1"
server.port = $port
server.document-root = "$demo/empty"
server.errorlog = "$demo/lighttpd.log"
include "$demo/fastcgi.conf"
END
mkdir -p "$demo/empty"

address() { # NAME: of the stand-in
  sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$demo/ring/addresses"
}
tell_ring() { # ACTION JSON
  curl -sSf --noproxy '*' --max-time 30 -H 'Content-Type: application/json' -d "$2" "$(address control)/$1"
}
page() { # QUERY CURL-OPTION...: posts to the door page as its own forms do
  query=$1
  shift
  curl -sSf --noproxy '*' --max-time 60 -o /dev/null -H 'Sec-Fetch-Site: same-origin' "$@" "${url%post}$query"
}
connect() { # what Ring and its user do to connect an account
  now=$(date +%s)000
  code=$(tell_ring code '{"account":"ava1.ring.account.DEMO"}' | tr -d '"') &&
    page '' -d "code=$code" &&
    page '?/login' -D "$demo/ring/answer" -d user=demo --data-urlencode "password=$password" &&
    nonce=$(tell_ring nonce "{\"account\":\"ava1.ring.account.DEMO\",\"time\":$now}" | sed 's/\["\([^"]*\)".*/\1/') &&
    cookie=$(sed -n 's/^[Ss]et-[Cc]ookie: \([^;]*\);.*/\1/p' "$demo/ring/answer") &&
    page "?/link&nonce=$nonce&time=$now" -H "Cookie: $cookie" -d ''
}

if [ -n "$ring" ]; then
  tries=0
  until [ -s "$demo/ring/addresses" ] || [ "$tries" -gt 300 ] || ! kill -0 "$ring" 2>/dev/null; do
    tries=$((tries + 1))
    sleep 0.1
  done
  printf 'client-1\nsecret-1\n' >"$demo/ring/client"
  cat >>"$demo/doorpost.env" <<END
DOORPOST_DOOR="$demo/door"
DOORPOST_CLIENT_FILE="$demo/ring/client"
DOORPOST_API="$(address api)"
DOORPOST_OAUTH="$(address oauth)"
DOORPOST_CA="$(address ca)"
END
  password=$(openssl rand -hex 6)
  echo "$password" | "${binary%/*}/doorpost" door user add demo --conf "$demo/doorpost.env" >/dev/null
fi

lighttpd -D -f "$demo/lighttpd.conf" &
server=$!

tries=0
until [ "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$url" || :)" = 405 ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
    echo "lighttpd does not answer at $url: see $demo/lighttpd.log and $demo/doorpost.log" >&2
    exit 1
  fi
  sleep 0.1
done

[ -z "$ring" ] || connect || {
  echo "The door page could not be connected: see $demo/doorpost.log and $demo/ring/log" >&2
  exit 1
}

since=@$(date +%s)
echo "Doorpost is running behind lighttpd at $url. Answer to a signed press:"
echo
"$here/press.sh" "$demo/key" "$url"
echo
echo "Its line in the journal ($demo/journal):"
echo
tail -n 1 "$demo"/journal/*.jsonl
echo
[ -z "$ring" ] || {
  echo "The door page, with a stand-in for Ring: http://localhost:$port/door   user: demo   password: $password"
  echo
}
echo "To send another press, run in another terminal:"
echo
echo "    $here/press.sh $demo/key $url"
echo
echo "Events are shown here as they arrive. Press Ctrl-C to stop."
echo
"$(dirname "$binary")/doorpost" log -f --since "$since" --conf "$demo/doorpost.env" &
log=$!
wait "$server"
