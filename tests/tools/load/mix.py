"""The messages that tests/tools/load sends: numbered, of a stated mix, and what is to arrive of each."""

import hashlib
from dataclasses import dataclass
from email.utils import formatdate
from random import Random
from typing import NamedTuple

from tests.lib.support import attachment, crlf, multipart, noise, part

MB = 1_000_000
LARGEST = 20 * MB
NUMBER = "X-Load-Number"
END = "This is the last line that the sender wrote."
TEXT = "Dear all,\n\nthis is message {number}.\n\n{filling}" + END + "\n"
FILLING = "A line of this long story, as long as lines of mail are by custom.\n"
HTML = "<html><body><p>Dear all,</p>\n<p>this is message {number}.</p>\n{filling}</body></html>\n"


class Kind(NamedTuple):
    """One kind of mail: how many of a thousand are of it, and what is to become of them."""

    name: str
    share: int
    fate: str  # pass, zip, link, strip; or brief: a link that expires within the run


MIX = (
    Kind("text", 300, "pass"),
    Kind("text and HTML", 310, "pass"),
    Kind("csv of 40-300 kB", 120, "zip"),
    Kind("attachment of 1-3 MB", 100, "link"),
    Kind("signed, with a csv", 60, "pass"),
    Kind("200 kB to 6-20 recipients", 60, "link"),
    Kind("null sender with a csv", 30, "strip"),
    Kind("link that expires at once", 15, "brief"),
    Kind("attachment of 10-20 MB", 5, "link"),
)


@dataclass
class Sent:
    """What is remembered of a message."""

    number: int
    kind: Kind
    sender: str
    recipients: list[str]
    size: int = 0
    digest: str = ""  # of all octets
    name: str = ""  # of the attached file
    file_digest: str = ""
    queue_id: str = ""  # "": Postfix has not taken it


class Mix:
    """So many messages; the same ones for the same count and seed. `small`: nothing but texts."""

    def __init__(self, count: int, seed: int, *, small: bool = False) -> None:
        self._noise = noise(LARGEST, seed)
        self._seed = seed
        others = () if small else MIX[1:]
        kinds = [kind for kind in others for _ in range(max(1, round(count * kind.share / 1000)))][:count]
        kinds += MIX[:1] * (count - len(kinds))
        Random(seed).shuffle(kinds)
        self.kinds = kinds
        # The content of what expires soon is that of an attachment which does not: they share it in the store.
        films = [number for number, kind in enumerate(kinds) if kind.name == "attachment of 1-3 MB"]
        brief = [number for number, kind in enumerate(kinds) if kind.fate == "brief"]
        self._shared = dict(zip(brief, films, strict=False))

    def __len__(self) -> int:
        return len(self.kinds)

    def make(self, number: int) -> tuple[Sent, bytes]:
        """Return a message, and its octets as they go over the wire."""
        kind = self.kinds[number]
        rng = Random(self._seed * 1_000_003 + number)
        sent = Sent(number, kind, f"sender{number % 20}@example.org", [f"reader{number % 50}@example.net"])
        if kind.fate == "strip":
            sent.sender = ""
        if kind.name == "200 kB to 6-20 recipients":
            sent.recipients = [f"reader{one}@example{one % 3}.net" for one in range(rng.randint(6, 20))]
        entity = self._entity(sent, rng)
        head = (
            f"From: Sender <{sent.sender or 'daemon@example.org'}>\nTo: {', '.join(sent.recipients[:3])}\n"
            f"Subject: Load {number:06d}\nDate: {formatdate()}\nMessage-ID: <load.{number}@example.org>\n"
            f"{NUMBER}: {number}\nMIME-Version: 1.0\n"
        )
        octets = crlf(head.encode("ascii") + entity)
        sent.size = len(octets)
        sent.digest = hashlib.sha256(octets).hexdigest()
        return sent, octets

    def _entity(self, sent: Sent, rng: Random) -> bytes:
        plain = self._text(sent, rng)
        if sent.kind.name == "text":
            return plain
        both = multipart("alternative", plain, self._html(sent, rng), boundary="forms")
        if sent.kind.name == "text and HTML":
            return both
        if sent.kind.fate in ("zip", "strip") or sent.kind.name.startswith("signed"):
            file = self._attach(sent, _table(sent.number, rng.randint(40_000, 300_000)), "csv", "text/csv")
        else:
            file = self._attach(sent, self._content(sent), "bin", "application/octet-stream")
        whole = multipart("mixed", both, file, boundary="outer")
        if not sent.kind.name.startswith("signed"):
            return whole
        signature = attachment(self._noise[:2000], "smime.p7s", "application/pkcs7-signature")
        protocol = 'signed; protocol="application/pkcs7-signature"; micalg=sha-256'
        return multipart(protocol, whole, signature, boundary="sig")

    def _text(self, sent: Sent, rng: Random) -> bytes:
        text = TEXT.format(number=sent.number, filling=FILLING * rng.randint(1, 60))
        return part(text.encode("ascii"), "text/plain; charset=us-ascii")

    def _html(self, sent: Sent, rng: Random) -> bytes:
        text = HTML.format(number=sent.number, filling=f"<p>{FILLING}</p>\n" * rng.randint(1, 200))
        return part(text.encode("ascii"), "text/html; charset=us-ascii")

    def _attach(self, sent: Sent, data: bytes, ending: str, content_type: str) -> bytes:
        sent.name = f"file-{sent.number}.{ending}"
        sent.file_digest = hashlib.sha256(data).hexdigest()
        return attachment(data, sent.name, content_type)

    def _content(self, sent: Sent) -> bytes:
        """Return what no zip makes smaller, for each message another, but for those that share it."""
        number = self._shared.get(sent.number, sent.number)
        rng = Random(self._seed * 7 + number)
        if sent.kind.name == "attachment of 10-20 MB":
            size = rng.randint(10 * MB, LARGEST)
        elif sent.kind.name == "200 kB to 6-20 recipients":
            size = 200_000
        else:
            size = rng.randint(MB, 3 * MB)
        start = rng.randint(0, LARGEST - size)
        return b"%08d" % number + self._noise[start + 8 : start + size]


def _table(number: int, size: int) -> bytes:
    rows = (b"%d;%d;bridge;%d,50\r\n" % (number, row, row * 7919 % 10_007) for row in range(size // 20))
    return b"".join(rows)
