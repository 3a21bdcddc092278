"""Octets into a body that is coded for transfer, at a place in what it decodes to. No policy, no text here.

Nothing else is coded anew: the sender's lines, soft line breaks and blanks stay as they are. Only base64, where three
octets make four, gives up those around the place, and gets blanks behind what is inserted so that the rest fits on.
"""

import re

from pfilter.base.spool import Spool
from pfilter.message import codec
from pfilter.message.model import Part, Range
from pfilter.rewriting import parts
from pfilter.rewriting.splice import Edit

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
        place = part.body.end - behind
        return [Edit(range=Range(start=place, end=place), content=octets)]
    found = _tail(spool, part, behind)
    if found is None:
        return None
    start, data = found
    encoded = spool.read(start, part.body.end)
    place = len(data) - behind
    if part.encoding == b"base64":
        where, content = _into_base64(encoded, data, place, octets, eol)
    else:
        where, content = _into_quoted_printable(encoded, place, octets, eol)
    return [Edit(range=Range(start=start + where.start, end=start + where.end), content=content)]


def _tail(spool: Spool, part: Part, behind: int) -> tuple[int, bytes] | None:
    """Return where in the message, at a line start, a tail begins that holds so many decoded octets, and it decoded."""
    reach = 256
    while True:
        start = max(part.body.start, part.body.end - reach)
        if start > part.body.start:
            newline = spool.find(b"\n", start, part.body.end)
            start = newline + 1 if newline >= 0 else part.body.start
        if part.body.end - start > REACH:
            return None
        try:
            data = b"".join(codec.decode(spool, Range(start=start, end=part.body.end), part.encoding))
        except codec.Undecodable:  # base64 in lines that are no multiple of four characters
            start, data = part.body.start, b""
            if part.body.size <= REACH:
                data = b"".join(codec.decode(spool, part.body, part.encoding))
        if start == part.body.start:
            return (start, data) if part.body.size <= REACH else None
        if data and len(data) >= behind:
            return start, data
        reach *= 4


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
