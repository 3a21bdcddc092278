"""Real web servers on loopback with the configurations that `pfilter print` prints, and with them broken on purpose.

Around the printed part stands what makes it hard: lists, handlers, compression and types that other sites of the same
server might want.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from pfilter.config import load
from pfilter.config.settings import Settings
from pfilter.web import server_config
from tests.lib.support import PROJECT

HOST = "downloads.example.com"
PREFIX = "/d"
WAIT = 20  # seconds for a server to start or stop
NGINX = "/usr/sbin/nginx"
APACHE = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
APACHE_MODULES = (
    *(
        "mpm_event",
        "authz_core",
        "authz_host",
        "socache_shmcb",
        "ssl",
        "headers",
        "rewrite",
        "alias",
        "setenvif",
        "env",
    ),
    *("mime", "dir", "autoindex", "negotiation", "cgid", "include", "filter", "deflate", "status", "dav", "dav_fs"),
)
NGINX_AROUND = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include /etc/nginx/mime.types;
    sendfile on;
    gzip on;
    gzip_types text/plain application/octet-stream;
    gzip_min_length 20;
    autoindex on;
    ssi on;
    server_tokens on;
{site}
}}
"""
APACHE_AROUND = """\
ServerRoot "{folder}"
ServerName {host}
PidFile "{folder}/apache.pid"
DefaultRuntimeDir "{folder}"
ErrorLog "{folder}/error.log"
Mutex file:{folder} default
{user}
{modules}
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{plain}
StartServers 1
ServerTokens Prod
TypesConfig /etc/mime.types
AddHandler cgi-script .cgi .py .php
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
AddEncoding gzip .gz
AddLanguage de .de
AddOutputFilterByType DEFLATE text/plain text/html application/octet-stream
DAVLockDB "{folder}/dav"
<Directory />
    Options FollowSymLinks Indexes ExecCGI Includes
    AllowOverride All
    Require all denied
</Directory>
<Location /server-status>
    SetHandler server-status
    Require all granted
</Location>
{site}
"""


class Place:
    """A folder that a web server's own user can enter, with a store and a certificate in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.certificate = folder / "certificate.pem"
        self.store.mkdir(mode=0o711)
        self.store.chmod(0o711)
        self.make_certificate(days=90)

    def make_certificate(self, days: int) -> None:
        """Make a certificate that is good for so long."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", str(days)]
        files = ["-keyout", str(self.folder / "key.pem"), "-out", str(self.certificate)]
        subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=60)
        (self.folder / "key.pem").chmod(0o644)  # of this test alone

    def values(self, **more: object) -> dict[str, dict[str, object]]:
        """Return a configuration for a store at https://downloads.example.com/d."""
        return {
            "policy": {"own_domains": ["example.com"]},
            "store": {"path": str(self.store), "base_url": f"https://{HOST}{PREFIX}"},
            "serve": {"certificate": str(self.certificate), "key": str(self.folder / "key.pem"), **more},
            "log": {"to": f"file:{self.folder}/events.log"},
        }

    def policy(self, **more: object) -> Settings:
        """Return the same, read."""
        return load.from_values(self.values(**more))


class Running:
    """A web server as a child of ours; ends by its process id, or with us."""

    def __init__(self, argv: list[str], port: int, log: Path, **environment: str) -> None:
        self.port = port
        self._log = log
        # It is told to end when this process does, however that ends.
        argv = ["setpriv", "--pdeathsig", "TERM", "--", *argv]
        with open(log, "wb") as stream:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env={**os.environ, **environment}
            )
        until = time.monotonic() + WAIT
        while not _answers(port):
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise AssertionError(f"{argv[4]} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(WAIT)


def missing(kind: str) -> str:
    """Return what is not here for a kind of server, or ""."""
    needed = {"nginx": [NGINX], "apache": [APACHE, str(MODULES / "mod_ssl.so")], "serve": [sys.executable]}[kind]
    needed += [name for name in ("openssl", "setpriv") if not shutil.which(name)]
    return ", ".join(path for path in needed if not os.path.exists(path))


def start(kind: str, place: Place, site: str, plain: int) -> Running:
    """Start a server of a kind with a printed configuration; `plain` is the port for http."""
    return {"nginx": _nginx, "apache": _apache, "serve": _serve}[kind](place, site, free_port(), plain)


def site(kind: str, place: Place) -> str:
    """Return the printed configuration; `pfilter serve` needs none."""
    return "" if kind == "serve" else server_config.configuration(kind, place.policy())


def _nginx(place: Place, text: str, port: int, plain: int) -> Running:
    folder = place.folder
    text = text.replace("    listen [::]:443 ssl;\n", "").replace("    listen [::]:80;\n", "")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{plain};").replace("/var/log/nginx", str(folder))
    user = f"user {_user()};" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(NGINX_AROUND.format(folder=folder, site=text, user=user))
    return Running([NGINX, "-p", str(folder), "-c", str(file)], port, folder / "nginx.out")


def _apache(place: Place, text: str, port: int, plain: int) -> Running:
    folder = place.folder
    text = text.replace("*:443", f"127.0.0.1:{port}").replace("*:80", f"127.0.0.1:{plain}")
    modules = "\n".join(
        f"LoadModule {name}_module {MODULES}/mod_{name}.so"
        for name in APACHE_MODULES
        if (MODULES / f"mod_{name}.so").exists()
    )
    user = f"User {_user()}\nGroup {_user()}" if os.geteuid() == 0 else ""
    file = folder / "apache.conf"
    values = {"folder": folder, "host": HOST, "port": port, "plain": plain, "user": user, "modules": modules}
    file.write_text(APACHE_AROUND.format(site=text, **values))
    argv = [APACHE, "-f", str(file), "-D", "FOREGROUND"]
    return Running(argv, port, folder / "apache.out", APACHE_LOG_DIR=str(folder))


def _serve(place: Place, _text: str, port: int, _plain: int) -> Running:
    file = write_configuration(place, listen=f"127.0.0.1:{port}")
    argv = [sys.executable, "-m", "pfilter.cli", "serve", "--config", str(file)]
    return Running(argv, port, place.folder / "serve.out", PYTHONPATH=str(PROJECT), PYTHONSAFEPATH="1")


def write_configuration(place: Place, **more: object) -> Path:
    """Write pfilter.toml and return its path."""
    file = place.folder / "pfilter.toml"
    sections = (
        "\n".join([f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())])
        for name, keys in place.values(**more).items()
    )
    file.write_text("\n".join(sections) + "\n")
    return file


def _user() -> str:
    known = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in ("www-data", "nginx", "apache", "daemon") if name in known)


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
