# Included by the commands here. Reads their settings: NAME=value lines, one file for all of them. It is the file that ON_PRESS_CONF
# names, or on-press.conf next to Doorpost's own settings (DOORPOST_CONF), or /etc/doorpost/on-press.conf. on-press.conf.example lists
# the names.
# shellcheck shell=sh

on_press_conf=${ON_PRESS_CONF:-}
for candidate in "${DOORPOST_CONF:+${DOORPOST_CONF%/*}/on-press.conf}" /etc/doorpost/on-press.conf; do
  if [ -z "$on_press_conf" ] && [ -n "$candidate" ] && [ -e "$candidate" ]; then on_press_conf=$candidate; fi
done

# Exit status 78 (sysexits.h, EX_CONFIG): doorpost exec gives the event up at once, because a retry cannot help.
fail() {
  echo "${0##*/}: $*" >&2
  exit 78
}
if [ -n "$on_press_conf" ]; then
  [ -r "$on_press_conf" ] || fail "cannot read $on_press_conf: it must be readable by the user $(id -un)"
  # shellcheck source=/dev/null
  . "$on_press_conf"
fi

need() { # NAME WHAT: fails unless the setting has a value
  eval "[ -n \"\${$1:-}\" ]" || fail "$1 is not set ($2): add it to ${on_press_conf:-/etc/doorpost/on-press.conf}"
}
need_program() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || fail "the program $1 is missing: apt install $2"
}

# The picture of the press, in the file $1, if the door page is set up and Ring has it within 20 seconds. Reads the event from the file $2.
picture() {
  [ -n "${DOORPOST_TOOL:=$(command -v doorpost || :)}" ] && "$DOORPOST_TOOL" door picture --wait 20s <"$2" >"$1" 2>/dev/null
}
