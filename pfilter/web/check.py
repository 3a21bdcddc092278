"""Looks at a web server from outside, through the public URL, with downloads made for that: `pfilter check-web`.

Three are placed as the filter would, one of them taken down again at once, without a trace, and one leaving a page that
says so; what is left is removed at the end. Nothing is
believed of the server's configuration: each rule (see rules) is tried.
"""

import contextlib
import os
import time
from base64 import b32encode
from hashlib import sha256
from http.client import HTTPException
from urllib.parse import quote

from pfilter.base.errors import StoreError
from pfilter.base.finding import Finding
from pfilter.base.spool import finished
from pfilter.base.text import sentence
from pfilter.store import http_headers, layout
from pfilter.store.cleanup import revoke
from pfilter.store.layout import file_path, record_path, short
from pfilter.store.local import LocalStore
from pfilter.store.pages import Pages
from pfilter.store.record import Record, RecordedFile
from pfilter.web.client import Answer, Client
from pfilter.web.rules import RULES, finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIFETIME = 600  # seconds after which clean-up removes what a killed check left
SENDER = "check-web@localhost"
PAGE = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>pfilter check-web</title><p>A probe."
    b'<a href="files/plain.txt">plain.txt</a></html>\n'
)
TOMBSTONE = PAGE.replace(b"A probe.", b"A probe that has ended.")
SCRIPT = b"<script>document.title = 'it ran'</script>"
FILES = {
    "plain.txt": b"text that would be worth compressing\n" * 400,
    "active.html": b"<!doctype html><title>probe</title>" + SCRIPT,
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
    "data.xml": b'<?xml version="1.0"?><probe/>',
    "run.php": b"<?php echo 6 * 7; ?>",
    "run.php.jpg": b"<?php echo 6 * 7; ?>",
    "run.cgi": b"#!/bin/sh\necho 'Content-Type: text/plain'\necho\necho 42\n",
    "run.py": b"print(6 * 7)\n",
    "run.shtml": b'<!--#echo var="DATE_GMT" -->',
    "index.html": b"<p>a file of this name, not a page of ours" + SCRIPT,
    "archive.tar.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    "letter.html.de": b"<p>Brief" + SCRIPT,
    "report.pdf": b"%PDF-1.4\n%probe\n",
    "picture.JPG": b"\xff\xd8\xff\xe0probe",
    "50% & more #1;+.bin": b"signs\n",
    "\u0430\u043a\u0442 \u2013 r\u00e9sum\u00e9 \u6587\u66f8.odt": b"names of any script\n",
}
SYMLINK = "link.txt"
TWO_WEEKS = 14 * 86400
FRESH = 2  # seconds, in which Apache's entity tags are weak: the file might change once more at the same time
GONE = (404,)
ENDED = (404, 410)
REFUSED = (400, 404, 405, 414, 501)
SAME = (
    *("content-type", "content-length", "etag", "server", "content-disposition", http_headers.POLICY),
    *(name for name, _ in (*http_headers.COMMON, http_headers.TRANSPORT)),
)  # headers that may not tell one kind of nothing from another


def check(store: LocalStore, client: Client, *, plain: str = "", archive: bool = False) -> "Iterator[Finding]":
    """Yield a finding for each rule. `plain` is where to try http, if not at port 80. Raises OSError, StoreError.

    `archive` is whether pages offer all files at once.
    """
    downloads = store.path(layout.DOWNLOADS)
    with _placed(store) as (present, revoked, ended):
        visit = _Visit(store, client, present, revoked, ended, plain)
        visit.run()
        for key in visit.looked_at:
            yield finding(RULES[key], visit.problems.get(key, []), downloads, client.host)
        if archive and "reach" not in visit.problems:
            yield _archive(client, visit.page)


def _archive(client: Client, page: str) -> Finding:
    """Say whether what pages offer is there."""
    try:
        answer = client.ask(page + layout.ARCHIVE)
    except (OSError, HTTPException) as error:
        return Finding("error", f"not so: all files can be had at once: {sentence(error)}")
    if answer.status == 200 and answer.body.startswith(b"PK"):
        return Finding("ok", "all files can be had at once")
    mend = ("only pfilter serve can do that; elsewhere: [serve] archive = false",)
    return Finding("error", f"not so: all files can be had at once: {layout.ARCHIVE} gives {answer.status}", mend)


@contextlib.contextmanager
def _placed(store: LocalStore) -> "Iterator[tuple[str, str, str]]":
    """Place three downloads, take one of them down, and end one; give their ids."""
    ids = [b32encode(os.urandom(20)).decode("ascii").lower() for _ in range(3)]
    try:
        for download in ids:
            _place(store, download)
        revoke(store, ids[1])
        revoke(store, ids[2], pages=Pages(late=lambda *_: PAGE, tombstone=lambda _: TOMBSTONE, keep=LIFETIME))
        # To what anybody may have: rights alone would hide that a link to somewhere else is followed.
        os.symlink("plain.txt", store.path(file_path(ids[0], SYMLINK)))
        yield ids[0], ids[1], ids[2]
    finally:
        for download in ids:
            with contextlib.suppress(StoreError):
                revoke(store, download)


def _place(store: LocalStore, download: str) -> None:
    contents = [(finished([data], store.workspace), sha256(data).hexdigest()) for data in FILES.values()]
    files = tuple(
        RecordedFile(name=name, size=len(data), sha256=digest)
        for (name, data), (_, digest) in zip(FILES.items(), contents, strict=True)
    )
    now = int(time.time())
    record = Record(
        id=download,
        created=now,
        until=now + LIFETIME,
        sender=SENDER,
        recipients=0,
        queue_id="",
        message_id="",
        files=files,
    )
    store.save(record, contents, lambda _: PAGE)


class _Visit:
    """One look at a server; `problems` are by rule, `looked_at` are the rules that were tried."""

    def __init__(self, store: LocalStore, client: Client, present: str, revoked: str, ended: str, plain: str) -> None:
        self.store = store
        self.client = client
        self.page = f"{client.prefix}/{present}/"
        self.present = present
        self.revoked = revoked
        self.ended = ended
        self.plain = plain
        self.problems: dict[str, list[str]] = {}
        self.looked_at: list[str] = []

    def run(self) -> None:
        """Try all rules; where nothing can be fetched at all, that one alone."""
        self._tried("reach")
        try:
            answer = self.client.ask(self.page)
        except (OSError, HTTPException) as error:
            self._wrong("reach", f"{self.client.netloc}: {sentence(error)}")
            return
        if answer.status != 200 or answer.body != PAGE:
            self._wrong("reach", f"{self._shown(self.page)} gives status {answer.status} and {_begin(answer)}")
            return
        for step in (
            self._tls,
            self._plain,
            self._page,
            self._files,
            self._parts,
            self._ended,
            self._gone,
            self._outside,
        ):
            try:
                step()
            except (OSError, HTTPException) as error:
                self._wrong("reach", f"a later request got no answer: {sentence(error)}")

    def _tried(self, *keys: str) -> None:
        self.looked_at += [key for key in keys if key not in self.looked_at]

    def _wrong(self, key: str, problem: str) -> None:
        found = self.problems.setdefault(key, [])
        if problem not in found:
            found.append(problem)

    def _shown(self, path: str) -> str:
        for download in (self.present, self.revoked, self.ended):
            path = path.replace(download, "ID")
        return path

    def _tls(self) -> None:
        self._tried("tls")
        if not self.client.secure:
            self._wrong("tls", "the URL is not https")
        elif self.client.speaks_old_tls():
            self._wrong("tls", "TLS 1.1 or older is accepted")
        left = self.client.certificate_seconds(time.time())
        if left is not None:
            self._tried("certificate")
            if left < TWO_WEEKS:
                self._wrong("certificate", f"it ends in {int(left) // 86400} days")

    def _plain(self) -> None:
        if not self.client.secure or (self.client.port != 443 and not self.plain):
            return  # only beside port 443 is port 80 the same server's
        self._tried("plain")
        try:
            answer = self.client.ask_plainly(self.page, self.plain)
        except (OSError, HTTPException):
            return  # nobody there: nowhere
        wanted = f"https://{self.client.host}{self.page}"
        if not 300 <= answer.status < 400 or answer.get("location") != wanted:
            where = self._shown(answer.get("location"))
            self._wrong("plain", f"http gives status {answer.status}" + (f" and leads to {where}" if where else ""))

    def _page(self) -> None:
        self._tried("page", "page policy", *(name for name, _ in http_headers.COMMON), "version", "slash")
        if self.client.secure:
            self._tried(http_headers.TRANSPORT[0])
        answer = self.client.ask(self.page)
        self._common("the page", answer)
        if answer.get("content-type").lower().replace(" ", "") != http_headers.HTML.replace(" ", ""):
            self._wrong("page", f"its type is {answer.get('content-type') or 'missing'}")
        if answer.get("content-disposition").lower().startswith("attachment"):
            self._wrong("page", "it is an attachment")
        self._policy("page policy", "the page", answer, http_headers.PAGE_POLICY)
        if any(c.isdigit() for c in answer.get("server")):
            self._wrong("version", f"Server: {answer.get('server')}")
        moved = self.client.ask(self.page[:-1])
        if not 300 <= moved.status < 400 or not moved.get("location").endswith(self.page):
            self._wrong("slash", f"status {moved.status}")

    def _common(self, what: str, answer: Answer) -> None:
        for name, value in http_headers.COMMON:
            if answer.get(name).lower().replace(" ", "") != value.replace(" ", "").lower():
                self._wrong(name, f"{what} has {answer.get(name) or 'no ' + name}")
        if self.client.secure and "max-age=" not in answer.get(http_headers.TRANSPORT[0]):
            self._wrong(http_headers.TRANSPORT[0], f"{what} has no {http_headers.TRANSPORT[0]}")

    def _policy(self, key: str, what: str, answer: Answer, wanted: str) -> None:
        """Find what is missing in a policy; one that forbids more is as good."""
        found = answer.get(http_headers.POLICY)
        pieces = {" ".join(piece.split()) for piece in found.replace(",", ";").split(";")}
        missing = [piece.strip() for piece in wanted.split(";") if piece.strip() not in pieces]
        if missing:
            self._wrong(
                key, f"{what} has {http_headers.POLICY}: {found}" if found else f"{what} has no {http_headers.POLICY}"
            )

    def _files(self) -> None:
        if self.client.ask(self.page).get("etag").startswith("W/"):
            time.sleep(FRESH)
        self._tried("attachment", "file policy", "type", "content", "encoding", "head", "etag")
        for name, data in FILES.items():
            path = f"{self.page}files/{quote(name, safe='')}"
            answer = self.client.ask(path, accept_encoding="gzip, deflate, br", accept_language="de")
            if answer.status != 200:
                self._wrong("content", f"{name} gives status {answer.status}")
                continue
            self._common(name, answer)
            self._policy("file policy", name, answer, http_headers.FILE_POLICY)
            if answer.get("content-disposition").split(";")[0].strip().lower() != "attachment":
                self._wrong("attachment", f"{name} has {answer.get('content-disposition') or 'no Content-Disposition'}")
            if answer.get("content-type").lower() not in (http_headers.BYTES, http_headers.content_type(name)):
                self._wrong("type", f"{name} is {answer.get('content-type') or 'without a type'}")
            if answer.get("content-encoding") or answer.get("content-language"):
                self._wrong("encoding", f"{name} has Content-Encoding {answer.get('content-encoding')}")
            elif answer.body != data:
                self._wrong("content", f"{name} arrives as {_begin(answer)}")
            if not answer.get("etag").startswith('"'):
                self._wrong("etag", f"{name} has {answer.get('etag') or 'no ETag'}")
            head = self.client.ask(path, "HEAD")
            same = ("content-length", "content-type", "content-disposition", "etag", "x-content-type-options")
            wanted = self.client.ask(path)  # without the headers of above, which may change the answer
            if head.status != 200 or head.body or any(head.get(field) != wanted.get(field) for field in same):
                self._wrong("head", f"for {name} it gives status {head.status} and other headers")

    def _parts(self) -> None:
        self._tried("ranges")
        name, data = next(iter(FILES.items()))
        path = f"{self.page}files/{name}"
        size = len(data)
        for given, start, end in (("bytes=2-5", 2, 6), ("bytes=100-", 100, size), ("bytes=-7", size - 7, size)):
            answer = self.client.ask(path, range=given)
            told = f"bytes {start}-{end - 1}/{size}"
            if answer.status != 206 or answer.body != data[start:end] or answer.get("content-range") != told:
                self._wrong("ranges", f"Range: {given} gives status {answer.status}")
            self._common("a part of a file", answer)
        if self.client.ask(path, range="bytes=2-5", if_range='"other"').status != 200:
            self._wrong("ranges", "a part of a file that has changed is given")
        etag = self.client.ask(path).get("etag")
        if etag and self.client.ask(path, if_none_match=etag).status != 304:
            self._wrong("etag", "If-None-Match does not give 304")
        if etag and self.client.ask(path, range="bytes=2-5", if_range=etag).status != 206:
            self._wrong("etag", "If-Range with the file's own tag does not give 206")

    def _ended(self) -> None:
        self._tried("ended")
        page = f"{self.client.prefix}/{self.ended}/"
        answer = self.client.ask(page)
        if answer.status != 200 or answer.body != TOMBSTONE:
            self._wrong("ended", f"the page gives status {answer.status} and {_begin(answer)}")
        else:
            self._common("the page of what has ended", answer)
            self._policy("page policy", "the page of what has ended", answer, http_headers.PAGE_POLICY)
        answer = self.client.ask(f"{page}files/plain.txt")
        if answer.status not in ENDED:
            self._wrong("ended", f"a file of it gives status {answer.status}")

    def _gone(self) -> None:
        self._tried("gone")
        never = "a" * 31 + "7"
        first = None
        for path in (
            f"/{never}/",
            f"/{self.revoked}/",
            f"/{self.revoked}/files/plain.txt",
            f"/{never}/files/plain.txt",
            f"/{self.present}/files/other.txt",
            f"/{self.present.upper()}/",
            f"/{short(self.present)}/",
            f"/{self.present}0/",
            "/not-an-id/",
        ):
            answer = self.client.ask(self.client.prefix + path)
            self._common("the answer about what is not there", answer)
            self._policy("page policy", "the answer about what is not there", answer, http_headers.PAGE_POLICY)
            signature = (answer.status, answer.body, tuple(answer.get(name) for name in SAME))
            first = first or signature
            if answer.status not in GONE:
                self._wrong("gone", f"{self._shown(path)} gives status {answer.status}")
            elif signature != first:
                self._wrong("gone", f"{self._shown(path)} gives another answer than an id that never was")

    def _outside(self) -> None:
        self._tried("listing", "outside", "links", "methods")
        private = [self.store.path(record_path(self.present))]
        with open(private[0], "rb") as stream:
            record = stream.read()
        names = [name.encode("ascii") for name in FILES if name.isascii() and "%" not in name]
        base = self.client.prefix
        for path in (f"{base}/", "/", f"{self.page}files/", f"{self.page}files", f"{self.page}?C=M;O=A"):
            answer = self.client.ask(path)
            if path.endswith("O=A"):
                listed = answer.body != PAGE
            else:
                listed = answer.status != 404 or any(name in answer.body for name in names)
            if listed:
                self._wrong("listing", f"{self._shown(path)} gives status {answer.status} and {_begin(answer)}")
        for path in _ways_out(base, self.page, self.present):
            answer = self.client.ask(path)
            if record in answer.body or SENDER.encode("ascii") in answer.body:
                self._wrong("outside", f"{self._shown(path)} gives a record away")
            elif answer.status not in REFUSED:
                self._wrong("outside", f"{self._shown(path)} gives status {answer.status}")
        answer = self.client.ask(f"{self.page}files/{SYMLINK}")
        if answer.status not in GONE:
            self._wrong("links", f"one gives status {answer.status}")
        self._methods()

    def _methods(self) -> None:
        path = f"{self.page}files/plain.txt"
        for method in ("POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "MKCOL", "MOVE"):
            answer = self.client.ask(path, method)
            if answer.status not in REFUSED:
                self._wrong("methods", f"{method} gives status {answer.status}")
        if self.client.ask(path).body != FILES["plain.txt"]:
            self._wrong("methods", "one of them changed a file")


def _ways_out(base: str, page: str, download: str) -> "Iterator[str]":
    """Yield paths that must not lead anywhere."""
    record = record_path(download)
    for up in ("..", "%2e%2e", ".%2e", "..%2f..", "%2e%2e%2f", "..%5c..", "..;", "%252e%252e"):
        yield f"{base}/{up}/{record}"
        yield f"{page}files/{up}/{up}/{up}/{record}"
    folders = (layout.BLOBS, layout.RECORDS, layout.WORKSPACE, *layout.KEPT)
    for name in (record, layout.SECRET, layout.USAGE, *(f"{folder}/" for folder in folders), ".git/config"):
        yield f"{base}/{name}"
    yield from ("/.git/config", "/.htaccess", "/server-status", "/server-info", "/cgi-bin/", "/nginx_status", "/icons/")
    yield from (f"{base}/{layout.EXPIRED}", f"{base}/pfilter-gone", "/pfilter-gone", "/pfilter-gone-text")
    yield f"{page}index.html"
    yield f"{page}files/plain.txt%00.jpg"
    yield f"{page}files/plain.txt/"
    yield f"{page}files/plain.txt/more"
    yield f"{page}files/../index.html"
    yield f"{page}/files/plain.txt"
    yield f"{page}files//plain.txt"
    yield f"{base}//{record}"
    yield f"{page}files/.htaccess"
    yield f"{base}/{download}%0d%0aSet-Cookie:%20x=1/"


def _begin(answer: Answer) -> str:
    text = answer.body[:60].decode("utf-8", "replace")
    return repr(text) if text else "nothing"
