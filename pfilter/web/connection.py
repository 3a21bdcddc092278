"""What runs the application, by uvicorn: connections with limits for clients that are slow on purpose.

The only module that knows the insides of uvicorn, and of the h11 in it: it overrides methods of H11Protocol and uses
its attributes. pyproject.toml admits no version after the one that this was tried with; where another has moved them,
a test (test_internals) says what to do.
"""

import asyncio
import signal
import ssl
from asyncio import sslproto

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pfilter.store.http_headers import COMMON, PAGE_POLICY, POLICY
from pfilter.web.gate import Connection, Gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from starlette.types import ASGIApp

TLS_BUFFER = 32 << 10  # octets for each connection; asyncio has 256 KiB. A TLS record has 16 (RFC 8446, 5.1)
HEADER_LIMIT = 16 << 10  # octets of a request's header
REQUEST_SECONDS = 20  # for a request's header to arrive
STALL_SECONDS = 120  # for a client to take what waits for it, some 200 KiB
KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 30  # for downloads under way when the server is stopped


def run(app: "ASGIApp", listening: Gate, context: ssl.SSLContext | None) -> None:
    """Serve an application until SIGTERM or SIGINT, by TLS where there is a context."""
    # An attribute of the class: asyncio.sslproto has no other way to say so.
    sslproto.SSLProtocol.max_size = TLS_BUFFER
    config = uvicorn.Config(
        app,
        http=type("HttpConnection", (HttpConnection,), {"gate": listening}),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # what goes wrong is an event of ours
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=HEADER_LIMIT,
    )
    config.load()
    config.ssl = context
    # uvicorn raises what it caught once more when it is done; stopping is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


class HttpConnection(H11Protocol):
    """uvicorn's connection, with limits for clients that are slow on purpose, and our headers on its own answers."""

    gate: Gate  # of the class for one server, see run
    _counted: Connection | None = None
    _header_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count, and to wait for a request."""
        super().connection_made(transport)
        self._counted = self.gate.found(transport)
        # Writing goes on only when all that was written is gone: less memory, and it is known when the last octet is.
        transport.set_write_buffer_limits(high=1, low=0)
        self._header_timer = self.loop.call_later(REQUEST_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        super().connection_lost(exc)
        self._cancel_header_timer()
        if self._stall_timer:
            self._stall_timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Wait no longer once a request is whole; for the rest of one that has begun, as long as for the first."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel_header_timer()
            self._waits(for_request=self.conn.their_state is h11.ERROR)
        elif self._header_timer is None:  # a part of the next request
            self._header_timer = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        # For the next request, which may have come already, or to be closed.
        self._waits(for_request=self.conn.their_state is h11.IDLE or self.transport.is_closing())

    def _waits(self, *, for_request: bool) -> None:
        if self._counted:
            self._counted.waits(for_request=for_request)

    def _cancel_header_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None

    def pause_writing(self) -> None:
        """Begin to wait for a client to take what there is."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Take note that it did."""
        super().resume_writing()
        if self._stall_timer:
            self._stall_timer.cancel()
            self._stall_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the headers that all answers have."""
        body = msg.encode("ascii") + b"\n"
        own = (("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close"))
        headers = [*COMMON, (POLICY, PAGE_POLICY), *own]
        try:
            answer = self.conn.send(h11.Response(status_code=400, headers=headers, reason=b"Bad Request"))
            self.transport.write(answer + self.conn.send(h11.Data(data=body)) + self.conn.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            pass  # another answer is under way
        self.transport.close()
