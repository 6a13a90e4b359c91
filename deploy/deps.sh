#!/bin/sh
# deps.sh PURPOSE...: installs what is missing to build, run or test Doorpost. A purpose is one of build, run, answers, check, stream,
# cluster, suite, door, more, lint, deb, bench and fuzz.
# deps.sh --tell PURPOSE...: installs nothing; lists what is missing, and fails if anything is.
#
# What is already installed, from any source, is left alone; the rest is installed from Debian's (or Ubuntu's) packages, as root or
# through sudo, without prompting. No service is started, now or at the next boot, and no database is created: the tests and the demo start
# their own servers.
set -eu

tell=
if [ "${1:-}" = --tell ]; then
  tell=yes
  shift
fi

missing=
optional=
need() { # PACKAGE TEST...: the package, unless the test succeeds
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
want() { # PACKAGE TEST...: the same, if there is such a package: the tests that use it are skipped without it
  package=$1
  shift
  "$@" >/dev/null 2>&1 || optional="$optional $package"
}
command_is_there() { command -v "$1"; }
library_is_there() { pkg-config --exists "$1"; }
header_is_there() { printf '#include <%s>\n' "$1" | ${CC:-cc} -E -; }
file_is_there() { test -e "$1"; }

case " $* " in
  *" check "*) set -- "$@" answers ;; # a part of it
esac
for purpose in "$@"; do
  case $purpose in
    build)
      need gcc command_is_there "${CC:-cc}"
      need libc6-dev header_is_there stdio.h
      need make command_is_there make
      need pkg-config command_is_there pkg-config
      need libfcgi-dev header_is_there fcgiapp.h
      need libsodium-dev library_is_there libsodium
      need libjson-c-dev library_is_there json-c
      [ "${POSTGRESQL:-}" = no ] || need libpq-dev library_is_there libpq
      ;;
    run)
      need lighttpd command_is_there lighttpd
      need curl command_is_there curl
      need openssl command_is_there openssl
      ;;
    answers)
      need libcmocka-dev library_is_there cmocka
      need lighttpd command_is_there lighttpd
      need lighttpd-mod-openssl file_is_there /usr/lib/lighttpd/mod_openssl.so
      need nginx command_is_there nginx
      need apache2-bin command_is_there apache2
      need libapache2-mod-fcgid file_is_there /usr/lib/apache2/modules/mod_fcgid.so
      need spawn-fcgi command_is_there spawn-fcgi
      need systemd command_is_there systemd-socket-activate
      need curl command_is_there curl
      need openssl command_is_there openssl
      need python3 command_is_there python3
      ;;
    check)
      need apparmor command_is_there apparmor_parser
      need debootstrap command_is_there debootstrap
      need strace command_is_there strace
      need mandoc command_is_there mandoc
      need zsh command_is_there zsh
      want haproxy command_is_there haproxy
      want caddy command_is_there caddy
      want h2o command_is_there h2o
      want libfcgi-bin command_is_there cgi-fcgi
      want libfcgi-client-perl perl -MFCGI::Client -e 1
      want fcgiwrap command_is_there fcgiwrap
      want busybox command_is_there busybox
      want uwsgi-core command_is_there uwsgi
      ;;
    stream)
      need postgresql ls /usr/lib/postgresql/*/bin/postgres
      ;;
    cluster)
      need postgresql ls /usr/lib/postgresql/*/bin/postgres
      need patroni command_is_there patroni
      need etcd-server command_is_there etcd
      need etcd-client command_is_there etcdctl
      need python3-etcd /usr/bin/python3 -c 'import etcd'
      need iproute2 command_is_there ip
      ;;
    suite)
      need debootstrap command_is_there debootstrap
      ;;
    door)
      need openssl command_is_there openssl
      need curl command_is_there curl
      want python3-aiohttp /usr/bin/python3 -c 'import aiohttp'
      want python3-aiortc /usr/bin/python3 -c 'import aiortc'
      want chromium command_is_there chromium
      want chromium-driver command_is_there chromedriver
      ;;
    more)
      need buildah command_is_there buildah
      need prometheus command_is_there promtool
      ;;
    lint)
      need clang-format command_is_there clang-format
      need clang-tidy command_is_there clang-tidy
      need cppcheck command_is_there cppcheck
      need shellcheck command_is_there shellcheck
      ;;
    deb)
      need dpkg-dev command_is_there dpkg-buildpackage
      need debhelper command_is_there dh
      need dh-apparmor command_is_there dh_apparmor
      need lintian command_is_there lintian
      ;;
    fuzz)
      need clang command_is_there clang
      need libclang-rt-14-dev sh -c 'ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a'
      ;;
    bench)
      need wrk command_is_there wrk
      need valgrind command_is_there valgrind
      need php-fpm ls /usr/sbin/php-fpm*
      need gunicorn file_is_there /usr/bin/gunicorn
      need python3-flask /usr/bin/python3 -c 'import flask'
      need webhook command_is_there webhook
      need nodejs command_is_there node
      need perl perl -MJSON::PP -e 1
      ;;
    *)
      echo "deps.sh: unknown purpose $purpose: use build, run, answers, check, stream, cluster, suite, door, more, lint, deb, bench or fuzz" >&2
      exit 2
      ;;
  esac
done
known() { # PACKAGE...: those that apt knows
  for package in "$@"; do
    ! apt-cache show "$package" >/dev/null 2>&1 || printf ' %s' "$package"
  done
}
# shellcheck disable=SC2086 # $optional is a list
[ -n "$missing" ] || optional=$(known $optional)
[ -n "$missing$optional" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing packages (Debian names):$missing. apt-get was not found: install them with your package manager, then run this again." >&2
  exit 1
fi
if [ -n "$tell" ]; then
  echo "Missing packages:$missing. Run \`make deps\` to install what the build needs." >&2
  exit 1
fi

# Debian runs this program before it starts a service. An existing one is the administrator's, and stays.
policy=/usr/sbin/policy-rc.d
hold='#!/bin/sh
# no service is started while deploy/deps.sh runs
exit 101'
# Debian reads this file before it creates a database cluster for a new PostgreSQL. An existing one stays, too.
clusters=/etc/postgresql-common/createcluster.conf
no_cluster='create_main_cluster = false # while deploy/deps.sh runs'
services_at_boot() {
  (cd /etc/systemd/system 2>/dev/null && find multi-user.target.wants sockets.target.wants -regex '.*[.]\(service\|socket\)' -printf '%f\n' 2>/dev/null) || :
}
hold_services() {
  export NEEDRESTART_SUSPEND=1 DPKG_FORCE=confold
  at_boot=$(services_at_boot)
  trap keep_from_boot EXIT
  trap 'exit 1' HUP INT TERM
  [ -e "$policy" ] || put "$policy" 755 "$hold"
  case $missing in
    *" postgresql"*)
      $as_root mkdir -p "${clusters%/*}"
      [ -e "$clusters" ] || put "$clusters" 644 "$no_cluster"
      ;;
  esac
}
put() { # FILE MODE TEXT
  # shellcheck disable=SC2016 # its own arguments
  printf '%s\n' "$3" | $as_root sh -c 'cat >"$1" && chmod "$2" "$1"' sh "$1" "$2"
}
keep_from_boot() { # disables the services that are new
  [ "$(cat "$policy" 2>/dev/null)" != "$hold" ] || $as_root rm -f "$policy"
  [ "$(cat "$clusters" 2>/dev/null)" != "$no_cluster" ] ||
    $as_root cp /usr/share/postgresql-common/createcluster.conf "$clusters" 2>/dev/null || $as_root rm -f "$clusters"
  for service in $(services_at_boot); do
    printf '%s\n' "$at_boot" | grep -Fqx "$service" || ! $as_root systemctl --quiet disable "$service" 2>/dev/null ||
      echo "$service was not started or enabled. To use it: systemctl enable --now $service"
  done
}

as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    [ -n "$missing" ] || exit 0 # missing optional packages are no reason to fail
    echo "Missing packages:$missing. Not root, and sudo was not found: run \`apt-get install$missing\` as root, then run this again." >&2
    exit 1
  fi
  as_root="sudo env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 DPKG_FORCE=confold" # sudo drops exported variables
fi
echo "Installing$missing$optional with apt-get${as_root:+ through sudo}."
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >/dev/null
hold_services
# shellcheck disable=SC2086 # $missing is a list
[ -z "$missing" ] || $as_root apt-get install -y -q --no-install-recommends $missing >/dev/null || {
  echo "apt-get could not install$missing: fix the error above, then run this again." >&2
  exit 1
}
# shellcheck disable=SC2046,SC2086 # lists
[ -z "$optional" ] || $as_root apt-get install -y -q --no-install-recommends $(known $optional) >/dev/null ||
  echo "Some of$optional could not be installed: tests that use them will be skipped."
