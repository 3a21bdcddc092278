"""`pfilter serve`: what it gives out, what it logs, and what hostile or slow clients get."""

import asyncio
import http.client
import io
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pfilter.store import http_headers
from pfilter.web import lookup
from tests.lib.support import PROJECT

ID = "abcdefghijklmnopqrstuvwxyz234567"
NAME = "résumé “1”.odt"
DATA = os.urandom(300_000)
BIG = 256 << 20


class Served:
    """A store with one download, and the server for it."""

    def __init__(self, folder: Path, limits: str = "pass", user: int | None = None, **serve: object) -> None:
        self.folder = folder
        self.log = folder / "events.log"
        self.files = folder / "store" / "downloads" / ID / "files"
        if not self.files.exists():
            self.files.mkdir(parents=True)
            (self.files.parent / "index.html").write_text("<!doctype html><p>page\n")
            (self.files / NAME).write_bytes(DATA)
            (self.files / "page.html").write_bytes(b"<script>1</script>")
            with open(self.files / "big.bin", "wb") as stream:
                stream.truncate(BIG)
        self.port = 0 if str(serve.get("listen", "")).startswith("/") else free_port()
        values = {"listen": f"127.0.0.1:{self.port}", **serve}
        file = folder / "pfilter.toml"
        file.write_text(
            f'[policy]\nown_domains = ["*"]\n[store]\npath = "{folder}/store"\n'
            f'base_url = "https://files.example/d"\n[log]\nto = "file:{self.log}"\n[serve]\n'
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        )
        code = f"from pfilter.web import app, connection, serve; {limits}; from pfilter.cli import main; main()"
        argv = [sys.executable, "-P", "-c", code, "serve", "--config", str(file)]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)}
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, env=environment, user=user, group=user)
        assert self.process.stderr
        self.said = self.process.stderr.readline().decode()  # it listens by then
        assert "is served by" in self.said, self.said + self.process.stderr.read().decode()

    def ask(self, path: str = f"/d/{ID}/", method: str = "GET", **fields: str) -> "Answer":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): v for name, v in fields.items()})
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): v for name, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def raw(self, sent: bytes) -> bytes:
        """Send octets and return what comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def events(self) -> list[dict[str, object]]:
        """Return what was logged."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def resident(self) -> int:
        """Return the most memory that the process had, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) >> 10

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stderr
            self.process.stderr.close()


class Answer:
    def __init__(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, fields, body


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def file_path(name: str) -> str:
    return f"/d/{ID}/files/{quote(name, safe='')}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a server for all tests of this module."""
    made = Served(tmp_path_factory.mktemp("served"))
    yield made
    assert made.stop() == 0


def common(answer: Answer) -> bool:
    """Whether an answer has all headers that every answer must have."""
    return all(answer.headers.get(name.lower()) == value for name, value in http_headers.COMMON) and bool(
        answer.headers.get(http_headers.POLICY.lower())
    )


def test_the_page(served: Served) -> None:
    answer = served.ask()
    assert (answer.status, answer.body) == (200, b"<!doctype html><p>page\n")
    assert answer.headers["content-type"] == http_headers.HTML
    assert answer.headers["content-disposition"] == "inline"
    assert common(answer)
    assert "server" not in answer.headers


def test_a_file_with_its_name(served: Served) -> None:
    answer = served.ask(file_path(NAME))
    assert (answer.status, answer.body == DATA) == (200, True)
    told = "attachment; filename=\"resume 1.odt\"; filename*=UTF-8''r%C3%A9sum%C3%A9%20%E2%80%9C1%E2%80%9D.odt"
    assert answer.headers["content-disposition"] == told
    assert answer.headers["content-type"] == "application/vnd.oasis.opendocument.text"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers[http_headers.POLICY.lower()] == http_headers.FILE_POLICY
    assert common(answer)


def test_head_is_get_without_a_body(served: Served) -> None:
    get, head = served.ask(file_path(NAME)), served.ask(file_path(NAME), "HEAD")
    assert head.body == b""
    assert {**get.headers, "date": ""} == {**head.headers, "date": ""}
    gone, head = served.ask("/d/x/"), served.ask("/d/x/", "HEAD")
    assert {**gone.headers, "date": ""} == {**head.headers, "date": ""}
    assert head.body == b""


def test_head_takes_no_part(served: Served) -> None:
    """Range is for GET alone (RFC 9110, 14.2); what it says of conditions holds."""
    head = served.ask(file_path(NAME), "HEAD")
    for given in ("bytes=100-199", f"bytes={len(DATA)}-", "bytes=0-9,200000-200009"):
        answer = served.ask(file_path(NAME), "HEAD", range=given)
        assert (answer.status, {**answer.headers, "date": ""}) == (200, {**head.headers, "date": ""})
    assert served.ask(file_path(NAME), "HEAD", range="bytes=0-1", if_none_match=head.headers["etag"]).status == 304


def test_an_absolute_target_is_its_path(served: Served) -> None:
    """`GET http://host/path` (RFC 9112, 3.2.2) is `GET /path`; other schemes are nowhere."""
    for base in (b"http://files.example", b"HTTPS://files.example:443"):
        for path in (f"/d/{ID}/", file_path(NAME)):
            said = served.raw(b"GET %s%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (base, path.encode()))
            assert said.startswith(b"HTTP/1.1 200 ")
        moved = served.raw(b"GET %s/d/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (base, ID.encode()))
        assert f"\r\nlocation: /d/{ID}/\r\n".encode() in moved.lower()
        begin = b"GET %s/d/%s/ HTTP/1.1\r\nHost: x\r\n" % (base, ID.encode())
        moved = served.raw(begin + b"X-Forwarded-Proto: http\r\nConnection: close\r\n\r\n")
        assert f"\r\nlocation: https://files.example/d/{ID}/\r\n".encode() in moved.lower()
    for target in (b"http://files.example", b"ftp://files.example/d/" + ID.encode() + b"/", b"http:/d/x/", b"*"):
        said = served.raw(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
        assert said.startswith(b"HTTP/1.1 404 ")


def test_parts_of_a_file(served: Served) -> None:
    answer = served.ask(file_path(NAME), range="bytes=100-199")
    assert (answer.status, answer.body) == (206, DATA[100:200])
    assert answer.headers["content-range"] == f"bytes 100-199/{len(DATA)}"
    assert common(answer)
    answer = served.ask(file_path(NAME), range=f"bytes={len(DATA)}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


def test_several_ranges_are_the_whole_file(served: Served) -> None:
    """No multipart/byteranges: a server may ignore Range (RFC 9110, 14.2)."""
    for given in ("bytes=0-9,200000-200009", f"bytes=0-9,{len(DATA)}-", "bytes=0-9,"):
        answer = served.ask(file_path(NAME), range=given)
        assert (answer.status, answer.body) == (200, DATA)
        assert answer.headers["content-type"] == "application/vnd.oasis.opendocument.text"
        assert "content-range" not in answer.headers


def test_going_on_only_with_the_same_file(served: Served) -> None:
    etag = served.ask(file_path(NAME)).headers["etag"]
    assert served.ask(file_path(NAME), range="bytes=5-", if_range=etag).body == DATA[5:]
    assert served.ask(file_path(NAME), range="bytes=5-", if_range='"other"').body == DATA
    answer = served.ask(file_path(NAME), if_none_match=f'"other", W/{etag}')
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert common(answer)
    assert served.ask(file_path(NAME), if_match='"other"').status == 412


def test_whatever_is_not_there_looks_the_same(served: Served) -> None:
    (served.files / "link").symlink_to(NAME)
    (served.files / "folder").mkdir()
    os.mkfifo(served.files / "fifo")
    paths = ("/", "/d/", "/d/x/", f"/d/{'a' * 32}/", f"/d/{ID}/files/", f"/d/{ID}/index.html", f"/d/{ID.upper()}/")
    below = ("no", "link", "folder", "fifo", "folder/", "%2e%2e", "..%2findex.html", "%00", "%ff", "%zz", "a" * 300)
    answers = [served.ask(path) for path in (*paths, *(f"/d/{ID}/files/{name}" for name in below))]
    assert {answer.status for answer in answers} == {404}
    assert {answer.body for answer in answers} == {http_headers.GONE.encode()}
    assert len({str({**answer.headers, "date": ""}) for answer in answers}) == 1
    assert common(answers[0])
    expired = served.files.parent.parent / "expired.html"
    expired.write_text("<p>expired")
    try:
        assert served.ask("/d/x/").body == b"<p>expired"
    finally:
        expired.unlink()


def test_files_of_what_has_ended_are_gone(served: Served) -> None:
    """A link to a file whose download has ended shows the page that stayed, as 410; the page itself is a page."""
    ended = "b" * 32
    place = served.folder / "store" / "downloads" / ended
    place.mkdir()
    (place / "index.html").write_text("<!doctype html><p>ended\n")
    for method in ("GET", "HEAD"):
        answer = served.ask(f"/d/{ended}/files/a.pdf", method)
        assert (answer.status, answer.body) == (410, b"<!doctype html><p>ended\n" if method == "GET" else b"")
        assert answer.headers["content-type"] == http_headers.HTML
        assert common(answer)
    assert served.ask(f"/d/{ended}/").status == 200
    assert served.ask(file_path("other.pdf")).status == 404
    assert served.ask(f"/d/{'c' * 32}/files/a.pdf").status == 404


def test_all_files_at_once(tmp_path: Path) -> None:
    """With [serve] archive they are one ZIP: saved, its length known, in parts if asked for, logged when whole."""
    served = Served(tmp_path, archive=True)
    linked = (NAME, "page.html")
    page = "".join(f'<a href="files/{quote(name, safe="")}">' for name in (*linked, NAME, "../x", ".hidden"))
    (served.files.parent / "index.html").write_text(page)
    served.files.chmod(0o311)  # nobody need list them
    path = f"/d/{ID}/files.zip"
    try:
        answer = served.ask(path)
        assert (answer.status, answer.headers["content-length"]) == (200, str(len(answer.body)))
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == 'attachment; filename="files.zip"'
        assert common(answer)
        with zipfile.ZipFile(io.BytesIO(answer.body)) as found:
            assert (tuple(found.namelist()), found.read(NAME) == DATA) == (linked, True)
        head = served.ask(path, "HEAD")
        assert (head.body, head.headers["content-length"]) == (b"", str(len(answer.body)))
        rest = served.ask(path, range="bytes=1000-", if_range=answer.headers["etag"])
        assert (rest.status, rest.body == answer.body[1000:]) == (206, True)
        assert served.ask(f"/d/{'c' * 32}/files.zip").status == 404
        assert served.ask(f"/d/{ID}/files.zip/").status == 404
        for words in ("<p>no links", '<a href="files/gone">'):
            (served.files.parent / "index.html").write_text(words)
            assert served.ask(path).status == 404
    finally:
        assert served.stop() == 0
    assert [event["file"] for event in served.events() if event["event"] == "downloaded"] == ["files.zip"]


def test_without_archive_there_is_none(served: Served) -> None:
    """By default, all files at once are one more thing that is not there."""
    assert served.ask(f"/d/{ID}/files.zip").status == 404


def test_a_lost_slash_is_found_again(served: Served) -> None:
    for some_id in (ID, "a" * 32):
        answer = served.ask(f"/d/{some_id}")
        assert (answer.status, answer.headers["location"]) == (301, f"/d/{some_id}/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_nothing_can_be_written(served: Served, method: str) -> None:
    answer = served.ask(file_path(NAME), method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert common(answer)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000])
def test_what_is_no_request_gets_the_same_headers(served: Served, sent: bytes) -> None:
    answer = served.raw(sent).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert all(
        f"{name.lower()}: {value}" in answer.lower().replace(value.lower(), value)
        for name, value in http_headers.COMMON
    )


def test_who_came_by_http_is_sent_to_https(served: Served) -> None:
    answer = served.ask(x_forwarded_proto="http")
    assert (answer.status, answer.headers["location"]) == (308, f"https://files.example/d/{ID}/")
    answer = served.ask(x_forwarded_proto="https")
    assert (answer.status, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")
    assert "strict-transport-security" not in served.ask().headers


def test_whole_downloads_are_logged_and_nothing_else(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        path = file_path(NAME)
        served.ask()
        served.ask(path, "HEAD")
        served.ask(path, range="bytes=0-99")
        served.ask(path, purpose="prefetch")
        served.ask(path, sec_purpose="prefetch;prerender")
        served.ask(path, x_moz="prefetch")
        served.ask(path, if_none_match="*")
        (served.files / "empty").touch()
        for headers in ({"if_none_match": "*"}, {"range": "bytes=0-"}, {"if_match": '"other"'}):
            served.ask(file_path("empty"), **headers)
        served.ask(file_path("none"))
        with socket.create_connection(("127.0.0.1", served.port)) as leaving:
            leaving.sendall(f"GET {file_path('big.bin')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            leaving.recv(100_000)
        time.sleep(0.5)
        assert served.events() == []
        for _ in range(20):  # clients that leave as soon as they have the last octet
            served.ask(path)
        served.ask(path, range=f"bytes=0-{len(DATA) - 1}")
    finally:
        assert served.stop() == 0
    events = [{key: event[key] for key in event if key != "timestamp"} for event in served.events()]
    one = {"event": "downloaded", "level": "info", "download": ID[:8], "file": NAME, "size": len(DATA)}
    assert events == [one] * 21


def test_the_first_downloads_may_end_together(tmp_path: Path) -> None:
    """What logging takes is loaded once, by nobody else's side: two threads at it would end the log for good."""
    counter = tmp_path / "loads"
    limits = "from pfilter.base import structlog_loader; load = structlog_loader.load; import time"
    limits += f"; structlog_loader.load = lambda: (open({str(counter)!r}, 'a').write('x'), time.sleep(1), load())[2]"
    served = Served(tmp_path, limits)
    try:
        with ThreadPoolExecutor(5) as pool:
            assert [answer.status for answer in pool.map(served.ask, [file_path(NAME)] * 5)] == [200] * 5
    finally:
        assert served.stop() == 0
    assert counter.read_text() == "x"
    assert len(served.events()) == 5


def test_memory_does_not_grow_with_the_file_nor_with_slow_clients(tmp_path: Path) -> None:
    """256 MiB whole, beside 30 clients that take nothing."""
    served = Served(tmp_path)
    slow = []
    try:
        served.ask(file_path(NAME))
        before = served.resident()
        for _ in range(30):
            slow.append(socket.create_connection(("127.0.0.1", served.port)))
            slow[-1].sendall(f"GET {file_path('big.bin')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        connection.request("GET", file_path("big.bin"))
        answer = connection.getresponse()
        size = 0
        while chunk := answer.read(1 << 20):
            size += len(chunk)
        connection.close()
        assert size == BIG
        assert served.resident() - before < 40
    finally:
        for one in slow:
            one.close()
        assert served.stop() == 0


def test_slow_on_purpose(tmp_path: Path) -> None:
    """Half a request, and an answer that nobody takes, are given up; a slow but steady client is not."""
    served = Served(tmp_path, "connection.REQUEST_SECONDS = connection.STALL_SECONDS = 1")
    try:
        began = time.monotonic()
        assert ended(lambda: served.raw(b"GET / HTTP/1.1\r\nHost:"))
        assert time.monotonic() - began < 10
        request = f"GET {file_path('big.bin')} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        stalled = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        steady = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        stalled.sendall(request)
        steady.sendall(request)
        for _ in range(30):
            assert len(steady.recv(4 << 20)) > 0
            time.sleep(0.1)
        assert ended(lambda: [chunk for chunk in iter(lambda: stalled.recv(1 << 20), b"") if not chunk])
        assert len(steady.recv(65536)) > 0
        stalled.close()
        steady.close()
        assert served.events() == []
    finally:
        assert served.stop() == 0


def ended(receive: Callable[[], object]) -> bool:
    """Whether the server has ended a connection, in whichever way."""
    try:
        return not receive()
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("limit", ["app.ANSWERS", "serve.CONNECTIONS"])
def test_too_many_at_once(tmp_path: Path, limit: str) -> None:
    """More answers than allowed are 503 with all headers; a connection more than all that are busy is closed."""
    served = Served(tmp_path, f"{limit} = 2")
    held = []
    try:
        held += [downloading(served) for _ in range(2)]
        if limit == "app.ANSWERS":
            answer = served.ask()
            assert (answer.status, answer.headers["retry-after"]) == (503, "30")
            assert common(answer)
        else:
            with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
                served.ask()
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


def downloading(served: Served) -> socket.socket:
    """Return a connection with an answer under way that is not taken."""
    made = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    made.sendall(f"GET {file_path('big.bin')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert made.recv(100)
    return made


def silent(served: Served, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection that says nothing; addresses but 127.0.0.1, the proxy's, are clients'."""
    return socket.create_connection(("127.0.0.1", served.port), timeout=20, source_address=(source, 0))


def open_still(connections: list[socket.socket]) -> int:
    """How many of these silent connections the server has not closed; bounded by a moment, which it needs to do so."""
    left = 0
    for connection in connections:
        ready, _, _ = select.select([connection], [], [], 0.05)
        left += not (ready and ended(lambda one=connection: one.recv(100)))  # type: ignore[misc]
    return left


def told_by_tls(port: int, source: str = "127.0.0.1") -> bytes:
    """Ask for the page by TLS, and return the answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    with plain, context.wrap_socket(plain) as connection:
        connection.sendall(f"GET /d/{ID}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def with_certificate(tmp_path: Path) -> Path:
    """Return the path of a certificate with its key."""
    if not any(os.access(f"{folder}/openssl", os.X_OK) for folder in ("/usr/bin", "/bin")):
        pytest.skip("openssl is not installed")
    certificate(tmp_path, "files.example")
    return tmp_path / "one.pem"


def test_silent_connections_by_tls_keep_out_nobody(tmp_path: Path, with_certificate: Path) -> None:
    """Of many that never begin their handshake some are kept, and who has something to say is always answered."""
    served = Served(tmp_path, "serve.WAITING = 20", certificate=str(with_certificate))
    held: list[socket.socket] = []
    try:
        for _ in range(3):
            held += [silent(served) for _ in range(30)]
            assert told_by_tls(served.port).startswith(b"HTTP/1.1 200 ")
        assert 0 < open_still(held) <= 20
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


def test_silent_connections_after_their_handshake_keep_out_nobody(tmp_path: Path, with_certificate: Path) -> None:
    """Those that are through with TLS and ask for nothing wait as well, and so do those that have been answered."""
    served = Served(tmp_path, "serve.CONNECTIONS = 10", certificate=str(with_certificate))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    held: list[socket.socket] = []
    try:
        for number in range(30):
            held.append(context.wrap_socket(silent(served)))
            if number % 2:
                held[-1].sendall(f"GET /d/{ID}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert held[-1].recv(100).startswith(b"HTTP/1.1 200 ")
        assert told_by_tls(served.port).startswith(b"HTTP/1.1 200 ")
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


def test_silent_connections_in_plain_keep_out_nobody(tmp_path: Path) -> None:
    """Without TLS, too, the one that has waited longest makes room, and a download under way never does."""
    served = Served(tmp_path, "serve.CONNECTIONS = 10")
    held = [downloading(served)]
    try:
        held += [silent(served) for _ in range(30)]
        assert served.ask().status == 200
        assert open_still(held[1:]) < 10
        assert held[0].recv(100)
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


def test_one_address_can_not_take_all(tmp_path: Path, with_certificate: Path) -> None:
    """What one client has too many is closed at once; others and proxies are served, and who left is forgotten."""
    served = Served(tmp_path, "serve.BY_ADDRESS = 5", certificate=str(with_certificate))
    held: list[socket.socket] = []
    try:
        held += [silent(served, "127.0.0.2") for _ in range(12)]
        assert open_still(held) == 5
        assert told_by_tls(served.port, "127.0.0.3").startswith(b"HTTP/1.1 200 ")
        held += [silent(served, "127.0.0.1") for _ in range(12)]
        assert open_still(held[12:]) == 12
        for one in held:
            one.close()
        for _ in range(12):
            assert told_by_tls(served.port, "127.0.0.2").startswith(b"HTTP/1.1 200 ")
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "half a hello"])
def test_a_handshake_that_does_not_end_is_given_up(tmp_path: Path, with_certificate: Path, begun: bytes) -> None:
    served = Served(tmp_path, "serve.HANDSHAKE_SECONDS = 1", certificate=str(with_certificate))
    try:
        with silent(served) as connection:
            connection.sendall(begun)
            assert ended(lambda: connection.recv(100))  # within its timeout, which is shorter than asyncio's 60 s
        assert served.events() == []
    finally:
        assert served.stop() == 0


def test_what_a_silent_connection_costs(tmp_path: Path, with_certificate: Path) -> None:
    """Some 80 KiB by TLS, as pfilter.toml(5) says: what may wait fits into the unit's MemoryMax many times."""
    served = Served(tmp_path, certificate=str(with_certificate))
    held: list[socket.socket] = []
    try:
        told_by_tls(served.port)
        before = served.resident()
        held += [silent(served) for _ in range(150)]
        assert open_still(held) == 150
        assert (served.resident() - before) * 1024 / 150 < 120
    finally:
        for one in held:
            one.close()
        assert served.stop() == 0


def test_a_socket_behind_a_proxy(tmp_path: Path) -> None:
    """By a Unix socket; whoever connects there is believed; one left from a crash is no hindrance."""
    path = f"/tmp/pfilter-test-{os.getpid()}.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    served = Served(tmp_path, listen=path)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(path)
            connection.sendall(f"GET /d/{ID}/ HTTP/1.0\r\nX-Forwarded-Proto: http\r\n\r\n".encode())
            assert b" 308 " in connection.recv(65536)
    finally:
        assert served.stop() == 0
        os.unlink(path)


def test_the_rights_of_a_socket_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts a symbolic link in the socket's place right after bind(2) has changed no file's rights."""
    from pfilter.web import serve

    private, where = tmp_path / "private", tmp_path / "web.sock"
    private.write_text("x")
    private.chmod(0o600)
    bind = socket.socket.bind
    modes = []

    def replaced(one: socket.socket, address: str) -> None:
        bind(one, address)
        modes.append(os.lstat(where).st_mode & 0o777)
        where.unlink()
        where.symlink_to(private)

    monkeypatch.setattr(socket.socket, "bind", replaced)
    serve._listening(str(where)).close()
    assert modes == [0o666]
    assert private.stat().st_mode & 0o777 == 0o600


def test_a_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    """Also one that is too busy to answer, and what is no socket at all; what is left from a crash goes."""
    from pfilter.base.errors import ConfigError
    from pfilter.web import serve

    where = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(where))
        busy.listen(0)
        client.connect(str(where))
        with pytest.raises(ConfigError, match="in use"):
            serve._listening(str(where))
        assert where.is_socket()
    serve._listening(str(where)).close()
    where.unlink()
    where.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="in use"):
        serve._listening(str(where))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_socket_is_never_made_by_root(tmp_path: Path) -> None:
    """Its folder is the owner of the store's, who could lead root elsewhere: the socket is the owner's as well."""
    with tempfile.TemporaryDirectory(prefix="pfilter-", dir="/var/tmp") as name:
        place = Path(name)
        (place / "store").mkdir()
        for path in (place, place / "store"):
            os.chown(path, 65534, 65534)
        served = Served(place, listen=f"{place}/web.sock")
        try:
            assert (place / "web.sock").stat().st_uid == 65534
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                connection.connect(str(place / "web.sock"))
                connection.sendall(f"GET /d/{ID}/ HTTP/1.0\r\n\r\n".encode())
                assert b" 200 " in connection.recv(65536)
        finally:
            assert served.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_any_user_can_serve_and_see_nothing_else(tmp_path: Path) -> None:
    """As the unit has it: the store's rights let another user open pages and files, and no list, record or key."""
    from pfilter.store.local import LocalStore
    from pfilter.web import check

    with tempfile.TemporaryDirectory(prefix="pfilter-", dir="/var/tmp") as name:
        place = Path(name)
        place.chmod(0o711)
        (place / "store").mkdir(mode=0o711)
        store = LocalStore(str(place / "store"), "https://files.example/d")
        store.secret()
        check._place(store, ID)
        served = Served(place, user=65534)
        try:
            assert served.ask().body == check.PAGE
            assert served.ask(file_path("plain.txt")).body == check.FILES["plain.txt"]
            assert served.events() == []
        finally:
            served.process.terminate()
            assert served.process.stderr
            assert b"downloads are not logged" in served.process.stderr.read()
            assert served.stop() == 0
        look = "import os, sys\nfor path in sys.argv[1:]: print(os.access(path, os.R_OK))"
        paths = [*place.glob("store/*"), place / "store", place / "store" / "records" / f"{ID}.json"]
        argv = [sys.executable, "-c", look, *map(str, paths)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60, user=65534, group=65534)
        assert len(paths) > 6
        assert set(done.stdout.split()) == {"False"}


def test_all_addresses_are_those_of_ipv4_too(tmp_path: Path) -> None:
    """`[::]:443` is for everybody, and a proxy that comes by IPv4 is the one that is named."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()
    served = Served(tmp_path, listen=f"[::]:{port}", proxies=["127.0.0.1"])
    served.port = port
    try:
        assert served.ask().status == 200
        assert served.ask(x_forwarded_proto="http").status == 308
    finally:
        assert served.stop() == 0


def test_what_is_not_believed(tmp_path: Path) -> None:
    """From anybody but a proxy, X-Forwarded-Proto says nothing."""
    served = Served(tmp_path, proxies=["192.0.2.1"])
    try:
        assert served.ask(x_forwarded_proto="http").status == 200
        assert "strict-transport-security" not in served.ask(x_forwarded_proto="https").headers
    finally:
        assert served.stop() == 0


def test_a_new_certificate_by_sighup(tmp_path: Path) -> None:
    if not any(os.access(f"{folder}/openssl", os.X_OK) for folder in ("/usr/bin", "/bin")):
        pytest.skip("openssl is not installed")
    certificate(tmp_path, "old.example")
    served = Served(tmp_path, certificate=f"{tmp_path}/one.pem")
    try:
        assert common_name(served.port) == "old.example"
        certificate(tmp_path, "new.example")
        served.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while common_name(served.port) != "new.example":
            assert time.monotonic() < until
            time.sleep(0.1)
        (tmp_path / "one.pem").write_text("broken")
        served.process.send_signal(signal.SIGHUP)
        while not served.events():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert common_name(served.port) == "new.example"
        assert served.events()[0]["event"] == "certificate not read"
    finally:
        assert served.stop() == 0


def certificate(folder: Path, name: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, "-subj", f"/CN={name}", *files], check=True, capture_output=True, timeout=60)
    (folder / "one.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def common_name(port: int) -> str:
    told = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=told, text=True, capture_output=True, check=True
    )
    return done.stdout.strip().rpartition("= ")[2].rpartition("=")[2].strip()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"listen": "127.0.0.1:1"}, "listen"),
        ({"certificate": "/nonexistent.pem"}, "certificate"),
    ],
)
def test_what_can_not_be_used_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    if "listen" in changes:
        taken = socket.create_server(("127.0.0.1", 0))
        changes = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
    with pytest.raises(AssertionError, match=rf"\[serve\] {said} = "):
        Served(tmp_path, **changes)
    if "listen" in changes:
        taken.close()


def test_a_file_that_can_not_be_read_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets 500 with all headers; the log has the reason, and no whole id."""
    from pfilter.base.log import Log
    from pfilter.config import load
    from pfilter.web.app import application

    values = {"policy": {"own_domains": ["*"]}, "store": {"path": str(tmp_path), "base_url": "https://x/d"}}
    log = Log(f"file:{tmp_path}/log")
    app = application(load.from_values(values), log)
    monkeypatch.setattr(lookup, "find", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error", f"/x/{ID}/y")))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    path = f"/d/{ID}/".encode()
    scope: dict[str, object] = {
        "type": "http",
        "method": "GET",
        "path": path.decode(),
        "raw_path": path,
        "headers": [],
        "scheme": "http",
    }
    scope |= {"query_string": b"", "root_path": "", "client": None, "server": None, "http_version": "1.1"}
    with pytest.raises(OSError, match="I/O error"):
        asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]  # type: ignore[operator]
    (event,) = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert (event["event"], event["reason"]) == ("not served", f"/x/{ID[:8]}/y: I/O error")
