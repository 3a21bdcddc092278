"""The messages that go through: one that passes, one with every kind of change, one of the null sender, one apart."""

from typing import NamedTuple

from tests.lib.support import attachment, message, multipart, noise, part

SENDER = "sender@example.org"
READERS = ("reader@example.net", "second@example.net")
ORDINARY, OTHER = "ordinary@example.com", "other@example.com"
EXEMPT = "archive@example.com"  # gets everything as it came
TEXT = "Dear both,\n\nthe film is attached.\n"
HTML = "<html><body><p>Dear both,</p>\n<p>the film is <b>attached</b>.</p></body></html>\n"
FILM = noise(900_000)  # linked, from a file of its own
PHOTO = noise(120_000, seed=2)  # linked, from memory
TABLE = b"".join(b"2026-11-%02d;bridge;segment %05d;%d,50\r\n" % (1 + n % 28, n, n * 7 % 1000) for n in range(2000))


class Mail(NamedTuple):
    """A message, its envelope, and the files that its readers must be able to have, byte for byte."""

    name: str
    data: bytes
    sender: str
    files: dict[str, bytes]
    readers: tuple[str, ...] = READERS
    exempt: tuple[str, ...] = ()  # those of them who get it as it came, by pfilter-lmtp


def _text(text: str, kind: str) -> bytes:
    return part(text.encode("ascii"), f"text/{kind}; charset=us-ascii")


_BOTH = multipart("alternative", _text(TEXT, "plain"), _text(HTML, "html"), boundary="forms")
_FILES = {"film.mp4": FILM, "photo.bin": PHOTO, "list.csv": TABLE}
_LETTER = message(
    multipart(
        "mixed",
        _BOTH,
        attachment(FILM, "film.mp4", "video/mp4"),
        attachment(PHOTO, "photo.bin"),
        attachment(TABLE, "list.csv", "text/csv"),
        boundary="outer",
    )
)

PASSES = Mail("passes", message(_text(TEXT, "plain")), SENDER, {})
CHANGES = Mail("changes", _LETTER, SENDER, _FILES)
STRIPPED = Mail("stripped", _LETTER, "", _FILES)
APART = Mail("apart", _LETTER, SENDER, _FILES, (ORDINARY, EXEMPT, OTHER), (EXEMPT,))
