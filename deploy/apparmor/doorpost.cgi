# AppArmor profile of the handler. Copy it to /etc/apparmor.d, adapt the paths, and run
# `apparmor_parser -r /etc/apparmor.d/doorpost.cgi`.
#
# The handler may read its settings and keys and write to the journal. It may start `doorpost exec` (DOORPOST_ON_EVENT), which gets the
# profile "runner" below, as does everything that it starts. An attacker who controls the handler also has the runner's rights, so the
# runner has only what log-press and on-press need. If your command needs more (curl, the network), there are two ways: run it by
# doorpost-exec.service, which the handler does not start, or add lines to /etc/apparmor.d/local/doorpost.runner:
#
#   /usr/bin/curl rix,
#   network inet stream,
#   network inet6 stream,
#   include <abstractions/nameservice>
#   include <abstractions/ssl_certs>

abi <abi/3.0>,
include <tunables/global>

profile doorpost.cgi /usr/local/lib/doorpost/doorpost.cgi {
  include <abstractions/base>
  # for suEXEC, or a worker that a web server starts
  include if exists <local/doorpost.cgi>

  /usr/local/lib/doorpost/doorpost.cgi mr,
  /etc/doorpost/** r,
  /var/lib/doorpost/ r,
  /var/lib/doorpost/** rwk,
  /usr/local/bin/doorpost Cx -> runner,
  owner @{PROC}/@{pid}/fd/ r,
  @{PROC}/sys/kernel/random/boot_id r,

  # the web server's end of the socket, the socket pair that collects requests, and the signal of a graceful restart
  unix (create, accept, listen, receive, send, getattr, getopt, setopt, shutdown) type=stream,
  signal receive,

  deny network inet,
  deny network inet6,

  # `doorpost exec` and its commands: "ix" keeps them in this profile
  profile runner {
    include <abstractions/base>
    include if exists <local/doorpost.runner>

    /usr/local/bin/doorpost mrix,
    /usr/local/lib/doorpost/{log-press,on-press} rix,
    /{usr/,}bin/{dash,logger,sh} rix,
    /etc/doorpost/doorpost.env r,
    /var/lib/doorpost/ r,
    /var/lib/doorpost/** rwk,
    owner @{PROC}/@{pid}/fd/ r,
    @{PROC}/sys/kernel/random/boot_id r,

    # the system log, and the commands that the runner stops
    /dev/log w,
    /run/systemd/journal/dev-log w,
    signal (send, receive) peer=doorpost.cgi//runner,
    signal receive,
  }
}
