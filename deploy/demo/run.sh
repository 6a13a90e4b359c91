#!/bin/sh
# run.sh BINARY: shows Doorpost at work. Makes a demo directory with a fresh key beside the binary (for root, one that is removed at the
# end), starts lighttpd on 127.0.0.1:$PORT (8080) from deploy/lighttpd/fastcgi.conf, sends a signed press through it, shows what became
# of it and of every later one, and keeps serving until Ctrl-C. The tool `doorpost` has to be beside the binary.
set -eu
binary=$(realpath "${1:?run.sh BINARY}")
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-8080}
url=http://127.0.0.1:$port/doorpost
demo=$(dirname "$binary")/demo
# Root's tool reads nothing that another user can change, which may be so here.
[ "$(id -u)" -ne 0 ] || demo=$(mktemp -d)

# 7 is curl's "could not connect": nobody listens there, as it should be.
status=0
curl -s --noproxy '*' -o /dev/null --max-time 2 "http://127.0.0.1:$port/" || status=$?
if [ "$status" -ne 7 ]; then
  echo "Port $port on 127.0.0.1 is in use: stop what listens there, or choose another one: make run PORT=8081" >&2
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
# As it ships, but for the paths, and without HTTPS.
# shellcheck disable=SC2016 # it is lighttpd's $HTTP
sed -e '/^ssl\./d' -e '/ssl\.engine/d' -e 's/"mod_openssl", //' -e 's/\$SERVER\["socket"\] =~ ":443\$"/$HTTP["scheme"] == "http"/' \
  -e "s#/usr/local/lib/doorpost/doorpost.cgi#$binary#" -e "s#/etc/doorpost/doorpost.env#$demo/doorpost.env#" \
  -e "s#/run/lighttpd/doorpost.sock#$demo/socket#" \
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

lighttpd -D -f "$demo/lighttpd.conf" &
server=$!
log=
stop() {
  trap - EXIT
  trap '' HUP INT TERM
  # shellcheck disable=SC2086 # $log may be nothing
  kill "$server" $log 2>/dev/null || :
  wait
}
trap stop EXIT
finish() {
  stop
  [ "$(id -u)" -ne 0 ] || rm -rf "$demo"
  exit 0
}
trap finish HUP INT TERM # HUP: the terminal was closed

tries=0
until [ "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$url" || :)" = 405 ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
    echo "lighttpd did not start serving; $demo/lighttpd.log and $demo/doorpost.log say why." >&2
    exit 1
  fi
  sleep 0.1
done

since=@$(date +%s)
echo "Doorpost is running behind lighttpd at $url. One signed press through it:"
echo
"$here/press.sh" "$demo/key" "$url"
echo
echo "What the journal holds of it ($demo/journal):"
echo
tail -n 1 "$demo"/journal/*.jsonl
echo
echo "Another press, from another terminal:"
echo
echo "    $here/press.sh $demo/key $url"
echo
echo "Each is shown here as it comes. Ctrl-C ends it."
echo
"$(dirname "$binary")/doorpost" log -f --since "$since" --conf "$demo/doorpost.env" &
log=$!
wait "$server"
