"""Header fields as raw ranges, and their parameters: reading. What is written anew comes from `fields`.

A field keeps its octets as they came. The only changes that exist are: replace a whole field by a new one, delete it,
insert one. What ends a header block, besides an empty line: the first line that is neither a field nor a continuation
(as Postfix, is_header.c, and the stdlib have it), and that is a defect, since others read on.
"""

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message.model import Field, Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME_OCTETS = bytes(range(33, 58)) + bytes(range(59, 127))  # RFC 5322, 3.6.8: ftext
TOKEN_SPECIALS = b'()<>@,;:\\"/[]?= \t'  # RFC 2045, 5.1
BLANKS = b" \t\r"
TOKEN_OCTETS = bytes(octet for octet in range(33, 127) if octet not in TOKEN_SPECIALS)
FIELD_LIMIT = 10_000  # fields of one header block
FOLDS_FEW = 16  # continuation lines of one header block that are looked at one by one
PARAMETERS_LIMIT = 1000  # of one field


class Block(Frozen):
    """A header block: its range without the empty line, where the body starts, its fields, why it is unsound."""

    range: Range
    body_start: int
    fields: tuple[Field, ...]
    defect: str
    octets: int  # of the block, with LF line ends
    over_limit: bool = False  # not read to its end


class Parameters(Frozen):
    """A value with parameters (RFC 2045, 5.1): `token` in lower case, pairs as the sender wrote them."""

    token: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    defect: str
    unusual: str = ""  # sound by RFC 2045, but not understood by all


def read_block(spool: Spool, start: int, end: int, limit: int, is_delimiter: "Callable[[bytes], bool]") -> Block:
    """Read the header block that starts at `start`; a delimiter line ends it too. Raises OSError.

    A block of more than `limit` octets, or FIELD_LIMIT fields, is a defect, and is not read further. In wire form it is
    read, and counted, with LF line ends.
    """
    reach = 8192
    while True:
        reach = min(reach, limit + 1)
        data, whole = _start(spool, start, end, reach)
        in_wire_form = bool(spool.wire)
        block = _parse(data, start, whole, is_delimiter, in_wire_form=in_wire_form)
        if block:
            return block
        if reach > limit:
            (reached,) = _places(data, start, [len(data)], in_wire_form=in_wire_form)
            found = Range(start=start, end=reached)
            return _over_limit(found, len(data), f"header block over {limit} octets")
        reach *= 4


def _start(spool: Spool, start: int, end: int, reach: int) -> tuple[bytes, bool]:
    """Return so many octets from start on, with LF line ends in wire form, and whether they are all up to the end."""
    if not spool.wire:
        data = spool.read(start, min(end, start + reach))
        return data, start + len(data) >= end
    data = spool.read(start, min(end, start + 2 * reach))
    whole = start + len(data) >= end
    blank = data.find(b"\r\n\r\n")
    if blank >= 0:  # what stands behind the end of a header is not looked at
        whole = whole and blank + 4 == len(data)
        data = data[: blank + 4]
    data = data.replace(b"\r", b"")
    return data[:reach], whole and len(data) <= reach


def _places(data: bytes, start: int, offsets: list[int], *, in_wire_form: bool) -> list[int]:
    """Return where in the message the octets of a header block stand, whose offsets are given in order."""
    if not in_wire_form:
        return [start + offset for offset in offsets]
    found = []
    seen = 0
    for offset in offsets:
        start += data.count(b"\n", seen, offset)
        seen = offset
        found.append(start + offset)
    return found


def _parse(  # noqa: PLR0912, PLR0915  # one pass over the lines; cut in pieces it would pass six values around
    data: bytes, start: int, whole: bool, is_delimiter: "Callable[[bytes], bool]", *, in_wire_form: bool
) -> Block | None:
    """Return the block, or None where more data is needed."""
    marks: list[tuple[int, int, int]] = []  # start of the field, end of its name, colon
    defect = ""
    continued = 0  # lines that go on with a field
    unfolded = b""  # the data with blanks in place of the line ends within fields, when it is needed
    position = 0
    size = len(data)
    body = -1
    while position < size:
        newline = data.find(b"\n", position)
        if newline < 0:
            if not whole:
                return None
            newline = size
            defect = defect or "header without a line end"
        line_end = min(newline + 1, size)
        first = data[position]
        if first in b"\r\n" and not data[position:newline].strip(b"\r"):
            if newline - position > 1:
                defect = defect or "bare CR in the header"
            body = line_end
            break
        if first in b" \t":
            if not marks:
                defect = defect or "header starts with a continuation line"
                body = position
                break
            if continued < FOLDS_FEW:
                continued += 1
                blank = not data[position:newline].strip(BLANKS)
            else:  # there may be millions: from here on all those of a field are passed at once
                unfolded = unfolded or data.replace(b"\n ", b"  ").replace(b"\n\t", b"  ")
                newline = unfolded.find(b"\n", position)
                if newline < 0 and not whole:
                    return None
                line_end = newline + 1 if newline >= 0 else size
                blank = b"\n\n" in data[position - 1 : line_end].translate(None, BLANKS)
            if blank:
                # RFC 5322 3.2.2 (obs-FWS) calls it a continuation; others take it for the end of the header.
                defect = defect or "blank continuation line in a header"
            if newline < 0:
                defect = defect or "header without a line end"
        else:
            if first == 45 and is_delimiter(data[position:newline]):
                body = position
                break
            colon = data.find(b":", position, newline)
            name_end = colon
            if colon > position and data[position:colon].translate(None, NAME_OCTETS):
                name_end = position + len(data[position:colon].rstrip(b" \t"))
                # QUIRK: RFC 5322 4.5 (obsolete syntax) allows blanks here; the stdlib ends the header at this line.
                defect = defect or "blank before the colon of a field"
                if data[position:name_end].translate(None, NAME_OCTETS):
                    colon = -1
            if colon <= position:
                defect = "header ended by a line that is not a field"
                body = position
                break
            marks.append((position, name_end, colon))
            if len(marks) > FIELD_LIMIT:
                (reached,) = _places(data, start, [line_end], in_wire_form=in_wire_form)
                found = Range(start=start, end=reached)
                return _over_limit(found, line_end, f"more than {FIELD_LIMIT} header fields")
        position = line_end
    else:
        if not whole:
            return None
        body = size
    end = position
    if data.find(b"\0", 0, end) >= 0:
        defect = defect or "NUL in the header"
    if b"\r" in data[:end] and b"\r" in data[:end].replace(b"\r\n", b""):
        defect = defect or "bare CR in the header"
    offsets = [*(mark[0] for mark in marks), end, body]
    *begins, block_end, body_start = _places(data, start, offsets, in_wire_form=in_wire_form)
    ends = [*begins[1:], block_end]
    fields = tuple(
        Field(
            name=data[begin:name_end].lower(),
            range=Range(start=begins[number], end=ends[number]),
            value=data[colon + 1 : offsets[number + 1]],
        )
        for number, (begin, name_end, colon) in enumerate(marks)
    )
    found = Range(start=start, end=block_end)
    return Block(range=found, body_start=body_start, fields=fields, defect=defect, octets=end)


def _over_limit(read: Range, octets: int, defect: str) -> Block:
    return Block(range=read, body_start=read.end, fields=(), defect=defect, octets=octets, over_limit=True)


def unfold(value: bytes) -> bytes:
    """Return a field's value without line ends and outer blanks (RFC 5322, 2.2.3)."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(BLANKS)


def parameters(value: bytes) -> Parameters:
    """Parse `token; name=value; ...` as RFC 2045, 5.1 has it, tolerant of what mailers write in fact.

    Never raises. What parsers read in different ways is said in `defect`.
    """
    value = unfold(value)
    defect = unusual = ""
    pieces, sound = _split(value)
    if not sound:
        defect = "quotes or comments that don't end in a Content-* field"
    if b"\x0b" in value or b"\x0c" in value:
        defect = defect or "vertical tab or form feed in a Content-* field"  # white space to some
    if len(pieces) > PARAMETERS_LIMIT:
        defect = defect or f"more than {PARAMETERS_LIMIT} parameters"
        del pieces[PARAMETERS_LIMIT:]
    token = _without_comments(pieces[0]).strip().lower()
    if b"(" in pieces[0]:
        unusual = "comment"
    pairs: list[tuple[bytes, bytes]] = []
    seen: dict[bytes, bytes] = {}
    for piece in pieces[1:]:
        name_as_is, equals, raw = piece.partition(b"=")
        name = _without_comments(name_as_is).strip().lower()
        if not equals or not name:
            if name:
                defect = defect or "parameter without a value"
            continue
        if name.translate(None, TOKEN_OCTETS):
            defect = defect or "malformed parameter"
        content, clean = _unquote(raw.strip())
        if not clean:
            defect = defect or "text after a quoted parameter"
        unusual = unusual or _unusual(name_as_is, raw.strip(), content)
        if seen.setdefault(name, content) != content:
            defect = defect or f"conflicting parameters {name.decode('ascii', 'replace')}"
        pairs.append((name, content))
    return Parameters(token=token, pairs=tuple(pairs), defect=defect, unusual=unusual)


def _unusual(name: bytes, raw: bytes, content: bytes) -> str:
    """Return in what way a parameter stands that some programs don't understand, or ""."""
    if raw.startswith(b'"'):
        if b"\\" in raw:
            return "backslash"
        return "comment" if b"(" in name or len(raw) > len(content) + 2 else ""
    if b"(" in name or b"(" in raw:
        return "comment"
    if raw.translate(None, b' \t"') != raw:
        return "blank or quote inside a parameter"
    is_cut = name.strip().lower() == b"boundary" and raw.translate(None, TOKEN_OCTETS)  # by Postfix and MIME-tools
    return "special character outside of quotes" if is_cut else ""


def _split(value: bytes) -> tuple[list[bytes], bool]:
    """Split at semicolons outside of quotes and comments."""
    if b'"' not in value and b"(" not in value:
        return value.split(b";"), True
    pieces = []
    start = position = 0
    quoted = False
    depth = 0
    size = len(value)
    while position < size:
        octet = value[position]
        if octet == 0x5C and (quoted or depth):  # backslash
            position += 1
        elif octet == 0x22 and not depth:
            quoted = not quoted
        elif not quoted and octet == 0x28:
            depth += 1
        elif not quoted and octet == 0x29 and depth:
            depth -= 1
        elif octet == 0x3B and not quoted and not depth:
            pieces.append(value[start:position])
            start = position + 1
        position += 1
    pieces.append(value[start:])
    return pieces, not quoted and not depth


def _without_comments(value: bytes) -> bytes:
    """Drop RFC 822 comments."""
    if b"(" not in value:
        return value
    kept = bytearray()
    depth = 0
    skip = False
    for octet in value:
        if skip:
            skip = False
        elif depth and octet == 0x5C:
            skip = True
        elif octet == 0x28:
            depth += 1
        elif octet == 0x29 and depth:
            depth -= 1
        elif not depth:
            kept.append(octet)
    return bytes(kept)


def _unquote(raw: bytes) -> tuple[bytes, bool]:
    """Return a parameter's value without quotes, and whether nothing but a comment stands behind the quotes."""
    if not raw.startswith(b'"'):
        bare = _without_comments(raw).strip()
        return bare, True
    end = 1
    content = bytearray()
    while end < len(raw) and raw[end] != 0x22:
        if raw[end] == 0x5C and end + 1 < len(raw):
            end += 1
        content.append(raw[end])
        end += 1
    return bytes(content), not _without_comments(raw[end + 1 :]).strip()


def token(value: bytes) -> bytes:
    """Return the single token of a field such as Content-Transfer-Encoding, in lower case."""
    return _without_comments(unfold(value)).strip().lower()
