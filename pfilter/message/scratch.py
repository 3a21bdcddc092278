"""The temporary files that measuring makes and later stages use, closed together.

Contents that are likely to be stored get a nameless file each, which can be linked into the store without a copy. All
others share one file, the arena, so that a message of a thousand attachments takes two descriptors and not a thousand,
and memory for a megabyte of them at most.
"""

import os

from pfilter.base.spool import WINDOW, Spool, temporary, write_all
from pfilter.message import codec
from pfilter.message.model import Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable
    from typing import Self

    from pfilter.base.spool import Workspace

OWN_FILES = 32  # contents with a file of their own, at most


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
        return _Slice(self, offset, self.end - offset)

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


class _Slice(Spool):
    """A part of an arena, which may move to another file meanwhile."""

    is_file = False

    def __init__(self, scratch_file: ScratchFile, start: int, size: int) -> None:
        super().__init__(-1, size)
        self._arena = scratch_file
        self._start = start

    def _pread(self, size: int, offset: int) -> bytes:
        return os.pread(self._arena.fd, size, self._start + offset)


class Scratch:
    """Decoded attachments, their digests and zips, by part number."""

    def __init__(self, workspace: "Workspace") -> None:
        self.workspace = workspace
        self.scratch_file = ScratchFile(workspace)
        self.decoded: dict[int, Spool] = {}
        self.zips: dict[int, Spool] = {}
        self._digests: dict[int, str] = {}
        self._own_files = 0

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decode(self, spool: Spool, part: Part, *, digest: bool) -> Spool:
        """Decode a part, hashing on the way where it is likely to be stored. Raises Undecodable, OSError."""
        chunks: Iterable[bytes] = codec.decode(spool, part.body, part.encoding)
        state = _hasher() if digest else None
        if state:
            chunks = _hashed(chunks, state)
        if part.body.size > WINDOW and self._own_files < OWN_FILES:
            decoded = self._in_own_file(part, chunks)
        else:
            decoded = self.decoded[part.number] = self.scratch_file.append(chunks)
        if state:
            self._digests[part.number] = state.hexdigest()
        return decoded

    def _in_own_file(self, part: Part, chunks: "Iterable[bytes]") -> Spool:
        decoded = self.decoded[part.number] = Spool(temporary(self.workspace, part.body.size), 0)
        self._own_files += 1
        for chunk in chunks:
            write_all(decoded.fd, chunk)
            decoded.size += len(chunk)
        return decoded

    def digest(self, part: int) -> str:
        """Return the SHA-256 of a decoded part in hexadecimal digits. Raises OSError."""
        if part not in self._digests:
            state = _hasher()
            decoded = self.decoded[part]
            for chunk in decoded.windows(0, decoded.size):
                state.update(chunk)
            self._digests[part] = state.hexdigest()
        return self._digests[part]

    def close(self) -> None:
        """Give all descriptors back."""
        for spool in self.decoded.values():
            spool.close()
        self.decoded.clear()
        self.scratch_file.close()


def _hashed(chunks: "Iterable[bytes]", state: "hashlib._Hash") -> "Iterable[bytes]":
    for chunk in chunks:
        state.update(chunk)
        yield chunk


def _hasher() -> "hashlib._Hash":
    from hashlib import sha256

    return sha256()
