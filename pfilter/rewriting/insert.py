"""Octets into a body that is coded for transfer, at a place in what it decodes to. No policy, no text here.

Nothing else is coded anew: the sender's lines, soft line breaks and blanks stay as they are. Only base64, where three
octets make four, gives up those around the place, and gets a filler behind what is inserted so that the rest fits on.

A body in wire form is looked at with LF line ends; the range of an edit is where its octets stand in fact.
"""

import re

from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.model import Part, Range
from pfilter.rewriting import parts
from pfilter.rewriting.splice import Edit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1 << 16  # octets of encoded lines that are looked at together
REACH = 4 << 20  # octets of one encoded line, at most
IDENTICAL = (b"7bit", b"8bit", b"binary")

# What quoted-printable is made of (RFC 2045, 6.7); blanks at the end of a line and soft line breaks stand for nothing.
_QP = rb"(?P<octet>=[0-9A-Fa-f]{2})|(?P<soft>=[ \t]*(?:\r?\n|\Z))|(?P<trailing>[ \t]+(?=\r?\n|\Z))|[^= \t]+|[ \t]+"
_DENSE = re.compile(rb"[^ \t\r\n]+")


def insert(spool: Spool, part: Part, place: int, octets: bytes, eol: bytes, filler: bytes = b" ") -> list[Edit] | None:
    """Return the edits that put octets behind the first `place` decoded octets of a body, which is known to decode.

    None where its lines are too long to find the place. Raises OSError.
    """
    if not part.body.size:
        encoded = b"".join(codec.encode(part.encoding, [octets], eol)).removesuffix(eol)
        return [Edit(range=part.body, content=parts.framed(part, encoded, eol))]
    if part.encoding in IDENTICAL:
        at = _where(spool, part.body, place)
        return [Edit(range=Range(start=at, end=at), content=octets)]
    if part.encoding == b"base64":
        return [_into_base64(spool, part.body, place, octets, eol, filler)]
    for block, before, size in _blocks(spool, part.body):
        if before + size >= place or block.end == part.body.end:
            # With the beginning of what follows, which tells whether a line goes on.
            encoded = b"".join(spool.lf_windows(block.start, min(block.end + 2, part.body.end)))
            most = spool.lf_size_of(block.start, block.end)
            at, content = _into_quoted_printable(encoded, most, place - before, octets, eol)
            at = _where(spool, block, at)
            return [Edit(range=Range(start=at, end=at), content=content)]
    return None


def _where(spool: Spool, body: Range, place: int) -> int:
    """Return where in the message the octet of a number stands that are counted with LF line ends, or the body ends."""
    if not spool.wire:
        return body.start + place
    start = body.start
    for window in spool.windows(body.start, body.end):
        octets = window.replace(b"\r", b"")
        if place <= len(octets):
            # Each line end takes one more, but one whose CR was the last octet of the window before.
            line_ends = octets.count(b"\n", 0, place) - (place > 0 and window.startswith(b"\n"))
            return start + place + line_ends
        place -= len(octets)
        start += len(window)
    return body.end


def _blocks(spool: Spool, body: Range) -> "Iterator[tuple[Range, int, int]]":
    """Yield ranges of whole lines, with the number of decoded octets before and in each; none behind a long line."""
    start, before = body.start, 0
    while start < body.end:
        end = body.end
        if end - start > BLOCK:
            least = _where(spool, Range(start=start, end=min(start + 2 * BLOCK, body.end)), BLOCK)
            found = spool.find(b"\n", least, body.end)
            end = found + 1 if found >= 0 else end
        if end - start > REACH and spool.lf_size_of(start, end) > REACH:
            return
        block = Range(start=start, end=end)
        size = sum(map(len, codec.decode(spool, block, b"quoted-printable")))
        yield block, before, size
        start, before = end, before + size


def _into_quoted_printable(encoded: bytes, size: int, place: int, octets: bytes, eol: bytes) -> tuple[int, bytes]:
    """Return what goes where in encoded octets, that begin with a line; size is where the place can be at most."""
    at = _quoted_printable_offset(encoded[:size], place)
    text = b"".join(codec.encode_quoted_printable([octets], eol))
    line = encoded[encoded.rfind(b"\n", 0, at) + 1 : at]
    # A blank that is content must not come to stand at the end of a line; and no line may get too long.
    if line and (line.endswith((b" ", b"\t", b"\r")) or not octets.startswith((b"\n", b"\r\n"))):
        text = b"=" + eol + text
    if encoded[at:] and not encoded.startswith((b"\n", b"\r\n"), at) and not octets.endswith(b"\n"):
        text = codec.soft_broken(text, eol)
    return at, text


def _quoted_printable_offset(encoded: bytes, place: int) -> int:
    """Return where in the encoded octets the decoded one of a number begins.

    Behind soft line breaks, as that is the start of a line; before blanks at the end of a line, so that they stay so.
    """
    decoded = at = 0
    for token in re.finditer(_QP, encoded):
        if token["soft"]:
            if decoded == place and token[0].endswith(b"\n"):
                at = token.end()
            continue
        if token["trailing"]:
            if decoded == place:
                return token.start()
            continue
        size = 1 if token["octet"] else len(token[0])
        if decoded + size > place:
            return token.start() + place - decoded
        decoded += size
        at = token.end()
    return at


def _into_base64(spool: Spool, body: Range, place: int, octets: bytes, eol: bytes, filler: bytes) -> Edit:
    """Return what goes where."""
    first = place // 3 * 4  # the number of the character at which the four around the place begin
    start = _base64_offset(spool, body, first)
    end = _base64_offset(spool, body, first + 3) if place % 3 else start
    end += 1 if start < end < body.end else 0
    around = b"".join(codec.decode(spool, Range(start=start, end=end), b"base64"))
    added = around[: place % 3] + octets
    rest = around[place % 3 :]
    follows = any(map(_DENSE.search, spool.windows(end, body.end)))
    while follows and (len(added) + len(rest)) % 3:
        added += filler
    text = b"".join(codec.encode_base64([added + rest], eol))
    if start > body.start and spool.read(start - 1, start) != b"\n":
        text = eol + text
    if end == body.end or spool.read(end, min(end + 2, body.end)).startswith((b"\n", b"\r\n")):
        text = text.removesuffix(eol)
    return Edit(range=Range(start=start, end=end), content=text)


def _base64_offset(spool: Spool, body: Range, index: int) -> int:
    """Return where a base64 character of a number stands; behind the last one if there are no more."""
    count = 0
    start = end = body.start
    for window in spool.windows(body.start, body.end):
        size = len(window.translate(None, codec.BLANKS))
        if index < count + size:
            for run in _DENSE.finditer(window):
                length = run.end() - run.start()
                if index < count + length:
                    return start + run.start() + index - count
                count += length
        if size:
            end = start + len(window.rstrip(codec.BLANKS))
        start += len(window)
        count += size
    return end
