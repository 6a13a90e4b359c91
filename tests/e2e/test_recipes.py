"""The commands of deploy/README.md, as they stand there, on a new Debian: from `make deps` to a doctor that is content, and to the
uninstallation. certbot alone has a stand-in, which asks for what Let's Encrypt asks for. It takes some minutes: `make check-more`."""

import os
import re
import shutil

from support.assertions import check
from support.deliveries import KEY
from support.laboratory import ROOT, Lab
from support.runner import run_tests
from machine import Machine

PACKAGES = ("systemd", "systemd-sysv", "dbus", "adduser", "sudo", "make", "ca-certificates", "curl", "openssl")
SERVERS = "lighttpd lighttpd-mod-openssl apache2 libapache2-mod-fcgid nginx certbot"
HOST = "doorbell.example.org"
CERTBOT = """#!/bin/sh
set -e
while [ $# -gt 0 ]; do
  case $1 in
    -w) webroot=$2 ;;
    -d) host=$2 ;;
    --deploy-hook) hook=$2 ;;
  esac
  shift
done
challenge=.well-known/acme-challenge/$$
mkdir -p "$webroot/${challenge%/*}"
echo $$ >"$webroot/$challenge"
[ "$(curl -sf --retry 30 --retry-delay 1 --retry-connrefused "http://$host/$challenge")" = $$ ]
live=/etc/letsencrypt/live/$host
mkdir -p "$live" && chmod 700 /etc/letsencrypt/live
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
  -keyout "$live/privkey.pem" -out "$live/fullchain.pem"
chmod 600 "$live/privkey.pem"
cp "$live/fullchain.pem" "/usr/local/share/ca-certificates/$host.crt" && update-ca-certificates
sh -c "$hook"
"""


def recipes():
    """{heading: [block, ...]} of the page."""
    found = {}
    for section in re.split(r"^## ", (ROOT / "deploy/README.md").read_text(), flags=re.MULTILINE):
        found[section.partition("\n")[0]] = [re.sub("^    ", "", block, flags=re.MULTILINE)
                                             for block in re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)]
    return found


def prepare(machine):
    project = machine.root / "root/project"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns("build", ".git"))
    (machine.root / "usr/local/sbin/certbot").write_text(CERTBOT)
    (machine.root / "usr/local/sbin/certbot").chmod(0o755)
    (machine.root / "etc/hosts").write_text(f"127.0.0.1 {os.uname().nodename} localhost\n::1 localhost\n127.0.0.1 {HOST}\n::1 {HOST}\n")
    (machine.root / "etc/apt/apt.conf.d/answers").write_text('APT::Get::Assume-Yes "true";\n')  # to what apt asks
    machine.prepare("sh", "-c", f"apt-get update && apt-get install --download-only {SERVERS}").ok()
    machine.prepare("sh", "-c", "cd /root/project && make deps && make && sudo make install").ok()


def starts_no_service(machine, paste):
    """What `make run` installs is there, and asleep."""
    paste("deploy/deps.sh run").ok()
    machine.run("test", "-x", "/usr/sbin/lighttpd").ok()
    asked = [machine.run("systemctl", question, "lighttpd").stdout.strip() for question in ("is-active", "is-enabled")]
    check(asked == ["inactive", "disabled"], asked)
    check(machine.run("curl", "-s", "http://127.0.0.1/").returncode == 7, "somebody listens on port 80")
    check(machine.run("test", "-e", "/usr/sbin/policy-rc.d").returncode == 1, "policy-rc.d is left")


def variants(page):
    """[(web server's unit, text)]: what the page shows, and what it says goes the same way."""
    lighttpd, apache = page["lighttpd"][0], page["Apache, mod_fcgid"][0]
    worker, nginx = page["A worker behind a socket, for any of the three"]

    def other(recipe, *changes):
        for old, new in changes:
            check(old in recipe, "not in the recipe:", old)
            recipe = recipe.replace(old, new)
        return recipe

    def site(recipe):  # without `doorpost init`, which the worker's recipe has had
        return "".join(line for line in recipe.splitlines(keepends=True) if "doorpost init" not in line)
    return [("lighttpd", lighttpd), ("lighttpd", other(lighttpd, ("fastcgi.conf", "cgi.conf"))),
            ("lighttpd", worker + site(other(lighttpd, ("fastcgi.conf", "socket.conf")))),
            ("apache2", apache), ("apache2", other(apache, (" libapache2-mod-fcgid", ""), ("ssl fcgid", "ssl cgid"), ("fcgid.conf", "cgid.conf"))),
            ("apache2", worker + site(other(apache, (" libapache2-mod-fcgid", ""), ("ssl fcgid", "ssl proxy_fcgi"), ("fcgid.conf", "proxy.conf")))),
            ("nginx", worker + nginx)]


def works(machine, paste, recipe):
    result = paste(f"set -e\nhost={HOST}\n{recipe}").ok()
    check("All checks passed" in result.stdout and "\nwarning" not in result.stdout, result)
    for version in ("-4", "-6"):
        for path, status in (("/doorpost", "405"), ("/", "40[34]")):
            result = machine.run("curl", "-s", version, "-o", "/dev/null", "-w", "%{http_code}", f"https://{HOST}{path}")
            check(re.fullmatch(status, result.stdout), version, path, result)


def is_taken_away(machine, paste, recipe, page):
    sites = re.findall(r"sudo tee (\S+)", recipe)
    machine.run("rm", "-f", "/etc/apache2/sites-enabled/doorpost.conf", *sites).ok()
    for block in page["Taking it away"]:
        paste(block).ok()
    left = machine.run("find", "/usr/local", "/etc/systemd", "/run/doorpost.sock", "-name", "*doorpost*").stdout
    check(left == f"/usr/local/share/ca-certificates/{HOST}.crt\n" or left == "", left)
    check(machine.run("systemctl", "is-active", "doorpost.socket", "doorpost.service").stdout.split() == ["inactive"] * 2, "the units")
    for kept in ("/etc/doorpost/key", "/etc/doorpost/doorpost.env", "/var/lib/doorpost"):
        machine.run("test", "-e", kept).ok()


def the_recipes_work_as_pasted():
    if os.environ.get("MORE") != "1":
        return "make check-more runs it"
    with Lab() as lab:
        machine = Machine(lab)
        reason = machine.make(*PACKAGES)
        if reason:
            return reason
        prepare(machine)
        reason = machine.boot()
        if reason:
            return reason

        def paste(text):
            return machine.run("bash", "-c", "cd /root/project\n" + text, input=KEY + "\n")
        page = recipes()
        starts_no_service(machine, paste)
        for server, recipe in variants(page):
            works(machine, paste, recipe)
            is_taken_away(machine, paste, recipe, page)
            # As if the next were the first.
            paste(f"rm -r /etc/doorpost /var/lib/doorpost; systemctl disable --now {server}; make install").ok()


run_tests(the_recipes_work_as_pasted)
