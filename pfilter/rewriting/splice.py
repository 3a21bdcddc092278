"""Ordered edits, and writing the result: everything between them is copied as it came.

Edits of a message in wire form are made with LF line ends, as all that is read of it; written they have CRLF.

The result is complete in a file before anybody else sees a byte of it: end of file ends a message for sendmail(1), so
a result that streams into it could be cut short by a crash.
"""

from pfilter.base.errors import InternalError
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool, Wire, finished, temporary, write_all
from pfilter.message.model import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pfilter.base.spool import Workspace


class Edit(Frozen):
    """A range of the message replaced by finished octets, or by a finished file of known length."""

    range: Range
    content: "bytes | Spool"

    @property
    def growth(self) -> int:
        """By how many octets the message grows."""
        size = len(self.content) if isinstance(self.content, bytes) else self.content.size
        return size - self.range.size


def in_order(edits: "Iterable[Edit]", size: int) -> tuple[Edit, ...]:
    """Return the edits in the order of their ranges; insertions at one place stay in the order given.

    Raises InternalError where two overlap, or one lies outside of the message's `size` octets.
    """
    ordered = tuple(sorted(edits, key=lambda edit: (edit.range.start, edit.range.end)))
    done = 0
    for edit in ordered:
        if not done <= edit.range.start <= edit.range.end <= size:
            raise InternalError(f"edits overlap or lie outside: {edit.range} after {done} of {size}")
        done = edit.range.end
    return ordered


def result_size(edits: "Iterable[Edit]", size: int) -> int:
    """Return the octets of the result."""
    return size + sum(edit.growth for edit in edits)


def apply(spool: Spool, edits: "Iterable[Edit]", workspace: "Workspace") -> Spool:
    """Return the edited message as a new spool. Raises InternalError, OSError."""
    ordered = in_order(edits, spool.size)
    size = result_size(ordered, spool.size)
    if spool.wire:
        return _apply_in_wire_form(spool, ordered, workspace, size)
    fd = temporary(workspace, size)
    position = 0
    for edit in ordered:
        _copy(spool, position, edit.range.start, fd)
        if isinstance(edit.content, bytes):
            write_all(fd, edit.content)
        else:
            _copy(edit.content, 0, edit.content.size, fd)
        position = edit.range.end
    _copy(spool, position, spool.size, fd)
    return Spool(fd, size)


def _copy(source: Spool, start: int, end: int, fd: int) -> None:
    for chunk in source.windows(start, end):
        write_all(fd, chunk)


def _apply_in_wire_form(spool: Spool, ordered: tuple[Edit, ...], workspace: "Workspace", size: int) -> Spool:
    lines = 0
    is_ascii = True

    def told() -> "Iterator[bytes]":
        nonlocal lines, is_ascii
        for chunk in _chunks_in_wire_form(spool, ordered):
            lines += chunk.count(b"\n")
            is_ascii = is_ascii and chunk.isascii()
            yield chunk

    made = finished(told(), workspace, size)
    # Whether a line begins with a dot where an edit ends, its sender looks for himself.
    wire = Wire(lines=lines, dotted=True, ascii=is_ascii)
    fd, made.fd = made.fd, -1
    return Spool(fd, made.size, wire=wire)


def _chunks_in_wire_form(spool: Spool, ordered: tuple[Edit, ...]) -> "Iterator[bytes]":
    position = 0
    for edit in ordered:
        yield from spool.windows(position, edit.range.start)
        if isinstance(edit.content, bytes):
            yield edit.content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        else:
            for chunk in edit.content.windows(0, edit.content.size):
                yield chunk.replace(b"\n", b"\r\n")
        position = edit.range.end
    yield from spool.windows(position, spool.size)
