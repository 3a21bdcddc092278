"""Header blocks, and their fields as raw ranges: reading. What is in a field, `field_values` reads; `fields` writes.

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
BLANKS = b" \t\r"
FIELD_LIMIT = 10_000  # fields of one header block
FOLDS_FEW = 16  # continuation lines of one header block that are looked at one by one


class Block(Frozen):
    """A header block: its range without the empty line, where the body starts, its fields, why it is unsound."""

    range: Range
    body_start: int
    fields: tuple[Field, ...]
    defect: str
    octets: int  # of the block, with LF line ends
    over_limit: bool = False  # not read to its end


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
    return _finished(data, start, marks, position, body, defect, in_wire_form=in_wire_form)


def _finished(
    data: bytes,
    start: int,
    marks: "list[tuple[int, int, int]]",
    end: int,
    body: int,
    defect: str,
    *,
    in_wire_form: bool,
) -> Block:
    """Return the block that ends at an offset, and whose body begins at another, with its fields as they are marked."""
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
