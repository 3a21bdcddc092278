"""Octets in a file, read in windows, from wherever they come."""

import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base import spool
from tests.lib.support import BytesSpool, content, no_workspace

data_and_range = st.binary(max_size=100).flatmap(
    lambda data: st.tuples(st.just(data), st.integers(0, 100), st.integers(0, 120), st.integers(1, 64))
)


@given(data_and_range)
def test_reads_are_slices(case: tuple[bytes, int, int, int]) -> None:
    """A read gives the octets of its range, in windows of any size."""
    data, start, length, window = case
    assert BytesSpool(data, window).read(start, start + length) == data[start : start + length]


@given(data_and_range)
def test_windows_join_to_the_range(case: tuple[bytes, int, int, int]) -> None:
    """Windows give all octets of a range, none larger than a window."""
    data, start, length, window = case
    pieces = list(BytesSpool(data, window).windows(start, start + length))
    assert b"".join(pieces) == data[start : start + length]
    assert all(0 < len(piece) <= window for piece in pieces)


@given(data_and_range, st.binary(min_size=1, max_size=3))
def test_find_finds_what_bytes_find(case: tuple[bytes, int, int, int], needle: bytes) -> None:
    """The first needle that lies wholly in a range is found, also across windows."""
    data, start, length, window = case
    assert BytesSpool(data, window).find(needle, start, start + length) == data.find(needle, start, start + length)


@given(
    st.binary(max_size=40), st.integers(1, 8), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=8)
)
def test_reads_do_not_depend_on_each_other(data: bytes, window: int, reads: list[tuple[int, int]]) -> None:
    """Whatever was read before, a read gives the octets of its range."""
    source = BytesSpool(data, window)
    for start, length in reads:
        assert source.read(start, start + length) == data[start : start + length]


def received(data: bytes, workspace: "spool.Workspace") -> spool.Spool:
    """Return what is received from a pipe into which somebody writes."""
    reader, writer = os.pipe()

    def write() -> None:
        spool.write_all(writer, data)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        return spool.receive(reader, workspace)
    finally:
        thread.join()
        os.close(reader)


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_small_messages_stay_in_memory(size: int) -> None:
    """A message of up to one window needs no workspace."""
    data = os.urandom(size)
    assert content(received(data, no_workspace)) == data


@pytest.mark.parametrize("size", [spool.WINDOW - 1, spool.WINDOW, spool.WINDOW + 1, 3 * spool.WINDOW + 5])
def test_messages_of_any_size_are_received_whole(size: int, tmp_path: Path) -> None:
    """A message around and beyond a window is received to its last octet, and leaves no name behind."""
    data = os.urandom(size)
    assert content(received(data, lambda: str(tmp_path))) == data
    assert list(tmp_path.iterdir()) == []


def test_a_large_message_goes_to_disk(tmp_path: Path) -> None:
    """What is larger than a window goes into the workspace, so that memory does not grow with it."""
    found = received(bytes(2 * spool.WINDOW), lambda: str(tmp_path))
    assert os.fstat(found.fd).st_dev == tmp_path.stat().st_dev
    assert os.readlink(f"/proc/self/fd/{found.fd}").startswith(str(tmp_path))


def test_file_systems_without_o_tmpfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no O_TMPFILE, a file is made and its name removed at once."""
    real = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    fd = spool.temporary(lambda: str(tmp_path), 2 * spool.WINDOW)
    os.write(fd, b"x")
    os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_workspace_is_an_error(tmp_path: Path) -> None:
    """Without its workspace a large message is not received at all."""
    with pytest.raises(OSError, match="No such file"):
        spool.temporary(lambda: str(tmp_path / "gone"), 2 * spool.WINDOW)


def test_a_file_that_became_shorter_is_an_error() -> None:
    """A spool whose file was cut is never read as if it ended there."""
    source = BytesSpool(b"0123456789", 4)
    os.ftruncate(source.fd, 5)
    with pytest.raises(OSError, match="shorter"):
        source.read(0, 10)


def test_descriptors_are_given_back() -> None:
    """A spool that nobody holds any more holds no descriptor."""
    fd = BytesSpool(b"x").fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_closing_twice_is_harmless() -> None:
    """A second close never closes a descriptor that meanwhile belongs to somebody else."""
    source = BytesSpool(b"x")
    source.close()
    other = os.open("/dev/null", os.O_RDONLY)
    source.close()
    assert os.fstat(other).st_rdev == os.stat("/dev/null").st_rdev
    os.close(other)
