# AppArmor profile of the handler. Put it into /etc/apparmor.d, adapt the paths, and `apparmor_parser -r /etc/apparmor.d/doorpost.cgi`.
# It may read its settings and keys, write to the journal, and start nothing but `doorpost exec` (DOORPOST_ON_EVENT), which runs
# without a profile, because the command that you choose may need anything.

abi <abi/3.0>,
include <tunables/global>

profile doorpost.cgi /usr/local/lib/doorpost/doorpost.cgi {
  include <abstractions/base>
  # under suEXEC, and as a worker that a web server starts
  include if exists <local/doorpost.cgi>

  /usr/local/lib/doorpost/doorpost.cgi mr,
  /etc/doorpost/** r,
  /var/lib/doorpost/ r,
  /var/lib/doorpost/** rwk,
  /usr/local/bin/doorpost PUx,
  owner @{PROC}/@{pid}/fd/ r,
  @{PROC}/sys/kernel/random/boot_id r,

  # the web server's end of the socket, a pair where requests gather, and the signal of a graceful restart
  unix (create, accept, listen, receive, send, getattr, getopt, setopt, shutdown) type=stream,
  signal receive,

  deny network inet,
  deny network inet6,
}
