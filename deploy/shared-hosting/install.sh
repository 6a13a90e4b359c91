#!/bin/sh
# install.sh [--cgi-bin DIR] [--url URL] [--private DIR] [--key-file FILE]: installs Doorpost on a shared host, without root.
#
# Asks for any value not given as an option. Installs doorpost.cgi and door.cgi in cgi-bin; creates ~/doorpost, which only you can read,
# with the signing key, the journal and the tool; checks the installation, and prints the four URLs to register with Ring. Run again, it
# updates the programs and changes nothing else.
set -eu
umask 077
unset DOORPOST_CONF DOORPOST_KEY_FILE DOORPOST_JOURNAL

here=$(cd "$(dirname "$0")" && pwd -P)
cgi_bin=''
url=''
private=''
key_file=''
fail() {
  echo "install.sh: $*" >&2
  exit 1
}
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      sed -n '2,6s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --cgi-bin | --url | --private | --key-file) [ $# -ge 2 ] || fail "$1 needs a value (install.sh --help)" ;;
    *) fail "unknown option $1 (install.sh --help)" ;;
  esac
  case $1 in
    --cgi-bin) cgi_bin=$2 ;;
    --url) url=$2 ;;
    --private) private=$2 ;;
    --key-file) key_file=$2 ;;
  esac
  shift 2
done

ask() { # QUESTION DEFAULT: prints the answer
  printf '%s%s: ' "$1" "${2:+ [$2]}" >&2
  IFS= read -r answer || fail "no input: give the value as an option (install.sh --help)"
  printf '%s\n' "${answer:-$2}"
}

"$here/doorpost/doorpost" --version >/dev/null 2>&1 ||
  fail "cannot run $here/doorpost/doorpost: this bundle is for Linux on x86_64, and this system is $(uname -sm)$(
    [ -x "$here/doorpost/doorpost" ] || echo '; or the program is not executable: unpack the bundle again with tar')"

if [ -z "$cgi_bin" ]; then
  found=
  for place in public_html/cgi-bin www/cgi-bin htdocs/cgi-bin httpdocs/cgi-bin html/cgi-bin cgi-bin; do
    [ -z "$found" ] && [ -d "$HOME/$place" ] && found=$HOME/$place
  done
  cgi_bin=$(ask "Directory for CGI programs" "${found:-$HOME/public_html/cgi-bin}")
fi
(umask 022 && mkdir -p "$cgi_bin" && chmod go-w "$cgi_bin") || fail "cannot create $cgi_bin or change its mode: choose a directory that you own (--cgi-bin DIR)"
cgi_bin=$(cd "$cgi_bin" && pwd -P)

# What the web serves: the path down to a directory with one of the usual names.
home=$(cd "$HOME" && pwd -P)
root=
path=/cgi-bin
for name in public_html htdocs httpdocs html www; do
  case $cgi_bin in
    */$name/*)
      root=${cgi_bin%%/"$name"/*}/$name
      path=${cgi_bin#"$root"}
      break
      ;;
  esac
done

# Without other settings, doorpost.cgi looks for a directory doorpost above itself.
if [ -z "$private" ]; then
  case $cgi_bin in
    "$home"/*) private=$home/doorpost ;;
    *) private=$(dirname "${root:-$cgi_bin}")/doorpost ;;
  esac
fi
case $private/ in
  "${root:-$cgi_bin}"/*) fail "$private is in a directory that the web server serves: choose one outside ${root:-$cgi_bin} (--private DIR)" ;;
esac

if [ -z "$url" ]; then
  host=$(ask "Address of your site, for example https://your.host" "")
  [ -n "$host" ] || fail "the address of your site is missing: Ring sends the presses there (--url URL)"
  case $host in
    http://* | https://*) ;;
    *) host=https://$host ;;
  esac
  url=${host%/}$path/doorpost.cgi
fi

door=${url%/*}/door.cgi

put() { # FILE DIRECTORY: replaces it atomically, because deliveries may arrive at the same time
  if ! { cp "$here/$1" "$2/.doorpost.new" && chmod 755 "$2/.doorpost.new" && mv "$2/.doorpost.new" "$2/${1##*/}"; }; then
    fail "cannot write ${1##*/} to $2"
  fi
}

[ ! -e "$private/key" ] || key_file=
"$here/doorpost/doorpost" init "$private" ${key_file:+--key-file "$key_file"} >/dev/null
chmod 700 "$private"
put doorpost/doorpost "$private"
cp "$here/doorpost/.htaccess" "$private/.htaccess"
put cgi-bin/doorpost.cgi "$cgi_bin"
put cgi-bin/door.cgi "$cgi_bin"
mkdir -p "$private/door"
[ -e "$private/client" ] || cp "$here/doorpost/client" "$private/client"
client=
if grep -q '^[^#]' "$private/client"; then
  client=yes
  grep -q '^DOORPOST_DOOR=' "$private/doorpost.env" || printf 'DOORPOST_DOOR=door\nDOORPOST_CLIENT_FILE=client\n' >>"$private/doorpost.env"
fi
if [ -e "$cgi_bin/.htaccess" ]; then
  cmp -s "$here/cgi-bin/.htaccess" "$cgi_bin/.htaccess" ||
    echo "$cgi_bin/.htaccess exists and was not changed. If doorpost.cgi does not run, add the lines of $here/cgi-bin/.htaccess to it."
else
  cp "$here/cgi-bin/.htaccess" "$cgi_bin/.htaccess"
  chmod 644 "$cgi_bin/.htaccess"
fi

found=
case $cgi_bin/ in
  "$(dirname "$private")"/*) [ "${private##*/}" = doorpost ] || found=no ;;
  *) found=no ;;
esac
[ -z "$found" ] || echo "doorpost.cgi cannot find $private by itself: set DOORPOST_CONF=$private/doorpost.env for it (SetEnv)."

echo
echo "Checking the installation, from the key to $url:"
echo
if "$private/doorpost" doctor --conf "$private/doorpost.env" --url "$url"; then
  echo
  echo "Register these URLs with Ring:"
  echo
  echo "    Webhook URL         $url"
  echo "    Token Exchange URL  $door"
  echo "    Account Link URL    $door"
  echo "    App Homepage URL    $door"
  echo
  [ -n "$client" ] || echo "Then put Ring's client id and client secret, a line each, into $private/client, and run install.sh again."
  echo "To add a user of the door page:  $private/doorpost door user add NAME"
  echo "To renew Ring's tokens, a line for crontab -e:  17 */6 * * * $private/doorpost account refresh"
  echo "To see incoming events:  $private/doorpost log -f"
else
  echo
  echo "Doorpost is installed, but the check above found problems. Fix them, then run:"
  echo
  echo "    $private/doorpost doctor --url $url"
  echo
  echo "When it reports no problem, register $url with Ring as the Webhook URL, and $door as the other three."
  exit 1
fi
