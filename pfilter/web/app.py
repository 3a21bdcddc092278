"""The ASGI application, by Starlette: answers requests for downloads, and nothing else.

It reads; it never writes, lists or follows links (see lookup). Every answer, trouble included, has the headers of
`http_headers`; whatever is not there gets one answer. Files go out in pieces, read by threads, so that memory grows
with neither their size nor the patience of slow clients.
"""

import asyncio
import os
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from pfilter.base.errors import StoreError
from pfilter.base.log import Log
from pfilter.base.text import sentence, without_tokens
from pfilter.config.settings import Settings
from pfilter.store import layout
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
from pfilter.store.layout import short
from pfilter.web import gate, lookup, ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from starlette.types import ASGIApp, Receive, Scope, Send

    from pfilter.web.archive import Archive

PIECE = 128 << 10  # octets read and sent at a time; as much again waits in the connection
ANSWERS = 500  # at once; more are told to come back
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
        self.folder = os.path.join(settings.store_path, layout.DOWNLOADS)
        self.log = log
        self.prefix = urlsplit(settings.store_base_url).path.encode("ascii")
        self.origin = settings.store_base_url.removesuffix(self.prefix.decode("ascii"))
        self.proxies = frozenset(map(gate.octets, settings.serve_proxies))
        self.archive = settings.serve_archive
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
            known = {"download": short(asked.id), "file": asked.name} if asked else {}
            await self._tell("error", event="not served", **known, reason=without_tokens(sentence(error)))
            raise
        finally:
            self.answers -= 1

    async def nothing(self, extra: dict[str, str]) -> Response:
        """Return the answer about whatever is not there."""
        return _Answer(404, await run_in_threadpool(lookup.gone, self.folder), {"Content-Type": HTML, **extra})

    async def _ended(self, asked: lookup.Asked, extra: dict[str, str]) -> Response | None:
        """Return the answer about a file whose download has ended: the page that stayed, or None."""
        item = await run_in_threadpool(lookup.find_ended, self.folder, asked)
        if item is None:
            return None
        try:
            page = await run_in_threadpool(item.read, 0, lookup.PAGE_LIMIT)
        finally:
            item.close()
        return _Answer(410, page, {"Content-Type": HTML, **extra})

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
        if not asked or (asked.archive and not self.archive):
            return await self.nothing(extra)
        if not asked.slash:  # lost on the way; says nothing about whether the page exists
            return _Answer(301, b"", {"Location": path + "/", **extra})
        item = await run_in_threadpool(lookup.find, self.folder, asked)
        if item is None:
            return await self._ended(asked, extra) or await self.nothing(extra)
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
        # On a Unix socket there is no address.
        believed = not client or not client[0] or gate.octets(client[0]) in self.proxies
        said = Headers(scope=scope).get("x-forwarded-proto", "") if believed else ""
        return {"https": True, "http": False}.get(said.rpartition(",")[2].strip().lower())

    async def _send_item(
        self,
        download: str,
        item: "lookup.Item | Archive",
        extra: dict[str, str],
        scope: "Scope",
        receive: "Receive",
        send: "Send",
    ) -> None:
        headers = Headers(scope=scope)
        wanted = ranges.decide(headers, item.size, item.etag, scope["method"])
        about = {**dict(COMMON), **_about(item), **extra}
        _add_range(about, wanted, item)
        raw = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in about.items()]
        await send({"type": "http.response.start", "status": wanted.status, "headers": raw})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        elif await _send_octets(item, wanted.start, wanted.end, receive, send):
            prefetched = any(headers.get(name, "").lower().startswith(("prefetch", "prerender")) for name in PREFETCH)
            whole = wanted.status in (200, 206) and wanted.end - wanted.start == item.size
            if item.name and whole and not prefetched:
                await self._tell("info", event="downloaded", download=short(download), file=item.name, size=item.size)

    async def _tell(self, level: str, event: str, **fields: object) -> None:
        await run_in_threadpool(lambda: self.log.event(level, event, **fields))


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _about(item: "lookup.Item | Archive") -> dict[str, str]:
    """Return the headers that are an item's own."""
    about = {"ETag": item.etag, "Accept-Ranges": "bytes", POLICY: FILE_POLICY if item.name else PAGE_POLICY}
    about["Content-Disposition"] = disposition(item.name) if item.name else "inline"
    about["Content-Type"] = content_type(item.name) if item.name else HTML
    return about


def _add_range(about: dict[str, str], wanted: ranges.RangeDecision, item: "lookup.Item | Archive") -> None:
    """Put into the headers how much of an item there is in the answer."""
    if wanted.status == 304:
        del about["Content-Type"], about["Content-Disposition"]
        return
    if wanted.status == 206:
        about["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{item.size}"
    elif wanted.status == 416:
        about["Content-Range"] = f"bytes */{item.size}"
    about["Content-Length"] = str(wanted.end - wanted.start)


async def _send_octets(item: "lookup.Item | Archive", start: int, end: int, receive: "Receive", send: "Send") -> bool:
    """Send octets of the file, piece by piece; return whether the client was there to the end."""
    leaving = asyncio.ensure_future(_left(receive))
    try:
        while start < end and not leaving.done():
            data = await run_in_threadpool(item.read, start, min(PIECE, end - start))
            if not data:
                raise StoreError("the file became shorter while it was sent")
            start += len(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        # uvicorn waits here until the last piece is in the kernel's hands (see connection): more can't be known.
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
