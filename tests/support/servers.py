"""The web servers, started on loopback with the files that deploy/ ships: only host name, paths and ports are the
laboratory's. They speak HTTPS, as in those files, with a certificate that is made here."""

import contextlib
import http.client
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import shutil
import subprocess
import threading

from support.assertions import PATIENCE, check, wait_for
from support.laboratory import ROOT


CLAIMS = []  # sockets, one for each port that this process has taken; they stay open until it ends


def free_port():
    """A port that nothing else takes before the server binds it: not a client, because the kernel gives clients higher ports, and not
    another test, because an abstract socket, whose name only one process can bind, stands for the port."""
    while True:
        port, claim = random.SystemRandom().randrange(10000, 32768), socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.socket() as probe:
            claim.bind(f"\0doorpost-test-port-{port}")
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            CLAIMS.append(claim)
            return port
        claim.close()


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


class Server:
    """A running web server, with `process` as its main process and `path` as the path of the handler."""

    def __init__(self, lab, port, process, path="/doorpost"):
        self.lab, self.port, self.process, self.path = lab, port, process, path
        self.tls = None
        if lab.certificate:
            self.tls = ssl.create_default_context(cafile=lab.certificate)
            self.tls.check_hostname = True

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.path}"

    def wait_until_up(self):
        def answers():
            check(self.process.poll() is None, "the web server ended:", *self.lab.log_texts())
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.request(b"", None, method="GET")[0] == 405
            return False
        wait_for(answers, "the web server")
        return self

    def connect(self, patience):
        if self.tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=patience, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)

    def request(self, body, signature, method="POST", path=None, patience=PATIENCE):
        """One HTTP request. Returns (status, fields, body)."""
        connection = self.connect(patience)
        try:
            fields = {"Content-Type": "application/json"}
            if signature is not None:
                fields["X-Signature"] = signature
            connection.request(method, path or self.path, body, fields)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def keeping(self):
        """A function like request() that keeps a connection for each thread that calls it."""
        own = threading.local()

        def request(body, signature):
            if not hasattr(own, "connection"):
                own.connection = self.connect(PATIENCE)
            own.connection.request("POST", self.path, body, {"X-Signature": signature})
            answer = own.connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        return request

    def raw(self, text):
        """Sends these bytes, and returns what the server sends until it closes the connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        with self.tls.wrap_socket(connection, server_hostname="127.0.0.1") if self.tls else connection as connection:
            connection.sendall(text)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    def curl(self, *arguments):
        """The same by curl. Returns (status, fields, body)."""
        trust = ["--cacert", self.lab.certificate] if self.tls else []
        result = subprocess.run(["curl", "-sS", "-i", "--http1.1", "--max-time", str(PATIENCE), *trust, *arguments, self.url],
                                capture_output=True, check=True)
        text = result.stdout
        while text.startswith(b"HTTP/1.1 100"):
            text = text.partition(b"\r\n\r\n")[2]
        head, _, body = text.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        return int(status.split()[1]), {name.title(): value for name, value in (field.split(": ", 1) for field in fields)}, body


def make_certificate(lab):
    """What certbot would keep under /etc/letsencrypt/live/your.host."""
    live = lab.path / "live"
    live.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", live / "privkey.pem",
                    "-out", live / "fullchain.pem"], check=True, capture_output=True)
    lab.own(live / "privkey.pem")  # lighttpd reads it again when it restarts, and is no longer root then
    lab.certificate = live / "fullchain.pem"
    return live


def site(lab, port, **more):
    """What must be replaced in each file: the certificate and the port. More as {old: new}."""
    live = lab.path / "live" if lab.certificate else make_certificate(lab)
    return {"/etc/letsencrypt/live/your.host": live, **{old: new.format(port=port) for old, new in more.items()}}


def program(lab):
    return {"/usr/local/lib/doorpost/doorpost.cgi": lab.binary, "/usr/local/lib/doorpost/doorpost-door.cgi": lab.door_program,
            "/etc/doorpost/doorpost.env": lab.env_file}


def sockets(lab, worker):
    """Those of the workers that no web server starts: `worker` is the receiver's, and the door page's is started by a test that needs it."""
    return {"/run/doorpost.sock": worker, "/run/doorpost-door.sock": lab.logs / "door.sock"}


# ---- lighttpd ----

def without_tls(text):
    """A file for lighttpd with plain HTTP instead of HTTPS, for measurements beside peers that have no HTTPS."""
    text = text.replace('"mod_openssl", ', "").replace('$SERVER["socket"] =~ ":443$"', '$HTTP["scheme"] == "http"')
    return re.sub(r"^ssl\..*\n|.*ssl\.engine.*\n", "", text, flags=re.MULTILINE)


def lighttpd(lab, name, replacements, edit=lambda text: text):
    port = free_port()
    shipped = lab.shipped(f"lighttpd/{name}.conf", {**site(lab, port), '":443"': f'"127.0.0.1:{port}"', '"[::]:443"': f'"[::1]:{port}"',
                                                    '":443$"': f'":{port}$"', **replacements})
    text = edit(shipped.read_text())
    shipped.write_text(text if has_ipv6() else re.sub(r".*\[::1\].*\n", "", text))  # as the file says
    config = lab.path / "lighttpd.conf"
    config.write_text("\n".join([
        f'server.port = {free_port()}', 'server.bind = "127.0.0.1"', f'server.document-root = "{lab.bin}"',
        f'server.errorlog = "{lab.logs}/error.log"',
        *([f'server.username = "{lab.user.pw_name}"'] if lab.user else []),
        f'include "{shipped}"', ""]))
    return Server(lab, port, lab.start(["lighttpd", "-D", "-f", str(config)])).wait_until_up()


def lighttpd_fastcgi(lab):
    return lighttpd(lab, "fastcgi", {**program(lab), "/run/lighttpd": lab.logs, "/var/log/lighttpd": lab.logs})


def lighttpd_cgi(lab):
    sanitizer = ", ".join(f'"{name}" => "{value}"' for name, value in lab.sanitizer_environment().items())
    return lighttpd(lab, "cgi", {**program(lab), "/var/log/lighttpd": lab.logs},
                    lambda text: text.replace("setenv.set-environment = (", f"setenv.set-environment = ( {sanitizer},"))


def lighttpd_socket(lab):
    return lighttpd(lab, "socket", sockets(lab, spawn_fcgi(lab, "lighttpd/socket.conf")))


# ---- workers that no web server starts ----

def spawn_fcgi(lab, file):
    """Starts the worker by the command that a file shows in its comment. Returns the path of the socket."""
    comment = "".join(line[1:] for line in (ROOT / "deploy" / file).read_text().splitlines() if line.startswith("#"))
    command = re.search(r"spawn-fcgi -s .* -- \S+", comment.replace("\\", "")).group(0)
    path = lab.logs / "spawned.sock"
    for old, new in {**program(lab), "/run/doorpost.sock": path}.items():
        command = command.replace(old, str(new))
    command = command.replace("-u doorpost -g doorpost", "-u www-data -g www-data") if lab.user else \
        re.sub(r" -[uUgG] \S+", "", command)
    subprocess.run([*command.split(" -- ")[0].split(), "-P", str(lab.path / "pid"), "--", str(lab.binary)],
                   env=lab.environment(), check=True, stdout=subprocess.DEVNULL)
    lab.stack.callback(end_workers, lab)
    return path


def socket_activated(lab):
    """A worker that systemd's own program gives its listening socket, as doorpost.socket and doorpost.service have it:
    Accept=no and StandardInput=socket. Returns the path of the socket."""
    path = lab.logs / "activated.sock"
    names = [f"--setenv={name}" for name in lab.environment()]
    lab.start(["systemd-socket-activate", "--inetd", *names, f"--listen={path}", str(lab.binary)], stdout=subprocess.DEVNULL,
              stderr=open(lab.logs / "worker", "ab"), **lab.as_user())
    wait_for(path.exists, "the socket")
    return path


def end_workers(lab):
    for pid in lab.workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not lab.workers(), "the workers to end")


# ---- Apache ----

def start_apache(lab, port, modules, *lines, mpm="event"):
    config = lab.path / "apache.conf"
    directory = pathlib.Path("/usr/lib/apache2/modules")
    config.write_text("\n".join([
        f"ServerRoot {lab.path}", f"Listen 127.0.0.1:{port}", "ServerName localhost", f"PidFile {lab.path}/apache.pid",
        f"ErrorLog {lab.logs}/error.log", f"DefaultRuntimeDir {lab.logs}", f"DocumentRoot {lab.bin}",
        *(f"LoadModule {name}_module {directory}/mod_{name}.so" for name in (f"mpm_{mpm}", "authz_core", *modules)),
        *([f"User {lab.user.pw_name}", f"Group {lab.user.pw_name}"] if lab.user else []),
        *lines, ""]))
    # A group of its own: mpm_prefork ends every process in its group.
    return Server(lab, port, lab.start(["apache2", "-DFOREGROUND", "-f", str(config)], start_new_session=True)).wait_until_up()


def apache(lab, modules, replacements, *extra, name):
    port = free_port()
    shipped = lab.shipped(f"apache/{name}.conf", {**site(lab, port), "*:443": f"127.0.0.1:{port}", **replacements})
    return start_apache(lab, port, ["alias", "env", "reqtimeout", "setenvif", "socache_shmcb", "ssl", *modules],
                        *extra, f"Include {shipped}")


def apache_cgid(lab, modules=(), *extra):
    sanitizer = [f"SetEnv {name} {value}" for name, value in lab.sanitizer_environment().items()]
    return apache(lab, ["cgid", *modules], program(lab), f"ScriptSock {lab.logs}/cgisock", *sanitizer, *extra, name="cgid")


def apache_fcgid(lab):
    sanitizer = [f"FcgidInitialEnv {name} {value}" for name, value in lab.sanitizer_environment().items()]
    return apache(lab, ["fcgid"], program(lab), f"FcgidIPCDir {lab.logs}/fcgid",
                  f"FcgidProcessTableFile {lab.logs}/fcgid_shm", *sanitizer, name="fcgid")


def apache_proxy(lab):
    return apache(lab, ["proxy", "proxy_fcgi"], sockets(lab, spawn_fcgi(lab, "apache/proxy.conf")), name="proxy")


# ---- nginx ----

def start_nginx(lab, port, site):
    """`site`: a file."""
    config = lab.path / "nginx.conf"
    config.write_text("\n".join([
        *([f"user {lab.user.pw_name};"] if lab.user else []), "daemon off;", f"pid {lab.path}/nginx.pid;", "worker_processes 2;",
        f"error_log {lab.logs}/error.log;", "events { worker_connections 512; }", "http {", "access_log off;",
        *(f"{kind}_temp_path {lab.logs}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        f"include {site};", "}", ""]))
    known = subprocess.run(["nginx", "-h"], capture_output=True, text=True).stderr
    early = ["-e", f"{lab.logs}/error.log"] if "-e filename" in known else []  # nginx 1.18 has no such option
    return Server(lab, port, lab.start(["nginx", "-c", str(config), *early])).wait_until_up()


def without_keep_alive(text):
    """A file for nginx with a new connection to the worker for each request."""
    return re.sub(r"^ *(keepalive|fastcgi_keep_conn) .*\n", "", text, flags=re.MULTILINE)


def nginx(lab, worker=socket_activated, edit=lambda text: text):
    port = free_port()
    shipped = lab.shipped("nginx/doorpost.conf", {
        **site(lab, port), "[::]:443": f"127.0.0.1:{free_port()}", " 443 ssl": f" 127.0.0.1:{port} ssl",
        **sockets(lab, worker(lab))})
    shipped.write_text(edit(shipped.read_text()))
    return start_nginx(lab, port, shipped)


# ---- what deploy/ has no file for: (function, program that it needs), with plain HTTP ----

def write(lab, name, text):
    path = lab.path / name
    path.write_text(text)
    return path


def nginx_keeping(lab, path):
    port = free_port()
    return start_nginx(lab, port, write(lab, "site.conf", f"""
        upstream doorpost {{ server unix:{path}; keepalive 8; }}
        server {{
            listen 127.0.0.1:{port};
            location = /doorpost {{
                fastcgi_pass doorpost;
                fastcgi_keep_conn on;
                fastcgi_param REQUEST_METHOD $request_method;
                fastcgi_param CONTENT_LENGTH $content_length;
            }}
        }}"""))


def apache_keeping(lab, path):
    return start_apache(lab, free_port(), ["proxy", "proxy_fcgi"],
                        f'ProxyPass "/doorpost" "unix:{path}|fcgi://doorpost/" enablereuse=on')


def haproxy(lab, path, *options):
    port = free_port()
    config = write(lab, "haproxy.cfg", "\n".join([
        "defaults", "  mode http", "  timeout client 60s", "  timeout server 60s", "  timeout connect 60s",
        "frontend http", f"  bind 127.0.0.1:{port}", "  default_backend doorpost",
        "backend doorpost", "  use-fcgi-app doorpost", f"  server worker unix@{path} proto fcgi",
        "fcgi-app doorpost", f"  docroot {lab.bin}", *(f"  {option}" for option in options), ""]))
    return Server(lab, port, lab.start(["haproxy", "-db", "-f", str(config)])).wait_until_up()


def haproxy_asking(lab, path):
    return haproxy(lab, path, "option get-values")


def lighttpd_plain(lab, path):
    port = free_port()
    config = write(lab, "lighttpd.conf", f"""
        server.port = {port}
        server.bind = "127.0.0.1"
        server.document-root = "{lab.bin}"
        server.errorlog = "{lab.logs}/error.log"
        server.modules += ( "mod_fastcgi" )
        fastcgi.server = ( "/doorpost" => (( "socket" => "{path}", "check-local" => "disable" )) )
        """)
    return Server(lab, port, lab.start(["lighttpd", "-D", "-f", str(config)])).wait_until_up()


def caddy(lab, path):
    port = free_port()
    config = write(lab, "Caddyfile", f"""{{
        admin off
    }}
    http://127.0.0.1:{port} {{
        reverse_proxy unix/{path} {{
            transport fastcgi
        }}
    }}
    """)
    environment = {**lab.environment(), "HOME": str(lab.path)}
    return Server(lab, port, lab.start(["caddy", "run", "--adapter", "caddyfile", "--config", str(config)], env=environment,
                                       stdout=subprocess.DEVNULL, stderr=open(lab.logs / "caddy", "ab"))).wait_until_up()


def start_h2o(lab, path, lines):
    port = free_port()
    config = write(lab, "h2o.conf", "\n".join([
        *([f"user: {lab.user.pw_name}"] if lab.user else []), f"error-log: {lab.logs}/error.log", f"listen: {{ host: 127.0.0.1, port: {port} }}",
        "hosts:", "  default:", "    paths:", *(" " * 6 + line for line in lines), ""]))
    return Server(lab, port, lab.start(["h2o", "-c", str(config)], stdout=subprocess.DEVNULL,
                                       stderr=open(lab.logs / "h2o", "ab")), path).wait_until_up()


def h2o(lab, path):
    return start_h2o(lab, "/doorpost", ['"/doorpost":', f"  fastcgi.connect: {{ port: {path}, type: unix }}",
                                        "  fastcgi.timeout.keepalive: 60000"])


def apache_cgi(lab):
    sanitizer = [f"SetEnv {name} {value}" for name, value in lab.sanitizer_environment().items()]
    return start_apache(lab, free_port(), ["cgi", "alias", "env"], f'ScriptAlias "/doorpost" "{lab.binary}"',
                        f"SetEnv DOORPOST_CONF {lab.env_file}", *sanitizer, mpm="prefork")


def nginx_fcgiwrap(lab):
    port = free_port()
    listener, path = lab.listener()
    lab.start(["fcgiwrap"], stdin=listener, stderr=open(lab.logs / "fcgiwrap", "ab"), **lab.as_user())
    return start_nginx(lab, port, write(lab, "site.conf", f"""
        server {{
            listen 127.0.0.1:{port};
            location = /doorpost {{
                fastcgi_pass unix:{path};
                fastcgi_param SCRIPT_FILENAME {lab.binary};
                fastcgi_param REQUEST_METHOD $request_method;
                fastcgi_param CONTENT_LENGTH $content_length;
            }}
        }}"""))


def busybox_httpd(lab):
    port = free_port()
    (lab.path / "www").mkdir()
    lab.bin.rename(lab.path / "www/cgi-bin")
    lab.bin.symlink_to(lab.path / "www/cgi-bin")
    return Server(lab, port, lab.start(["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(lab.path / "www")],
                                       stderr=open(lab.logs / "httpd", "ab"), **lab.as_user()), "/cgi-bin/doorpost.cgi").wait_until_up()


def uwsgi_cgi(lab):
    port = free_port()
    return Server(lab, port, lab.start(
        ["uwsgi", "--plugins", "cgi", "--http-socket", f"127.0.0.1:{port}", "--http-socket-modifier1", "9", "--cgi", f"/doorpost={lab.binary}",
         "--master", "--processes", "2", "--die-on-term"],
        stdout=subprocess.DEVNULL, stderr=open(lab.logs / "uwsgi", "ab"), **lab.as_user())).wait_until_up()


def h2o_cgi(lab):
    return start_h2o(lab, "/doorpost.cgi", [
        '"/":', f"  file.dir: {lab.bin}", "  file.custom-handler:", "    extension: .cgi", '    fastcgi.spawn: "exec /usr/share/h2o/fastcgi-cgi"'])


def missing(*programs):
    """Why a test that needs them is skipped, or None if they are here."""
    names = [name for name in programs if not shutil.which(name)]
    return f"not installed here: {', '.join(names)}" if names else None


# ---- what deploy/ has ----

SERVERS = {"lighttpd/fastcgi.conf": lighttpd_fastcgi, "lighttpd/cgi.conf": lighttpd_cgi, "lighttpd/socket.conf": lighttpd_socket,
           "apache/fcgid.conf": apache_fcgid, "apache/cgid.conf": apache_cgid, "apache/proxy.conf": apache_proxy,
           "nginx/doorpost.conf": nginx}


def for_each_server(test):
    """The test, once for each configuration in deploy/; it gets the function that starts that server."""
    tests = []
    for name, start in SERVERS.items():
        def one(start=start):
            return test(start)
        one.title = f"{name}: {test.__name__.replace('_', ' ')}"
        tests.append(one)
    return tests
