"""The embedded web server: downloads, by Starlette on uvicorn (the extra `pfilter[serve]`), and nothing else.

It listens, guards its door (see gate), and has the application's answers sent (see app, connection). Addresses of
clients are not logged: who of the recipients fetched what, and when, is nobody's business that keeps mail running; a
proxy in front has its own log.
"""

import errno
import os
import signal
import socket
import ssl
import stat

from pfilter.base.errors import ConfigError
from pfilter.base.log import Log
from pfilter.base.sockets import host_and_port
from pfilter.config.settings import Settings
from pfilter.web import connection, gate
from pfilter.web.app import application

CONNECTIONS = 1000  # at once
WAITING = 500  # of these, without a request under way; with more, who has waited longest is closed
BY_ADDRESS = 100  # from one client, some twenty browsers behind one router; more are closed
HANDSHAKE_SECONDS = 10  # for TLS, from accept(2) on


class Server:
    """A server; made before root's rights are given up, so that it can read a key, and `listen` on 443.

    A Unix socket is for after that: its folder may be writable by others, who could lead root somewhere else.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._certificate = (settings.serve_certificate, settings.serve_key or None)
        self._context: ssl.SSLContext | None = None
        if settings.serve_certificate:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            try:
                self._context.load_cert_chain(*self._certificate)
            except OSError as error:
                raise ConfigError(
                    f"[serve] certificate = {settings.serve_certificate!r}: {error.strerror or error}"
                ) from error

    def listen(self) -> None:
        """Take connections from now on. Raises OSError, ConfigError."""
        self._socket = gate.listening(_listening(self.settings.serve_listen))

    @property
    def address(self) -> str:
        """Where it listens, with the port that was given to it if it asked for none."""
        name = self._socket.getsockname()
        return name if isinstance(name, str) else f"{name[0]}:{name[1]}"

    def run(self, log: Log) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads the certificate again."""
        limits = gate.Limits(
            connections=CONNECTIONS, waiting=WAITING, by_address=BY_ADDRESS, handshake=HANDSHAKE_SECONDS
        )
        self._socket.guard(limits, self.settings.serve_proxies, tls=bool(self._context))
        log.prepare()  # events come from threads, and two that load it at once get in each other's way
        signal.signal(signal.SIGHUP, lambda *_: self._reload(log))
        connection.run(application(self.settings, log), self._socket, self._context)

    def _reload(self, log: Log) -> None:
        try:
            if self._context:
                self._context.load_cert_chain(*self._certificate)
        except OSError as error:
            log.event("error", "certificate not read", reason=f"{self._certificate[0]}: {error.strerror or error}")


def _listening(where: str) -> socket.socket:
    """Return a socket that listens. Raises OSError, ConfigError."""
    if not where.startswith("/"):
        host, port = host_and_port(where)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, _, _, _, at = found[0]
            both = family == socket.AF_INET6 and at[0] == "::" and socket.has_dualstack_ipv6()
            return socket.create_server(at[:2], family=family, backlog=CONNECTIONS, dualstack_ipv6=both)
        except OSError as error:
            raise ConfigError(f"[serve] listen = {where!r}: {error.strerror or error}") from error
    made = socket.socket(socket.AF_UNIX)
    try:
        if _is_left_over(where):
            os.unlink(where)
        # By the umask and not by chmod, which would follow what somebody has put in its place by then. For a proxy
        # under another user; the folder says who comes near.
        before = os.umask(0o111)
        try:
            made.bind(where)
        finally:
            os.umask(before)
        made.listen(CONNECTIONS)
    except OSError as error:
        made.close()
        raise ConfigError(f"[serve] listen = {where!r}: {error.strerror or error}") from error
    return made


def _is_left_over(where: str) -> bool:
    """Whether this is a socket that nobody listens on any more, left from a crash. Raises OSError."""
    try:
        if not stat.S_ISSOCK(os.lstat(where).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # one that is busy says EAGAIN
        return probe.connect_ex(where) == errno.ECONNREFUSED
