# AppArmor profile of the handler. Put it into /etc/apparmor.d, adapt the paths, and `apparmor_parser -r /etc/apparmor.d/doorpost.cgi`.
#
# The handler may read its settings and keys and write to the journal. It may start `doorpost exec` (DOORPOST_ON_EVENT), which goes into
# the profile "runner" below, and what that starts stays in it: there is no way out of the two. Anybody who takes over the handler has
# what the runner has, so the runner has no more than log-press and on-press need. If your command needs more (curl, the network), it
# has two places: doorpost-exec.service, which the handler does not start, or a few lines in /etc/apparmor.d/local/doorpost.runner:
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
  # under suEXEC, and as a worker that a web server starts
  include if exists <local/doorpost.cgi>

  /usr/local/lib/doorpost/doorpost.cgi mr,
  /etc/doorpost/** r,
  /var/lib/doorpost/ r,
  /var/lib/doorpost/** rwk,
  /usr/local/bin/doorpost Cx -> runner,
  owner @{PROC}/@{pid}/fd/ r,
  @{PROC}/sys/kernel/random/boot_id r,

  # the web server's end of the socket, a pair where requests gather, and the signal of a graceful restart
  unix (create, accept, listen, receive, send, getattr, getopt, setopt, shutdown) type=stream,
  signal receive,

  deny network inet,
  deny network inet6,

  # `doorpost exec` and its commands: "ix" keeps each of them here.
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

    # to syslog, and to the commands that the runner ends
    /dev/log w,
    /run/systemd/journal/dev-log w,
    signal (send, receive) peer=doorpost.cgi//runner,
    signal receive,
  }
}
