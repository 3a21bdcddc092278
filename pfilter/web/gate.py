"""Who may connect to the embedded server, counted from accept(2) on: before TLS, before any octet has arrived.

A TLS handshake that never comes costs memory, and asyncio tells a protocol of a connection only after it. So the
listening socket counts: connections in all, by client address, and those that wait, for a handshake or for a request.
Where too many wait, the one that has waited longest goes: silent clients, however many and from wherever, keep out
nobody who has something to say.
"""

import asyncio
import contextlib
import socket

from pfilter.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAPPED = b"\0" * 10 + b"\xff\xff"  # IPv4 in IPv6 (RFC 4291, 2.5.5.2)
PREFIX = 8  # octets of an IPv6 address: one site has the rest to itself (RFC 6177)


class Limits(Frozen):
    """How many connections: in all, without a request under way, from one client; and seconds for a TLS handshake."""

    connections: int
    waiting: int
    by_address: int
    handshake: float


class Gate(socket.socket):
    """A listening socket that limits what it accepts. Addresses in `exempt` share nothing: they are proxies."""

    def guard(self, limits: Limits, exempt: "Iterable[str]", *, tls: bool) -> None:
        """Set the limits. To be called before the first accept()."""
        self._limits = limits
        self._tls = tls
        self._exempt = frozenset(filter(None, map(octets, exempt)))
        self._by_address: dict[bytes, int] = {}
        self._count = 0
        self._waiting: dict[int, Connection] = {}  # by descriptor, who has waited longest first

    def accept(self) -> "tuple[Connection, object]":
        """Accept a connection. Raises ConnectionAbortedError where there are too many, BlockingIOError for none."""
        plain, address = super().accept()
        whose = self._whose(address)
        if whose and self._by_address.get(whose, 0) >= self._limits.by_address:
            plain.close()
            raise ConnectionAbortedError("too many connections from one address")
        if self._count >= self._limits.connections and not self._waiting:
            plain.close()
            raise ConnectionAbortedError("too many connections")
        if len(self._waiting) >= self._limits.waiting or self._count >= self._limits.connections:
            next(iter(self._waiting.values())).end()
        made = Connection(plain.family, plain.type, plain.proto, fileno=plain.detach())
        timer = None
        if self._tls:
            timer = asyncio.get_running_loop().call_later(self._limits.handshake, made.end)
        made.enter(self, whose, timer)
        self._count += 1
        self._by_address[whose] = self._by_address.get(whose, 0) + 1
        self._waiting[made.fileno()] = made
        return made, address

    def found(self, transport: asyncio.Transport) -> "Connection | None":
        """Return the connection of a transport whose handshake, if it needs one, is done."""
        made = self._waiting.get(transport.get_extra_info("socket").fileno())
        if made:
            made.established(transport.abort)
        return made

    def wait(self, made: "Connection", *, for_request: bool) -> None:
        """Take note that a connection waits for a request, or has one under way."""
        if for_request:
            self._waiting.setdefault(made.fileno(), made)
        else:
            self._waiting.pop(made.fileno(), None)

    def leave(self, made: "Connection", whose: bytes) -> None:
        """Count a connection no longer."""
        self._waiting.pop(made.fileno(), None)
        self._count -= 1
        self._by_address[whose] -= 1
        if not self._by_address[whose]:
            del self._by_address[whose]

    def _whose(self, address: object) -> bytes:
        """Return what stands for a client; b"" for those that no limit by address is meant for."""
        if not isinstance(address, tuple) or octets(address[0]) in self._exempt:
            return b""  # a Unix socket has no addresses
        return client(address[0])


class Connection(socket.socket):
    """An accepted connection; it is counted until it is ended or closed."""

    _gate: Gate | None = None
    _abort: "Callable[[], None] | None" = None
    _timer: asyncio.TimerHandle | None = None

    def enter(self, gate: Gate, whose: bytes, timer: asyncio.TimerHandle | None) -> None:
        """Be counted; the timer ends a handshake."""
        self._gate = gate
        self._whose = whose
        self._timer = timer

    def established(self, abort: "Callable[[], None]") -> None:
        """Take note that there is a transport, which ends the connection at once."""
        self._abort = abort
        self._cancel()

    def waits(self, *, for_request: bool) -> None:
        """Say whether this connection waits for a request, or has one under way."""
        if self._gate:
            self._gate.wait(self, for_request=for_request)

    def end(self) -> None:
        """End a connection, whatever state its handshake is in; its transport closes it in the loop's next round."""
        self._leave()
        if self._abort:
            self._abort()
            return
        with contextlib.suppress(OSError):  # the client was faster
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, and be counted no longer."""
        self._leave()
        super().close()

    def _leave(self) -> None:
        self._cancel()
        if self._gate:
            self._gate.leave(self, self._whose)
            self._gate = None

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def listening(found: socket.socket) -> Gate:
    """Return a listening socket as a gate; the one given is used up."""
    return Gate(found.family, found.type, found.proto, fileno=found.detach())


def client(address: str) -> bytes:
    """Return what an address is counted by: IPv4 itself, of IPv6 the network."""
    packed = octets(address)
    return packed if len(packed) == 4 else packed[:PREFIX]


def octets(address: str) -> bytes:
    """Return an address as octets, IPv4 in IPv6 as the IPv4 that it is; b"" for what is none."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, address.partition("%")[0])
        except OSError:
            continue
        return packed[len(MAPPED) :] if packed.startswith(MAPPED) else packed
    return b""
