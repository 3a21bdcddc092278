"""A notice into a text or HTML body that exists already (DESIGN, "Bodies").

The body is decoded strictly, by its declared encoding and charset, to be sure that what is inserted will be read as it
was meant; but nothing of it is written anew (`insert`). Where that is not possible the answer is None: leave the body,
and put a text/plain part in front of it.

What is common to `body_text` and `body_html`: the charset, strict decoding, the line ends.
"""

import codecs

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.model import Part
from pfilter.rewriting import parts
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfilter.base.scratch_file import ScratchFile
NOT_TEXT = ("utf_7", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem")
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ASCII = '<a href="https://x/?y=1">\n'  # what a charset must hold as it is, to be edited in octets
LOOKED = 1 << 20  # decoded octets of a text: in one beyond, nobody looks for the end of the sender's words
WIDE = ("utf-16", "utf-32")  # not even that


class Decoded(Frozen):
    """What strict decoding found: the last text, and the decoder in the state after it."""

    tail: str
    decoder: codecs.IncrementalDecoder
    size: int  # decoded octets
    octets: bytes  # all of them, and as a text, up to LOOKED; else only the first few, and no text
    text: str


class Spot(Frozen):
    """A place inside of a decoded body."""

    octets: int  # before it
    characters: int
    decoder: codecs.IncrementalDecoder  # in the state that it has there


def charset_of(part: Part) -> str:
    """Return Python's name of the part's charset, "" where there is none of that name (RFC 2046, 4.1.2)."""
    if part.defect:
        return ""
    named = part.param(b"charset").decode("ascii", "replace").strip() or "us-ascii"
    try:
        info = codecs.lookup(named)
    except (LookupError, ValueError):
        return ""
    if info.name.replace("-", "_") in NOT_TEXT or not getattr(info, "_is_text_encoding", True):
        return ""
    # UTF-16 in another encoding than base64: what looks like a line end is none.
    if info.name.startswith(WIDE):
        return info.name if part.encoding == b"base64" else ""
    if ASCII.encode(info.name.removesuffix("-sig")) != ASCII.encode("ascii"):
        return ""  # EBCDIC
    return info.name


def decode(spool: Spool, part: Part, charset: str) -> Decoded | None:
    """Decode the whole body strictly, keeping its end, and all of it where it is no larger than LOOKED."""
    decoder = codecs.getincrementaldecoder(charset)("strict")
    tail = ""
    size = 0
    octets: list[bytes] = []
    pieces: list[str] = []
    try:
        for chunk in codec.decode(spool, part.body, part.encoding):
            text = decoder.decode(chunk)
            tail = (tail + text)[-1000:]
            size += len(chunk)
            if size <= LOOKED:
                octets.append(chunk)
                pieces.append(text)
            else:
                octets, pieces = [(octets[0] if octets else chunk)[:4]], []
        if decoder.getstate()[0]:
            return None  # ends within a character
    except (codec.Undecodable, UnicodeError):
        return None
    return Decoded(tail=tail, decoder=decoder, size=size, octets=b"".join(octets), text="".join(pieces))


def spot(decoded: Decoded, charset: str, characters: int) -> Spot | None:
    """Return the place behind so many characters, at the start of a line; None where it can't be told in octets.

    A byte order mark stays in front.
    """
    text = decoded.text[:characters]
    if not text:
        octets = len(next((mark for mark in MARKS if decoded.octets.startswith(mark)), b""))
    elif charset.startswith(WIDE):
        octets = len(text.encode(charset))
    else:
        octets = _behind_line_ends(decoded.octets, text.count("\n"))
    decoder = codecs.getincrementaldecoder(charset)("strict")
    try:
        before = decoder.decode(decoded.octets[:octets])
    except UnicodeError:
        return None
    if before.removeprefix("\ufeff") != text.removeprefix("\ufeff"):
        return None
    return Spot(octets=octets, characters=len(before), decoder=decoder)


def _behind_line_ends(octets: bytes, number: int) -> int:
    position = 0
    for _ in range(number):
        position = octets.find(b"\n", position) + 1
    return position


def reads_as(decoder: codecs.IncrementalDecoder, octets: bytes, text: str) -> bool:
    """Whether octets behind what was decoded so far mean a text."""
    try:
        return decoder.decode(octets, final=True) == text
    except UnicodeError:
        return False


def newline_of(tail: str, part: Part, eol: bytes) -> str:
    """Return the line end inside the text: its own, else that of the message."""
    if "\n" in tail:
        return "\r\n" if "\r\n" in tail else "\n"
    return "\r\n" if part.encoding == b"base64" else eol.decode("ascii")


def recoded(
    spool: Spool, part: Part, charset: str, added: str, at: int, eol: bytes, scratch_file: "ScratchFile"
) -> list[Edit]:
    """Make the whole part UTF-8, with the addition behind `at` characters (-1: at its end), and say so in its header.

    Raises OSError.
    """

    def octets() -> "Iterator[bytes]":
        decoder = codecs.getincrementaldecoder(charset)("strict")
        left = at
        for chunk in codec.decode(spool, part.body, part.encoding):
            text = decoder.decode(chunk)
            if 0 <= left <= len(text):
                text = text[:left] + added + text[left:]
                left = -1
            elif left > 0:
                left -= len(text)
            yield text.encode("utf-8")
        if at < 0 or left >= 0:
            yield added.encode("utf-8")

    encoding = b"base64" if part.encoding == b"base64" else b"quoted-printable"
    encoded = codec.encode(encoding, octets(), eol)
    edits = parts.relabel_text(part, b"utf-8", encoding, eol)
    if not part.body.size:
        whole = parts.framed(part, b"".join(encoded).removesuffix(eol), eol)
        return [*edits, Edit(range=part.body, content=whole)]
    content = scratch_file.append(encoded)
    if encoding == b"base64" and part.body.end < spool.size:
        content = content.cut(content.size - len(eol))
    return [*edits, Edit(range=part.body, content=content)]
