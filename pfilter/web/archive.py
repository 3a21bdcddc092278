"""All files of a download as one ZIP, which is never there as a whole (APPNOTE.TXT 6.3.10; stored, Zip64 at need).

Names and sizes say how long it is and what stands where, so its length is known before, and any range of it can be
read: what broke off can go on. Checksums stand in front of each file and again at the end; each is reckoned when it is
first needed, by reading the file once more.
"""

import os
import stat
import struct
from bisect import bisect_right
from functools import partial
from hashlib import sha256
from zlib import crc32

from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen
from pfilter.store.layout import ARCHIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT = 0xFFFFFFFF  # from here on, Zip64
COUNT_LIMIT = 0xFFFF
WINDOW = 1 << 20  # octets
UTF8 = 0x0800  # the names are in UTF-8 (4.4.4, bit 11)
PLAIN, ZIP64 = 10, 45  # version needed to extract
UNIX = 3 << 8
MODE = (stat.S_IFREG | 0o644) << 16
KNOWN_SUMS = 4096
_sums: dict[tuple[int, int, int, int], int] = {}  # by device, inode, size and time of change


class Entry(Frozen):
    """One file: its name, octets, and time of change in seconds since the epoch."""

    name: str
    size: int
    modified: float


class Archive:
    """A ZIP of files in a directory, of which `fd` is a descriptor, used up by it; looks like an `Item`.

    Raises OSError, FileNotFoundError for a name that is no regular file.
    """

    name = ARCHIVE

    def __init__(self, fd: int, names: "Sequence[str]") -> None:
        self._folder = fd
        self._open: tuple[int, int] = (-1, -1)  # number of a file, its descriptor
        self._entries: list[Entry] = []
        state = sha256()
        for name in names:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(2, "no regular file", name)
            self._entries.append(Entry(name=name, size=found.st_size, modified=found.st_mtime))
            state.update(f"{len(name)} {name} {found.st_size} {found.st_mtime_ns}\n".encode("utf-8", "replace"))
        self.etag = f'"{state.hexdigest()[:32]}"'
        self._starts: list[int] = []  # of the pieces
        self._lengths: list[int] = []
        self._makers: list[Callable[[], bytes] | int] = []  # what makes a piece, or the number of its file
        self._lay_out()

    def _lay_out(self) -> None:
        self.size = 0
        self._offsets: list[int] = []
        for number, entry in enumerate(self._entries):
            self._offsets.append(self.size)
            self._add(len(_local(entry, 0)), partial(self._local, number))
            self._add(entry.size, number)
        self._add(len(self._end(lambda _: 0)), lambda: self._end(self._sum))

    def _local(self, number: int) -> bytes:
        return _local(self._entries[number], self._sum(number))

    def _add(self, length: int, maker: "Callable[[], bytes] | int") -> None:
        if length:
            self._starts.append(self.size)
            self._lengths.append(length)
            self._makers.append(maker)
            self.size += length

    def _end(self, sums: "Callable[[int], int]") -> bytes:
        """Return the central directory and all after it."""
        start = self._offsets[-1] + len(_local(self._entries[-1], 0)) + self._entries[-1].size if self._entries else 0
        listed = b"".join(
            _central(entry, sums(number), self._offsets[number]) for number, entry in enumerate(self._entries)
        )
        count, size = len(self._entries), len(listed)
        if start >= LIMIT or count >= COUNT_LIMIT or size >= LIMIT:
            end = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, UNIX | ZIP64, ZIP64, 0, 0, count, count, size, start)
            listed += end + struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
        count, size, start = min(count, COUNT_LIMIT), min(size, LIMIT), min(start, LIMIT)
        return listed + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, size, start, 0)

    def read(self, offset: int, limit: int) -> bytes:
        """Return octets, fewer than asked for where a piece ends. Raises OSError, StoreError."""
        if offset >= self.size:
            return b""
        piece = bisect_right(self._starts, offset) - 1
        inside = offset - self._starts[piece]
        maker = self._makers[piece]
        if isinstance(maker, int):
            return os.pread(self._file(maker), min(limit, self._lengths[piece] - inside), inside)
        return maker()[inside : inside + limit]

    def _file(self, number: int) -> int:
        if self._open[0] != number:
            self._leave()
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._open = (number, os.open(self._entries[number].name, flags, dir_fd=self._folder))
        return self._open[1]

    def _sum(self, number: int) -> int:
        fd = self._file(number)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != self._entries[number].size:
            raise StoreError("a file has changed while it was sent")
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in _sums:
            total = at = 0
            while data := os.pread(fd, WINDOW, at):
                total = crc32(data, total)
                at += len(data)
            if len(_sums) >= KNOWN_SUMS:
                _sums.clear()
            _sums[key] = total
        return _sums[key]

    def close(self) -> None:
        """Give the descriptors back."""
        self._leave()
        os.close(self._folder)

    def _leave(self) -> None:
        if self._open[1] >= 0:
            os.close(self._open[1])
        self._open = (-1, -1)


def _local(entry: Entry, total: int) -> bytes:
    """Return what stands in front of a file (4.3.7)."""
    name = entry.name.encode("utf-8", "replace")
    large = entry.size >= LIMIT
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if large else b""
    size = min(entry.size, LIMIT)
    fields = (ZIP64 if large else PLAIN, UTF8, 0, *_when(entry), total, size, size, len(name), len(extra))
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + name + extra


def _central(entry: Entry, total: int, offset: int) -> bytes:
    """Return a file's line in the directory at the end (4.3.12)."""
    name = entry.name.encode("utf-8", "replace")
    sizes = struct.pack("<2Q", entry.size, entry.size) if entry.size >= LIMIT else b""
    far = struct.pack("<Q", offset) if offset >= LIMIT else b""
    extra = struct.pack("<2H", 1, len(sizes + far)) + sizes + far if sizes or far else b""
    size, version = min(entry.size, LIMIT), ZIP64 if extra else PLAIN
    fields = (UNIX | version, version, UTF8, 0, *_when(entry), total, size, size, len(name), len(extra))
    return struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *fields, 0, 0, 0, MODE, min(offset, LIMIT)) + name + extra


def _when(entry: Entry) -> tuple[int, int]:
    """Return time and date as ZIP has them (4.4.6), in UTC, which it does not say."""
    from time import gmtime

    when = gmtime(max(entry.modified, 315532800))  # 1980
    date = (min(when.tm_year, 2107) - 1980) << 9 | when.tm_mon << 5 | when.tm_mday
    return when.tm_hour << 11 | when.tm_min << 5 | when.tm_sec // 2, date
