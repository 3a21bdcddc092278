"""A notice into a text or HTML body that exists already (DESIGN, "Bodies").

The body is decoded strictly, by its declared encoding and charset, to be sure that what is appended will be read as it
was meant; but nothing of it is written anew (`insert`). Where that is not possible the answer is None: leave the body,
and put a text/plain part in front of it.

- text/plain: at the end. Where the charset can't hold the notice, the whole part becomes UTF-8, and says so.
- text/html: where the body ends to an HTML5 parser, and only where that shows it (`visible`). What the charset can't
  hold stands as a character reference, so no HTML is ever relabelled.
"""

import codecs

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.fields import fits_lines
from pfilter.message.model import Edit, Part
from pfilter.rewriting import insert, parts, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfilter.base.scratch_file import ScratchFile

HTML_WHOLE = 4 << 20  # octets: HTML beyond is not looked at, and the notice is a part of its own
NOT_TEXT = ("utf_7", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem")
ESCAPED = ("iso2022", "hz")  # a tag is ASCII in these, but not all octets that look like one are a tag
ASCII = '<a href="https://x/?y=1">\n'  # what a charset must hold as it is, to be edited in octets
WIDE = ("utf-16", "utf-32")  # not even that


class _Decoded(Frozen):
    """What strict decoding found: the last text, and the decoder in the state after it."""

    tail: str
    decoder: codecs.IncrementalDecoder
    size: int  # decoded octets


def append_text(spool: Spool, part: Part, text: str, eol: bytes, scratch_file: "ScratchFile") -> list[Edit] | None:
    """Return the edits that put a text at the end of a text/plain body, or None. Raises OSError."""
    charset = _charset(part)
    decoded = _decode(spool, part, charset) if charset else None
    if decoded is None:
        return None
    if part.param(b"format").lower() == b"flowed":
        text = _stuffed(text)
    newline = _newline(decoded.tail, part, eol)
    before, after = _around(decoded.tail)
    added = (before + text.strip("\n") + after).replace("\n", newline)
    try:
        octets = added.encode(charset)
    except UnicodeError:
        octets = b""
    holds = bool(octets) and _reads_as(decoded.decoder, octets, added)
    if holds and (octets.isascii() or part.encoding != b"7bit") and fits_lines(octets):
        edits = insert.insert(spool, part, 0, octets, eol)
        if edits:
            return [*edits, *parts.drop_md5(part)]
    return _recoded(spool, part, charset, added, eol, scratch_file)


def append_html(spool: Spool, part: Part, html: str, eol: bytes) -> list[Edit] | None:
    """Return the edits that put a piece of HTML at the end of a text/html body, or None. Raises OSError."""
    charset = _charset(part)
    decoded = _decode(spool, part, charset) if charset else None
    if decoded is None or charset.replace("_", "-").startswith(WIDE):
        return None
    newline = _newline(decoded.tail, part, eol)
    added = ("\n" + html.strip("\n") + "\n").replace("\n", newline)
    escaped = charset.startswith(ESCAPED)
    plain = added.encode("ascii", "xmlcharrefreplace")
    octets = plain if escaped else added.encode(charset.removesuffix("-sig"), "xmlcharrefreplace")
    if charset == "hz":
        octets = octets.replace(b"~", b"~~")
    if part.encoding == b"7bit" and not octets.isascii():
        octets = plain
    behind = _octets_behind_body(spool, part, decoded.size, charset if escaped else "")
    if escaped and not behind and not _reads_as(decoded.decoder, octets, plain.decode("ascii")):
        return None  # ends within an escape sequence
    edits = insert.insert(spool, part, behind, octets, eol) if behind >= 0 else None
    return [*edits, *parts.drop_md5(part)] if edits else None


def _charset(part: Part) -> str:
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


def _decode(spool: Spool, part: Part, charset: str) -> _Decoded | None:
    """Decode the whole body strictly, keeping its end alone."""
    decoder = codecs.getincrementaldecoder(charset)("strict")
    tail = ""
    size = 0
    try:
        for chunk in codec.decode(spool, part.body, part.encoding):
            tail = (tail + decoder.decode(chunk))[-1000:]
            size += len(chunk)
        if decoder.getstate()[0]:
            return None  # ends within a character
    except (codec.Undecodable, UnicodeError):
        return None
    return _Decoded(tail=tail, decoder=decoder, size=size)


def _reads_as(decoder: codecs.IncrementalDecoder, octets: bytes, text: str) -> bool:
    """Whether octets behind what was decoded so far mean a text."""
    try:
        return decoder.decode(octets, final=True) == text
    except UnicodeError:
        return False


def _newline(tail: str, part: Part, eol: bytes) -> str:
    """Return the line end inside the text: its own, else that of the message."""
    if "\n" in tail:
        return "\r\n" if "\r\n" in tail else "\n"
    return "\r\n" if part.encoding == b"base64" else eol.decode("ascii")


def _around(tail: str) -> tuple[str, str]:
    """Return what goes before and behind the notice, so that an empty line stands before it."""
    if not tail:
        return "", ""
    if not tail.endswith("\n"):
        return "\n\n", ""
    return ("" if tail.endswith(("\n\n", "\n\r\n")) else "\n"), "\n"


def _stuffed(text: str) -> str:
    """Stuff lines as format=flowed wants it (RFC 3676, 4.4); none ends in a blank, so none flows."""
    lines = [line.rstrip() for line in text.split("\n")]
    return "\n".join(" " + line if line.startswith((" ", ">", "From ")) else line for line in lines)


def _octets_behind_body(spool: Spool, part: Part, size: int, escaped_charset: str) -> int:
    """Return how many decoded octets follow the place for the notice; -1 where no reader is certain to see it."""
    if size > HTML_WHOLE:
        return -1  # what is open at its end, only all of it can tell
    data = b"".join(codec.decode(spool, part.body, part.encoding))
    text = data.decode(escaped_charset).encode("utf-8") if escaped_charset else data
    place = visible.place_at_end(text)
    if place < 0 or not escaped_charset:
        return len(data) - place if place >= 0 else -1
    ending = text[place:].decode("utf-8").encode(escaped_charset)
    return len(ending) if data.endswith(ending) else -1


def _recoded(spool: Spool, part: Part, charset: str, added: str, eol: bytes, scratch_file: "ScratchFile") -> list[Edit]:
    """Make the whole part UTF-8, with the addition, and say so in its header. Raises OSError."""

    def octets() -> "Iterator[bytes]":
        decoder = codecs.getincrementaldecoder(charset)("strict")
        for chunk in codec.decode(spool, part.body, part.encoding):
            yield decoder.decode(chunk).encode("utf-8")
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
