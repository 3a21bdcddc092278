"""Ordered edits, and writing the result: everything between them is copied as it came.

The result is complete in a file before anybody else sees a byte of it: end of file ends a message for sendmail(1), so
a result that streams into it could be cut short by a crash.
"""

from pfilter.base.errors import InternalError
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool, temporary, write_all
from pfilter.message.model import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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
