"""One temporary file that many contents share, and runs of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.scratch_file import ScratchFile
from pfilter.base.spool import WINDOW
from tests.lib.support import MemoryArena, content


@given(st.binary(max_size=40), st.integers(0, 50), st.binary(max_size=9))
def test_a_cut_slice_is_its_start(data: bytes, size: int, later: bytes) -> None:
    """A cut gives a shorter value: neither the slice that was cut nor what is written later changes with it."""
    shared = MemoryArena()
    shared.append([b"before"])
    whole = shared.append([data])
    start = whole.cut(size)
    after = shared.append([later])
    assert content(start) == data[:size]
    assert start.size == min(size, len(data))
    assert (content(whole), whole.size) == (data, len(data))
    assert content(after) == later
    assert start.cut(1).read(0, 9) == data[: min(size, 1)]


def test_a_cut_slice_moves_along(tmp_path: Path) -> None:
    """A slice stays what it is when the file moves out of memory."""
    shared = ScratchFile(lambda: str(tmp_path))
    start = shared.append([b"abc", b"def"]).cut(4)
    shared.append([b"x" * WINDOW])
    assert content(start) == b"abcd"
    shared.close()


def test_what_fails_leaves_nothing() -> None:
    """Chunks that raise midway take no room."""

    def broken() -> "Iterator[bytes]":
        yield b"de"
        raise ValueError("broken")

    shared = MemoryArena()
    shared.append([b"abc"])
    with pytest.raises(ValueError, match="broken"):
        shared.append(broken())
    assert shared.end == 3
    assert content(shared.append([b"f"])) == b"f"
