"""The temporary files that measuring makes and later stages use, closed together.

Contents that are likely to be stored get a nameless file each, which can be linked into the store without a copy. All
others share one file.
"""

from pfilter.base.scratch_file import ScratchFile
from pfilter.base.spool import WINDOW, Spool, finished
from pfilter.message import codec
from pfilter.message.model import Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable
    from typing import Self

    from pfilter.base.spool import Workspace

OWN_FILES = 32  # contents with a file of their own, at most


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
        decoded = self.decoded[part.number] = finished(chunks, self.workspace, part.body.size)
        self._own_files += 1
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
