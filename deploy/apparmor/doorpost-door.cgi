# AppArmor profile of the door page. Copy it to /etc/apparmor.d, adapt the paths, and run
# `apparmor_parser -r /etc/apparmor.d/doorpost-door.cgi`.
#
# The program may read its settings, the keys and the journal, and write to its own directory. It may run curl, which gets the profile
# "curl" below: that has the network, and none of those files. Tokens reach it on standard input.

abi <abi/3.0>,
include <tunables/global>

profile doorpost-door.cgi /usr/local/lib/doorpost/doorpost-door.cgi {
  include <abstractions/base>
  # for suEXEC, or a worker that a web server starts
  include if exists <local/doorpost-door.cgi>

  /usr/local/lib/doorpost/doorpost-door.cgi mr,
  /etc/doorpost/** r,
  /var/lib/doorpost/ r,
  /var/lib/doorpost/** rk,
  /var/lib/doorpost-door/ rw,
  /var/lib/doorpost-door/** rwk,
  /usr/bin/curl Cx -> curl,
  owner @{PROC}/@{pid}/fd/ r,
  @{PROC}/sys/kernel/random/boot_id r,

  # the web server's end of the socket; the signal of a graceful restart; a curl that takes too long
  unix (accept, listen, receive, send, getattr, getopt, setopt, shutdown) type=stream,
  signal receive,
  signal send peer=doorpost-door.cgi//curl,

  deny network inet,
  deny network inet6,

  profile curl {
    include <abstractions/base>
    include <abstractions/nameservice>
    include <abstractions/openssl>
    include <abstractions/ssl_certs>
    include if exists <local/doorpost-door.curl>

    /usr/bin/curl mr,
    network inet stream,
    network inet6 stream,
    signal receive peer=doorpost-door.cgi,
  }
}
