"""Requests exactly as written: paths are not tidied up on the way, and each has a connection of its own."""

import http.client
import ssl
import warnings
from urllib.parse import urlsplit

from pfilter.base.frozen import Frozen
from pfilter.base.sockets import host_and_port

SECONDS = 10
BODY_LIMIT = 4 << 20  # octets


class Answer(Frozen):
    """What came back; `names` are lower case."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str:
        """Return a header, "" where there is none; all of them where there are many."""
        return ", ".join(value for found, value in self.fields if found == name.lower())


class _Connection(http.client.HTTPConnection):
    """A connection to one address under the name of another."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None, name: str) -> None:
        super().__init__(*address, timeout=SECONDS)
        self._context = context
        self._name = name

    def connect(self) -> None:
        super().connect()
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


class Client:
    """Asks the server of a URL; `connect` is host:port to go to instead, `insecure` takes any certificate."""

    def __init__(self, url: str, connect: str = "", *, insecure: bool = False) -> None:
        where = urlsplit(url)
        self.secure = where.scheme == "https"
        self.host = where.hostname or ""
        self.netloc = where.netloc
        self.prefix = where.path.rstrip("/")
        self.port = where.port or (443 if self.secure else 80)
        self.address = host_and_port(connect) if connect else (self.host, self.port)
        self._insecure = insecure

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a raw path; `if_none_match` is If-None-Match. Raises OSError, http.client.HTTPException."""
        context = self._context() if self.secure else None
        return _ask(_Connection(self.address, context, self.host), self.netloc, method, path, headers)

    def ask_plainly(self, path: str, connect: str) -> Answer:
        """Ask by http, at port 80. Raises as above."""
        where = host_and_port(connect) if connect else (self.host, 80)
        return _ask(_Connection(where, None, ""), self.host, "GET", path, {})

    def speaks_old_tls(self) -> bool:
        """Whether the server agrees to TLS 1.1 or older."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        connection = _Connection(self.address, context, self.host)
        try:
            connection.connect()
        except (ssl.SSLError, ConnectionError):
            return False
        finally:
            connection.close()
        return True

    def certificate_seconds(self, now: float) -> float | None:
        """Return for how long the certificate is still good; None where it is not verified."""
        if not self.secure or self._insecure:
            return None
        connection = _Connection(self.address, self._context(), self.host)
        try:
            connection.connect()
            assert isinstance(connection.sock, ssl.SSLSocket)
            told = (connection.sock.getpeercert() or {}).get("notAfter")
            return ssl.cert_time_to_seconds(told) - now if isinstance(told, str) else None
        finally:
            connection.close()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _ask(connection: _Connection, host: str, method: str, path: str, headers: dict[str, str]) -> Answer:
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        connection.putheader("User-Agent", "pfilter check-web")
        connection.putheader("Connection", "close")
        if method in ("POST", "PUT"):
            connection.putheader("Content-Length", "0")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        found = connection.getresponse()
        fields = tuple((name.lower(), value) for name, value in found.getheaders())
        return Answer(found.status, fields, found.read(BODY_LIMIT))
    finally:
        connection.close()
