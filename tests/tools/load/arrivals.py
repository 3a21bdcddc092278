"""What arrives: each message compared with what was sent, each link opened as a recipient would."""

import hashlib
import http.client
import io
import queue
import re
import threading
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from tests.e2e.arrived import Arrived
from tests.lib.support import NOTICE
from tests.tools.load.beside import Beside
from tests.tools.load.mix import END, NUMBER, Sent
from tests.tools.load.place import Place

LOOK = 0.2  # seconds between two looks at the sink
AHEAD = 100  # the sink numbers messages as they begin and shows them when they are complete
READERS = 2
SECONDS = 60.0  # for one download
GIVE_UP = 50  # downloads that failed: no more are tried


class Copy(NamedTuple):
    """A message as it arrived once."""

    file: str
    recipients: tuple[str, ...]
    download: str  # the id of its downloads
    problem: str  # how it is not what was sent


class Web:
    """Opens links and compares what is behind them."""

    def __init__(self, place: Place) -> None:
        self._host, self._port = "127.0.0.1", int(place.base_url.rpartition(":")[2])
        self._lock = threading.Lock()
        self._todo: queue.SimpleQueue[tuple[Sent, str] | None] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._read) for _ in range(READERS)]
        self.tried = 0
        self.octets = 0
        self.failed: list[str] = []
        self.wrong: list[str] = []
        for reader in self._readers:
            reader.start()

    def later(self, sent: Sent, download: str) -> None:
        """Try a link soon."""
        self._todo.put((sent, download))

    def finish(self) -> None:
        """Wait until all links were tried, and end."""
        for _ in self._readers:
            self._todo.put(None)
        for reader in self._readers:
            reader.join()

    def _read(self) -> None:
        while (item := self._todo.get()) is not None:
            self.check(*item)

    def check(self, sent: Sent, download: str) -> None:
        """Open the page, then what it leads to: one file, the one that was attached."""
        if len(self.failed) >= GIVE_UP:
            return
        try:
            status, page = self._get(f"/{download}/")
            names = re.findall(r'href="files/([^"]*)"', page.decode("utf-8"))
            digest = ""
            if status == 200 and len(names) == 1:
                status, data = self._get(f"/{download}/files/{names[0]}")
                digest = hashlib.sha256(data).hexdigest()
        except (OSError, http.client.HTTPException) as error:
            status, names, digest = 0, [repr(error)], ""
        with self._lock:
            self.tried += 1
            if status != 200 or len(names) != 1:
                self.failed.append(f"message {sent.number}, link {download[:8]}: {status} {names}")
            elif unquote(names[0]) != sent.name or digest != sent.file_digest:
                self.wrong.append(f"message {sent.number}, link {download[:8]}: not what was sent")

    def gone(self, download: str) -> bool:
        """Whether a download can't be opened any more."""
        return self._get(f"/{download}/")[0] == 404

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        with self._lock:
            self.octets += len(data)
        return answer.status, data


class Arrivals(Beside):
    """Reads what arrives at the sink while mail flows, and has its links tried."""

    def __init__(self, place: Place, sent: dict[int, Sent]) -> None:
        super().__init__(LOOK)
        self._place = place
        self._sent = sent
        self._next = 1
        self._early: set[int] = set()
        self.web = Web(place)
        self.copies: dict[int, list[Copy]] = defaultdict(list)
        self.notices: Counter[int] = Counter()
        self.strange: list[str] = []  # bounces, and what nobody sent
        self._links = re.compile(re.escape(place.base_url.encode()) + rb"/([a-z2-7]{32})/")

    def step(self) -> None:
        """Take in what is new."""
        number, last = self._next, self._next + AHEAD
        while number < last:
            if number not in self._early and (self._place.instance.sink / f"{number:05d}.json").exists():
                self._early.add(number)
                last = number + AHEAD
                self._take(number)
            number += 1
        while self._next in self._early:
            self._early.remove(self._next)
            self._next += 1

    def _take(self, number: int) -> None:
        path = self._place.instance.sink / f"{number:05d}.json"
        arrived = Arrived.read(path)
        found = re.search(rf"(?mi)^{NUMBER}: (\d+)\r$".encode(), arrived.content.partition(b"\r\n\r\n")[0])
        sent = self._sent.get(int(found[1])) if found else None
        if sent:
            self._compare(sent, arrived, path.name)
        elif arrived.sender == "" and (about := re.search(rb"Load (\d{6})", arrived.raw)) and NOTICED in arrived.raw:
            self.notices[int(about[1])] += 1
        else:
            self.strange.append(f"{path.name}: {arrived.message['subject']} to {arrived.recipients}")

    def _compare(self, sent: Sent, arrived: Arrived, name: str) -> None:
        downloads = sorted({found.decode() for found in self._links.findall(arrived.raw)})
        problem = _difference(sent, arrived, downloads)
        download = downloads[0] if downloads else ""
        recipients = tuple(sorted(recipient.strip("<>") for recipient in arrived.recipients))
        self.copies[sent.number].append(Copy(name, recipients, download, problem))
        if download and sent.kind.fate == "link":
            self.web.later(sent, download)

    def links(self, fate: str) -> Iterable[tuple[Sent, str]]:
        """Yield the downloads of all messages of a fate, each once."""
        for number, copies in sorted(self.copies.items()):
            if self._sent[number].kind.fate == fate:
                for download in sorted({copy.download for copy in copies if copy.download}):
                    yield self._sent[number], download


NOTICED = b"been replaced with"


def _difference(sent: Sent, arrived: Arrived, downloads: list[str]) -> str:
    """Return how a message differs from what it should be, or ""."""
    fate = sent.kind.fate
    if arrived.sender != sent.sender:
        return f"sender {arrived.sender!r}"
    if fate == "pass":
        return "" if hashlib.sha256(arrived.content).hexdigest() == sent.digest else "not the octets that were sent"
    text, files = arrived.text, arrived.files
    if END not in text:
        return "the text is cut short"
    if fate == "zip":
        if list(files) != [f"{sent.name}.zip"]:
            return f"not zipped: {list(files)}"
        with zipfile.ZipFile(io.BytesIO(files[f"{sent.name}.zip"])) as archive:
            inside = hashlib.sha256(archive.read(sent.name)).hexdigest()
        return "" if inside == sent.file_digest else "not what was zipped"
    if files:
        return f"attachments left: {list(files)}"
    if fate == "strip":
        return "" if sent.name in text else "no word about the attachment"
    if len(downloads) != 1 or text.count(NOTICE) != 1 or sent.name not in text:
        return f"{len(downloads)} links, {text.count(NOTICE)} notices"
    return ""
