"""Octets into a body that is coded for transfer, at a place in what it decodes to. No policy, no text here.

Nothing else is coded anew: the sender's lines, soft line breaks and blanks stay as they are. Only base64, where three
octets make four, gives up those around the place, and gets blanks behind what is inserted so that the rest fits on.

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
    from collections.abc import Iterable

REACH = 4 << 20  # octets of encoded tail that are looked through for the place, at most
IDENTICAL = (b"7bit", b"8bit", b"binary")

# What quoted-printable is made of (RFC 2045, 6.7); blanks at the end of a line and soft line breaks stand for nothing.
_QP = re.compile(
    rb"(?P<octet>=[0-9A-Fa-f]{2})|(?P<soft>=[ \t]*(?:\r?\n|\Z))|(?P<trailing>[ \t]+(?=\r?\n|\Z))|[^= \t]+|[ \t]+"
)
_DENSE = re.compile(rb"[^ \t\r\n]+")


def insert(spool: Spool, part: Part, behind: int, octets: bytes, eol: bytes) -> list[Edit] | None:
    """Return the edits that put octets before the last `behind` decoded octets of a body, which is known to decode.

    None where the lines of its tail are too long to find the place. Raises OSError.
    """
    if not part.body.size:
        encoded = b"".join(codec.encode(part.encoding, [octets], eol)).removesuffix(eol)
        return [Edit(range=part.body, content=parts.framed(part, encoded, eol))]
    if part.encoding in IDENTICAL:
        tail = _last(spool, part.body, behind)
        place = part.body.end - (_size_there(spool, tail) if spool.wire else behind)
        return [Edit(range=Range(start=place, end=place), content=octets)]
    found = _tail(spool, part, behind)
    if found is None:
        return None
    encoded, data = found
    place = len(data) - behind
    if part.encoding == b"base64":
        where, content = _into_base64(encoded, data, place, octets, eol)
    else:
        where, content = _into_quoted_printable(encoded, place, octets, eol)
    first, last = (part.body.end - _size_there(spool, encoded[at:]) for at in (where.start, where.end))
    return [Edit(range=Range(start=first, end=last), content=content)]


def _last(spool: Spool, body: Range, size: int) -> bytes:
    """Return the last so many octets of a body, or all where it has no more, with LF line ends in wire form."""
    if not spool.wire:
        return spool.read(max(body.start, body.end - size), body.end)
    # With the LF of a line end whose CR is out of sight, there would be more than are asked for.
    octets = b"".join(spool.lf_windows(max(body.start, body.end - 2 * size), body.end))
    return octets[max(0, len(octets) - size) :]


def _size_there(spool: Spool, octets: bytes) -> int:
    """Return how many octets those with LF line ends take where they stand."""
    return len(octets) + octets.count(b"\n") if spool.wire else len(octets)


def _tail(spool: Spool, part: Part, behind: int) -> tuple[bytes, bytes] | None:
    """Return a tail of the body, from a line start on, that holds so many decoded octets, as it is and decoded."""
    reach = 256
    while True:
        encoded = _last(spool, part.body, reach)
        whole = _size_there(spool, encoded) == part.body.size
        if not whole:
            newline = encoded.find(b"\n")
            encoded, whole = encoded[newline + 1 :], newline < 0
        data = b""
        if not whole:
            try:
                data = b"".join(_decoded(encoded, part.encoding))
            except codec.Undecodable:  # base64 in lines that are no multiple of four characters
                whole = True
        if whole:
            if spool.lf_size_of(part.body.start, part.body.end) > REACH:
                return None
            encoded = _last(spool, part.body, REACH)
            return encoded, b"".join(_decoded(encoded, part.encoding))
        if len(encoded) > REACH:
            return None
        if data and len(data) >= behind:
            return encoded, data
        reach *= 4


def _decoded(encoded: bytes, encoding: bytes) -> "Iterable[bytes]":
    if encoding == b"base64":
        return codec.decode_base64([encoded])
    return codec.decode_quoted_printable([encoded])


def _into_quoted_printable(encoded: bytes, place: int, octets: bytes, eol: bytes) -> tuple[Range, bytes]:
    """Return what goes where in encoded octets, that begin with a line."""
    at = _quoted_printable_offset(encoded, place)
    text = b"".join(codec.encode_quoted_printable([octets], eol))
    line = encoded[encoded.rfind(b"\n", 0, at) + 1 : at]
    # A blank that is content must not come to stand at the end of a line; and no line may get too long.
    if line and (line.endswith((b" ", b"\t")) or not octets.startswith((b"\n", b"\r\n"))):
        text = b"=" + eol + text
    if encoded[at:] and not encoded.startswith((b"\n", b"\r\n"), at) and not octets.endswith(b"\n"):
        text = codec.soft_broken(text, eol)
    return Range(start=at, end=at), text


def _quoted_printable_offset(encoded: bytes, place: int) -> int:
    """Return where in the encoded octets the decoded one of a number begins.

    Behind soft line breaks, as that is the start of a line; before blanks at the end of a line, so that they stay so.
    """
    decoded = at = 0
    for token in _QP.finditer(encoded):
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


def _into_base64(encoded: bytes, data: bytes, place: int, octets: bytes, eol: bytes) -> tuple[Range, bytes]:
    """Return what goes where; data is what the encoded octets decode to."""
    first = place - place % 3
    last = min(first + 3, len(data)) if place % 3 else place
    start = _base64_offset(encoded, first // 3 * 4)
    end = _base64_offset(encoded, first // 3 * 4 + 3) + 1 if last > first else start
    added = data[first:place] + octets
    if last < len(data):
        added += b" " * (-(len(added) + last - place) % 3)
    text = b"".join(codec.encode_base64([added + data[place:last]], eol))
    if start and encoded[start - 1 : start] != b"\n":
        text = eol + text
    if not encoded[end:] or encoded.startswith((b"\n", b"\r\n"), end):
        text = text.removesuffix(eol)
    return Range(start=start, end=end), text


def _base64_offset(encoded: bytes, index: int) -> int:
    """Return where a base64 character of a number stands; behind the last one if there are no more."""
    count = end = 0
    for run in _DENSE.finditer(encoded):
        size = run.end() - run.start()
        if index < count + size:
            return run.start() + index - count
        count += size
        end = run.end()
    return end
