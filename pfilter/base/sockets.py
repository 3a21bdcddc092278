"""Connections to servers, on the C module alone: the module socket brings enum and selectors along (5 ms)."""

import os
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
else:
    import _socket


def host_and_port(server: str) -> tuple[str, int]:
    """Return host and port of `host:port`, IPv6 in brackets. Raises ValueError."""
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{server}: no host and port")
    return host.strip("[]"), int(port)


def connect(server: str, seconds: float) -> "_socket.socket":
    """Connect to `host:port`, IPv6 in brackets, or to the path of a Unix socket. Raises OSError."""
    if server.startswith("/"):
        return _connected(_socket.AF_UNIX, server, seconds)
    host, port = host_and_port(server)
    failure: OSError | None = None
    # Octets, not characters: those would go through the IDNA codec, which loads re and more.
    found = _socket.getaddrinfo(os.fsencode(host), port, 0, _socket.SOCK_STREAM)
    for family, _kind, _protocol, _name, (name, *rest) in found:
        try:
            return _connected(family, (os.fsencode(str(name)), *rest), seconds)
        except OSError as error:
            failure = failure or error
    raise failure or OSError(f"{host} has no address")


def _connected(family: int, address: "str | tuple[object, ...]", seconds: float) -> "_socket.socket":
    made = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        made.settimeout(seconds)
        if family == _socket.AF_UNIX:
            _connect_unix(made, address, seconds)
        else:
            made.connect(address)
            # Each command waits for its reply; delaying small packets would add 40 ms to some.
            made.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def _connect_unix(made: "_socket.socket", address: object, seconds: float) -> None:
    """Connect, and wait while the server's queue of connections is full: connect(2) does so for TCP alone."""
    end = monotonic() + seconds
    while True:
        try:
            return made.connect(address)  # type: ignore[arg-type]
        except BlockingIOError:
            if monotonic() > end:
                raise
            sleep(0.02)


def send_datagram(path: str, octets: bytes, seconds: float) -> None:
    """Send one datagram to a Unix socket. Raises OSError."""
    made = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        made.settimeout(seconds)
        made.connect(os.fsencode(path))
        made.send(octets)
    finally:
        made.close()
