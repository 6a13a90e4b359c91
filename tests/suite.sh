#!/bin/sh
# suite.sh SUITE [MIRROR]: builds and tests Doorpost in a new minimal root of a release of Debian or Ubuntu, as on a newcomer's machine:
# `make` says what is missing, `make deps` installs that alone, `make` builds, and `make check-answers` passes. With FULL=1 `make check`
# comes after it.
#
# It takes root and debootstrap. If one of these or the archive of packages is not to be had, it says so and ends well. The minimal root
# is kept in build/suites/SUITE for the next time.
set -eu
suite=${1:?suite.sh SUITE [MIRROR]}
mirror=${2:-}
cd "$(dirname "$0")/.."
base=$PWD/build/suites/$suite
root=$base.run
skip() {
  echo "$suite: skipped: $*"
  exit 0
}
[ "$(id -u)" -eq 0 ] || skip "only root can make a root"
command -v debootstrap >/dev/null || skip "debootstrap is not here"
unshare --mount true 2>/dev/null || skip "nothing can be mounted here"
# The mounts below go when this process does.
[ -n "${IN_OWN_MOUNTS:-}" ] || exec env IN_OWN_MOUNTS=1 unshare --mount "$0" "$@"

# Debian's debootstrap, without Ubuntu's keys, looks for Ubuntu's releases in Debian's archive.
case $suite in
  jammy | noble | resolute) mirror=${mirror:-http://archive.ubuntu.com/ubuntu} ;;
esac
# Releases that this debootstrap has not heard of are made as their siblings are.
scripts=/usr/share/debootstrap/scripts
script=$(basename "$(readlink -f "$scripts/$suite" || echo "$suite")")
[ -e "$scripts/$script" ] || case $mirror in
  *ubuntu*) script=gutsy ;;
  *) script=sid ;;
esac
components=main
[ "$script" != gutsy ] || components=main,universe
if [ "$script" = sid ] && [ -z "$mirror" ]; then
  # shellcheck disable=SC2016 # apt's names
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | head -n 1)
fi

mkdir -p build/suites
trap 'umount -R -l "$root/dev" "$root/proc" 2>/dev/null || :; rm -rf --one-file-system "$root"' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$base/.done" ]; then
  rm -rf --one-file-system "$base"
  # It is thrown away after use: no syncs, no manuals.
  mkdir -p "$base/etc/dpkg/dpkg.cfg.d"
  printf 'force-unsafe-io\npath-exclude=/usr/share/%s/*\n' man >"$base/etc/dpkg/dpkg.cfg.d/quick"
  timeout "${PATIENCE:-600}" debootstrap --variant=minbase --components="$components" --include=make,ca-certificates "$suite" "$base" ${mirror:+"$mirror" "$script"} \
    >"$base.log" 2>&1 || skip "debootstrap cannot make it: $(tail -n 1 "$base.log")"
  touch "$base/.done"
fi
rm -rf --one-file-system "$root"
cp -a "$base" "$root"
cp /etc/resolv.conf /etc/hosts "$root/etc" 2>/dev/null || :
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir "$root/project"
tar --exclude=./build --exclude=./.git -cf - . | tar -C "$root/project" -xf -

inside() { # COMMAND: by the shell, in the new root's copy of the project
  # shellcheck disable=SC2046 # one word for each variable
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 $(env | grep -iE '^(https?|no)_proxy=' || :) \
    chroot "$root" sh -c "cd /project && $1"
}
fail() {
  ! grep -Eq 'Failed to fetch|Temporary failure|Could not connect|Connection (failed|timed out)' "$base.log" || skip "its archive of packages has not given all"
  echo "$suite: $*" >&2
  exit 1
}
inside 'apt-get update -q' >"$base.log" 2>&1 || skip "its archive of packages does not answer"
! grep -q 'Failed to fetch' "$base.log" || skip "its archive of packages does not answer"
# Without cc and libraries.
! said=$(inside 'make 2>&1') || fail "make built something without its libraries"
case $said in
  *"make deps"*) ;;
  *) fail "make without the libraries does not say make deps: $said" ;;
esac
inside 'make deps && make -j2' >"$base.log" 2>&1 || fail "make deps && make: $(tail -n 20 "$base.log")"
inside '! command -v lighttpd && ! command -v nginx && ! command -v apache2' >/dev/null || fail "make deps has installed a web server"
count() { # TARGET: makes it, and says how many tests passed
  inside "make $1" >"$base.log" 2>&1 || fail "make $1: $(grep -A 30 '^not ok\|, [1-9][0-9]* failed\|rror' "$base.log" || tail -n 30 "$base.log")"
  sed -n 's/^\([0-9]* passed\), 0 failed.*/\1/p' "$base.log" | paste -s -d , -
}
tried="make check-answers: $(count check-answers)"
[ -z "${FULL:-}" ] || tried="$tried; make check: $(count check)"
inside '[ ! -e /usr/sbin/policy-rc.d ]' || fail "/usr/sbin/policy-rc.d is left"
# shellcheck disable=SC2016 # its own names
echo "$suite: $(inside '. /etc/os-release && echo "$PRETTY_NAME, $(cc --version | head -n 1)"'). $tried"
