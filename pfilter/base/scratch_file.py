"""One temporary file that many contents share.

A message of a thousand attachments takes two descriptors and not a thousand, and memory for a megabyte of them at most.
"""

import os

from pfilter.base.spool import WINDOW, Spool, temporary, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pfilter.base.spool import Workspace


class ScratchFile:
    """One growing temporary file; what is finished in it is a spool."""

    def __init__(self, workspace: "Workspace") -> None:
        self._workspace = workspace
        self._in_memory = True
        self.fd = -1
        self.end = 0

    def write(self, data: bytes) -> None:
        """Append octets. Raises OSError."""
        if self.fd < 0:
            self.fd = temporary(self._workspace)
        if self._in_memory and self.end + len(data) > WINDOW:
            self._move_to_file()
        write_all(self.fd, data)
        self.end += len(data)

    def _move_to_file(self) -> None:
        fd = temporary(self._workspace, WINDOW + 1)
        write_all(fd, os.pread(self.fd, self.end, 0))
        os.close(self.fd)
        self.fd, self._in_memory = fd, False

    def patch(self, offset: int, data: bytes) -> None:
        """Write over octets that are there already. Raises OSError."""
        os.pwrite(self.fd, data, offset)

    def roll_back(self, offset: int) -> None:
        """Forget what was written from an offset on. Raises OSError."""
        if self.fd >= 0:
            os.ftruncate(self.fd, offset)
            os.lseek(self.fd, offset, os.SEEK_SET)
            self.end = offset

    def since(self, offset: int) -> Spool:
        """Return what was written from an offset on."""
        return Slice(self, offset, self.end - offset)

    def append(self, chunks: "Iterable[bytes]") -> Spool:
        """Write chunks and return them as a spool. Raises OSError, and what the chunks raise; then nothing stays."""
        start = self.end
        try:
            for chunk in chunks:
                self.write(chunk)
        except BaseException:
            self.roll_back(start)
            raise
        return self.since(start)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd, self.end, self._in_memory = -1, 0, True


class Slice(Spool):
    """A run of octets of a scratch file, which may move to another file meanwhile."""

    is_file = False

    def __init__(self, scratch_file: ScratchFile, start: int, size: int) -> None:
        super().__init__(-1, size)
        self._scratch_file = scratch_file
        self._start = start

    def _pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._scratch_file.fd, size, self._start + offset)

    def cut(self, size: int) -> Spool:
        """Return the first so many octets; this one stays as it is."""
        return Slice(self._scratch_file, self._start, min(size, self.size))
