"""Temporary files that many contents share."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base import spool
from pfilter.base.scratch_file import ScratchFile
from pfilter.message.codec import Undecodable
from pfilter.message.scratch import OWN_FILES, Scratch
from tests.lib import support
from tests.lib.support import BytesSpool, MemoryArena, content, noise, scanned


@given(st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=6))
def test_what_is_appended_is_read_back(contents: list[list[bytes]]) -> None:
    """Each content of an arena is a spool of its own, whatever comes after it."""
    arena = MemoryArena()
    spools = [arena.append(chunks) for chunks in contents]
    assert [content(found) for found in spools] == [b"".join(chunks) for chunks in contents]
    assert [found.size for found in spools] == [sum(map(len, chunks)) for chunks in contents]


def test_a_growing_arena_moves_to_disk(tmp_path: Path) -> None:
    """Beyond a window an arena is a nameless file in the workspace, and what was in it before is still there."""
    arena = ScratchFile(lambda: str(tmp_path))
    small = arena.append([b"small"])
    assert content(small) == b"small"
    large = arena.append([noise(spool.WINDOW), noise(1000)])
    assert os.fstat(arena.fd).st_dev == tmp_path.stat().st_dev
    assert content(small) == b"small"
    assert large.read(spool.WINDOW, spool.WINDOW + 1000) == noise(1000)
    assert list(tmp_path.iterdir()) == []
    arena.close()


def test_a_content_that_fails_leaves_nothing() -> None:
    """Where decoding stops half-way nothing stays of it, and what comes next is whole."""
    arena = MemoryArena()

    def broken() -> "Iterator[bytes]":
        yield b"half"
        raise Undecodable("no")

    before = arena.append([b"before"])
    with pytest.raises(Undecodable):
        arena.append(broken())
    assert content(arena.append([b"after"])) == b"after"
    assert content(before) == b"before"
    assert arena.end == len(b"beforeafter")


def test_a_content_may_be_made_of_another() -> None:
    """A spool of an arena can be read while something is appended to the same arena."""
    arena = MemoryArena()
    first = arena.append([noise(5000)])
    second = arena.append(chunk[::-1] for chunk in first.windows(0, first.size))
    assert content(second) == noise(5000)[::-1]


def test_a_thousand_attachments_take_few_descriptors() -> None:
    """However many attachments a message has, few descriptors are open at a time."""
    parts = [support.attachment(noise(200, n)) for n in range(1000)]
    data = support.message(support.multipart("mixed", support.part(b"Hi\n"), *parts))
    source, message = BytesSpool(data), scanned(data)
    before = len(os.listdir("/proc/self/fd"))
    materials = Scratch(tempfile.gettempdir)
    for part in message.parts[2:]:
        materials.decode(source, part, digest=False)
    assert len(os.listdir("/proc/self/fd")) - before <= OWN_FILES + 1
    assert content(materials.decoded[501]) == noise(200, 499)
    materials.close()
    assert len(os.listdir("/proc/self/fd")) <= before
