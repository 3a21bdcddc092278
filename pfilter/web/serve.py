"""The embedded web server: downloads, by Starlette on uvicorn (the extra `pfilter[serve]`), and nothing else.

It reads; it never writes, lists or follows links (see shelf). Every answer, trouble included, has the headers of
`headers`; whatever is not there gets one answer. Files go out in pieces, read by threads, so that memory grows with
neither their size nor the patience of slow clients. Addresses of clients are not logged: who of the recipients fetched
what, and when, is nobody's business that keeps mail running; a proxy in front has its own log.
"""

import asyncio
import errno
import os
import signal
import socket
import ssl
import stat
from asyncio import sslproto
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from pfilter.base.errors import ConfigError, StoreError
from pfilter.base.log import Log
from pfilter.base.sockets import host_and_port
from pfilter.base.text import sentence, without_tokens
from pfilter.config.settings import Settings
from pfilter.store.http_headers import (
    COMMON,
    FILE_POLICY,
    HTML,
    PAGE_POLICY,
    POLICY,
    TRANSPORT,
    content_type,
    disposition,
)
from pfilter.web import gate, lookup, ranges
from pfilter.web.gate import Connection, Gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

PIECE = 128 << 10  # octets read and sent at a time; as much again waits in the connection
CONNECTIONS = 1000  # at once
WAITING = 500  # of these, without a request under way; with more, who has waited longest is closed
BY_ADDRESS = 100  # from one client, some twenty browsers behind one router; more are closed
HANDSHAKE_SECONDS = 10  # for TLS, from accept(2) on
TLS_BUFFER = 32 << 10  # octets for each connection; asyncio has 256 KiB. A TLS record has 16 (RFC 8446, 5.1)
ANSWERS = 500  # at once; more are told to come back
HEADER_LIMIT = 16 << 10  # octets of a request's header
REQUEST_SECONDS = 20  # for a request's header to arrive
STALL_SECONDS = 120  # for a client to take what waits for it, some 200 KiB
KEEP_ALIVE_SECONDS = 15
STOP_SECONDS = 30  # for downloads under way when the server is stopped
PREFETCH = ("purpose", "sec-purpose", "x-moz", "x-purpose")
METHODS = ("GET", "HEAD")
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


def application(settings: Settings, log: Log) -> Starlette:
    """Return the ASGI application that serves a store's downloads below the path of its base_url."""
    downloads = _Downloads(settings, log)

    async def trouble(request: "Any", error: Exception) -> Response:
        return _Answer(500, b"Something went wrong here; please try again later.\n", PLAIN)

    async def nowhere(request: "Any", error: Exception) -> Response:
        return await downloads.nothing({})

    # One route for all: the path that counts is the raw one. What it does not match (OPTIONS *) is nowhere.
    routes = [Route("/{path:path}", downloads)]
    handlers = {404: nowhere, Exception: trouble}
    return Starlette(routes=routes, middleware=[Middleware(_OriginForm)], exception_handlers=handlers)


class _OriginForm:
    """Takes a target with scheme and authority as its path, as every server must (RFC 9112, 3.2.2)."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        path = lookup.origin_form(scope["raw_path"])
        if path != scope["raw_path"]:
            scope = {**scope, "raw_path": path, "path": path.decode("ascii")}
        await self.app(scope, receive, send)


class _Answer(Response):
    """A short answer, whole, with the headers that all have."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(body, status, {**dict(COMMON), POLICY: PAGE_POLICY, **headers})


class _Downloads:
    """Answers requests; an ASGI application, so that Starlette leaves all methods to it."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self.folder = os.path.join(settings.store_path, "downloads")
        self.log = log
        self.prefix = urlsplit(settings.store_base_url).path.encode("ascii")
        self.origin = settings.store_base_url.removesuffix(self.prefix.decode("ascii"))
        self.proxies = frozenset(map(gate.octets, settings.serve_proxies))
        self.answers = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request; what goes wrong is logged, and told to the client where there is still time."""
        self.answers += 1
        asked = lookup.parse(scope["raw_path"], self.prefix)
        try:
            answer = await self._answer(asked, scope, receive, send)
            if answer:
                if scope["method"] == "HEAD":
                    answer.body = b""  # the length stays
                await answer(scope, receive, send)
        except Exception as error:
            known = {"download": asked.id[:8], "file": asked.name} if asked else {}
            await self._tell("error", event="not served", **known, reason=without_tokens(sentence(error)))
            raise
        finally:
            self.answers -= 1

    async def nothing(self, extra: dict[str, str]) -> Response:
        """Return the answer about whatever is not there."""
        return _Answer(404, await run_in_threadpool(lookup.gone, self.folder), {"Content-Type": HTML, **extra})

    async def _answer(
        self, asked: lookup.Asked | None, scope: "Scope", receive: "Receive", send: "Send"
    ) -> Response | None:
        """Return the answer; None where it has been sent already."""
        secure = self._is_secure(scope)
        extra = dict([TRANSPORT]) if secure else {}
        if _has_body(Headers(scope=scope)):
            extra["Connection"] = "close"  # nobody will read it
        if scope["method"] not in METHODS:
            return _Answer(405, b"", {"Allow": ", ".join(METHODS), **extra, "Connection": "close"})
        if self.answers > ANSWERS:
            return _Answer(503, b"Too much to do; please try again.\n", {**PLAIN, "Retry-After": "30", **extra})
        path = scope["raw_path"].decode("ascii")
        if secure is False and self.origin.startswith("https:"):
            return _Answer(308, b"", {"Location": self.origin + path, **extra})
        if not asked:
            return await self.nothing(extra)
        if not asked.slash:  # lost on the way; says nothing about whether the page exists
            return _Answer(301, b"", {"Location": path + "/", **extra})
        item = await run_in_threadpool(lookup.find, self.folder, asked)
        if item is None:
            return await self.nothing(extra)
        try:
            await self._send_item(asked.id, item, extra, scope, receive, send)
        finally:
            item.close()
        return None

    def _is_secure(self, scope: "Scope") -> bool | None:
        """Whether the client came by https; None where nobody who is believed says so."""
        if scope["scheme"] == "https":
            return True
        client = scope.get("client")
        believed = (
            not client or not client[0] or gate.octets(client[0]) in self.proxies
        )  # on a Unix socket there is no address
        said = Headers(scope=scope).get("x-forwarded-proto", "") if believed else ""
        return {"https": True, "http": False}.get(said.rpartition(",")[2].strip().lower())

    async def _send_item(
        self, download: str, item: lookup.Item, extra: dict[str, str], scope: "Scope", receive: "Receive", send: "Send"
    ) -> None:
        headers = Headers(scope=scope)
        wanted = ranges.decide(headers, item.size, item.etag, scope["method"])
        about = {**dict(COMMON), **_about(item), **extra}
        pieces = _pieces(wanted, item, about)
        raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in about.items()]
        await send({"type": "http.response.start", "status": wanted.status, "headers": raw})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        elif await _send_pieces(item, pieces, receive, send):
            prefetched = any(headers.get(name, "").lower().startswith(("prefetch", "prerender")) for name in PREFETCH)
            if item.name and wanted.ranges == ((0, item.size),) and not prefetched:
                await self._tell("info", event="downloaded", download=download[:8], file=item.name, size=item.size)

    async def _tell(self, level: str, event: str, **fields: object) -> None:
        await run_in_threadpool(lambda: self.log.event(level, event, **fields))


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _about(item: lookup.Item) -> dict[str, str]:
    """Return the headers that are an item's own."""
    about = {"ETag": item.etag, "Accept-Ranges": "bytes", POLICY: FILE_POLICY if item.name else PAGE_POLICY}
    about["Content-Disposition"] = disposition(item.name) if item.name else "inline"
    about["Content-Type"] = content_type(item.name) if item.name else HTML
    return about


def _pieces(wanted: ranges.RangeDecision, item: lookup.Item, about: dict[str, str]) -> "list[bytes | tuple[int, int]]":
    """Return the body as octets and ranges of the file, and put what they need into the headers."""
    pieces: list[bytes | tuple[int, int]] = list(wanted.ranges)
    if wanted.status == 416:
        about["Content-Range"] = f"bytes */{item.size}"
    elif wanted.status == 206 and len(wanted.ranges) == 1:
        ((start, end),) = wanted.ranges
        about["Content-Range"] = f"bytes {start}-{end - 1}/{item.size}"
    elif wanted.status == 206:  # RFC 9110, 14.6
        boundary = os.urandom(16).hex()
        kind = about["Content-Type"]
        about["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
        pieces = []
        for start, end in wanted.ranges:
            head = f"\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {start}-{end - 1}/{item.size}"
            pieces += [head.encode("ascii") + b"\r\n\r\n", (start, end)]
        pieces.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    if wanted.status == 304:
        del about["Content-Type"], about["Content-Disposition"]
    else:
        lengths = (len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
        about["Content-Length"] = str(sum(lengths))
    return pieces


async def _send_pieces(
    item: lookup.Item, pieces: "list[bytes | tuple[int, int]]", receive: "Receive", send: "Send"
) -> bool:
    """Send octets, and octets of the file; return whether the client was there to the end."""
    leaving = asyncio.ensure_future(_left(receive))
    try:
        for piece in pieces:
            if isinstance(piece, bytes):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                continue
            start, end = piece
            while start < end and not leaving.done():
                data = await run_in_threadpool(item.read, start, min(PIECE, end - start))
                if not data:
                    raise StoreError("the file became shorter while it was sent")
                start += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        # uvicorn waits here until the last piece is in the kernel's hands (see _Connection): more can't be known.
        # Nothing else runs between then and the next line, so a client that has it all, and leaves, is not too early.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        complete = not leaving.done()
        await send({"type": "http.response.body", "body": b""})
        return complete
    finally:
        leaving.cancel()


async def _left(receive: "Receive") -> None:
    """Wait until the client is gone, or the answer complete; a request's body is thrown away."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Connection(H11Protocol):
    """uvicorn's connection, with limits for clients that are slow on purpose, and our headers on its own answers."""

    gate: Gate  # of the class for one server, see Server.run
    _counted: Connection | None = None
    _header_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._counted = self.gate.found(transport)
        # Writing goes on only when all that was written is gone: less memory, and it is known when the last octet is.
        transport.set_write_buffer_limits(high=1, low=0)
        self._header_timer = self.loop.call_later(REQUEST_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_header_timer()
        if self._stall_timer:
            self._stall_timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel_header_timer()
            self._waits(for_request=self.conn.their_state is h11.ERROR)
        elif self._header_timer is None:  # a part of the next request
            self._header_timer = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
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
        super().pause_writing()
        self._stall_timer = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall_timer:
            self._stall_timer.cancel()
            self._stall_timer = None

    def send_400_response(self, msg: str) -> None:
        body = msg.encode("ascii") + b"\n"
        own = (("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close"))
        headers = [*COMMON, (POLICY, PAGE_POLICY), *own]
        try:
            answer = self.conn.send(h11.Response(status_code=400, headers=headers, reason=b"Bad Request"))
            self.transport.write(answer + self.conn.send(h11.Data(data=body)) + self.conn.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:
            pass  # another answer is under way
        self.transport.close()


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
        # An attribute of the class: asyncio.sslproto has no other way to say so.
        sslproto.SSLProtocol.max_size = TLS_BUFFER
        limits = gate.Limits(
            connections=CONNECTIONS, waiting=WAITING, by_address=BY_ADDRESS, handshake=HANDSHAKE_SECONDS
        )
        self._socket.guard(limits, self.settings.serve_proxies, tls=bool(self._context))
        config = uvicorn.Config(
            application(self.settings, log),
            http=type("_Connection", (_Connection,), {"gate": self._socket}),
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
        config.ssl = self._context
        log.prepare()  # events come from threads, and two that load it at once get in each other's way
        signal.signal(signal.SIGHUP, lambda *_: self._reload(log))
        # uvicorn raises what it caught once more when it is done; stopping is no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[self._socket])

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
