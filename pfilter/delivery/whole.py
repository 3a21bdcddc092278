"""Whether a message came in whole: its mark, its size and our parent say so.

That stdin has ended is never believed by itself: it ends, too, when pipe(8) is killed.
"""

import os

from pfilter.base.errors import StoppedError, TruncatedError
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool

NO_PARENTS = (0, 1)  # init, or a process outside of our namespace: never pipe(8), not even where master(8) is init
PIPE = b"pipe"  # the name of pipe(8)'s process
# How a queue file holds a line (Postfix, rec_put()): its type and its length, in 7 bits an octet, in place of the LF;
# what is longer than line_length_limit in pieces.
PIECE = 2048
TWO_OCTETS = 128
PF_EXITING = 0x4  # Linux, sched.h: set before a process closes its files, while it still is our parent


class Told(Frozen):
    """How the end of the message can be told, by master.cf's argv."""

    marked: bool = False  # pipe(8) appends a blank line: its flag B
    size: int = 0  # octets that the content takes in the queue file; 0: not told


def whole(spool: Spool, told: Told, parent: int) -> Spool:
    """Return the message without the mark of its end, the same file. Raises TruncatedError where its end is missing.

    That stdin has ended proves nothing: it does so, too, when pipe(8) is killed.
    """
    if told.marked:
        tail = spool.read(max(0, spool.size - 4), spool.size)
        if tail.endswith(b"\n\n"):
            spool = spool.cut(spool.size - 1)
        elif tail == b"\r\n\r\n" and _ends_lines_by_crlf(spool):
            spool = spool.cut(spool.size - 2)
        else:
            raise TruncatedError(
                "the message came in without its end (--end=blank-line in master.cf's argv needs flags=B); "
                "nothing was sent"
            )
    if told.size and is_short(spool, told.size) and not _is_pipe(parent):
        raise TruncatedError(
            f"the message came in shorter than Postfix has it: {spool.size} octets, which would take less than "
            f"{told.size} in its queue file; nothing was sent"
        )
    return spool


def is_short(spool: Spool, size: int) -> bool:
    """Whether a message takes less than so many octets in a queue file.

    Measured with Postfix 3.7: ${size} is this figure exactly, from SMTP (DATA, BDAT, with and without header checks
    that add, replace and drop fields) and from sendmail(1), for lines of 0 to 100,000 octets, with two exceptions: 2
    more for local mail that lacks its last line end, and anything (+244, -27 seen) once a milter has edited the header.
    """
    lines = sum(window.count(b"\n") for window in spool.windows(0, spool.size))
    missing = size - spool.size - (0 if _ends_lines_by_crlf(spool) else lines)
    return missing > 0 and not _has_long_lines(spool, missing)


def _has_long_lines(spool: Spool, enough: int) -> bool:
    """Whether the lengths of lines take so many octets more than one each."""
    more = start = 0
    while start < spool.size and more < enough:
        near = spool.read(start, start + TWO_OCTETS).rfind(b"\n")
        if near >= 0:  # this line is short, and so are those that follow up to there
            start += near + 1
            continue
        end = spool.find(b"\n", start, spool.size)
        end = end if end >= 0 else spool.size
        more += _more(end - start)
        start = end + 1
    return more >= enough


def _more(length: int) -> int:
    pieces, rest = divmod(length, PIECE)
    return 3 * pieces + (rest >= TWO_OCTETS)


def _ends_lines_by_crlf(spool: Spool) -> bool:
    """Whether pipe(8) is told to: no CR comes from elsewhere in the first line, which is Postfix's own."""
    start = spool.read(0, PIECE)
    return start[: start.find(b"\n") + 1].endswith(b"\r\n")


def refuse_orphan(parent: int) -> None:
    """Raise StoppedError without pipe(8): the end of stdin may not be the message's, and Postfix tries again."""
    if os.getppid() != parent or parent in NO_PARENTS or _is_exiting(parent):
        raise StoppedError(
            "the process that handed the message over is gone, or was process 1, which pipe(8) never is; "
            "nothing was sent"
        )


def _is_pipe(pid: int) -> bool:
    """Whether our parent is pipe(8), alive after stdin has ended: then it was pipe(8) that ended it."""
    name, flags = _stat(pid)
    return name == PIPE and not flags & PF_EXITING and os.getppid() == pid


def _is_exiting(pid: int) -> bool:
    return bool(_stat(pid)[1] & PF_EXITING)


def _stat(pid: int) -> tuple[bytes, int]:
    """Return name and flags of a process, proc_pid_stat(5); (b"", 0) where they can't be read.

    A killed process closes its files before its children get another parent. In between it is our parent yet,
    and lives by its name; where it has to wait for a processor, that takes milliseconds.
    """
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b"", 0
    try:
        number_and_name, _, fields = os.read(fd, 1024).rpartition(b") ")
        return number_and_name.partition(b" (")[2], int(fields.split(b" ", 7)[6])
    except (OSError, ValueError, IndexError):
        return b"", 0
    finally:
        os.close(fd)
