"""How many octets the blobs of a local store take together, kept in one small file, so that a quota costs no walk.

Room is taken under a lock before anything is stored, so however many processes store at once, the quota holds. What a
crash leaves wrong is put right by the next clean-up, which counts anew; a file that is missing or damaged is counted
anew at once. A message stored in the very moment of that counting may be missed until the next: one for each process.
"""

import os

from pfilter.base.durable import locked
from pfilter.base.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

NAME = "usage"
DIGITS = 20


class NoRoomError(StoreError):
    """The store has no room for a message's files, and nothing of them was stored."""


def take(root: str, octets: int, limit: int) -> None:
    """Take room for so many octets. Raises NoRoomError, OSError."""
    with _locked(root, create=True) as fd:
        used = _read(fd)
        if used < 0:
            used = count(root)
        fits = used + octets <= limit
        _write(fd, used + octets if fits else used)
    if not fits:
        raise NoRoomError(f"store {root}: {used} octets are used of a quota of {limit}, and {octets} more do not fit")


def give_back(root: str, octets: int) -> None:
    """Say that so many octets are gone. Raises OSError."""
    try:
        with _locked(root, create=False) as fd:
            used = _read(fd)
            if used >= 0:
                _write(fd, max(0, used - octets))
    except FileNotFoundError:
        return  # there is no quota


def count_anew(root: str) -> None:
    """Put right what crashes left wrong; what is stored meanwhile counts too. Raises OSError."""
    try:
        with _locked(root, create=False) as fd:
            before = _read(fd)
        found = count(root)
        with _locked(root, create=False) as fd:
            _write(fd, found + max(0, _read(fd) - max(0, before)))
    except FileNotFoundError:
        return


def count(root: str) -> int:
    """Return the octets of all blobs, by a walk. Raises OSError."""
    total = 0
    blobs = os.path.join(root, "blobs")
    try:
        folders = os.listdir(blobs)
    except FileNotFoundError:
        return 0
    for folder in folders:
        try:
            with os.scandir(os.path.join(blobs, folder)) as entries:
                for entry in entries:
                    try:
                        total += entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue  # removed meanwhile
        except NotADirectoryError:
            continue
    return total


def _locked(root: str, *, create: bool) -> "AbstractContextManager[int]":
    return locked(os.path.join(root, NAME), create=create)


def _read(fd: int) -> int:
    text = os.pread(fd, DIGITS + 1, 0)
    return int(text) if len(text) == DIGITS + 1 and text[:DIGITS].isdigit() else -1


def _write(fd: int, octets: int) -> None:
    os.pwrite(fd, b"%0*d\n" % (DIGITS, octets), 0)
