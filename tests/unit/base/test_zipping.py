"""One file as a zip, streaming."""

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base import zipping
from tests.lib.support import BytesSpool, MemoryArena, content, mode, noise, table

needs_unzip = pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")


def zipped(data: bytes, name: str = "list.csv", limit: int = 1 << 30) -> bytes:
    """Return a zip of data."""
    found = zipping.zipped(BytesSpool(data), name, limit, MemoryArena())
    assert found is not None
    return content(found)


@given(st.binary(max_size=2000), st.sampled_from(["a", "list.csv", "résumé.pdf", "日本語.txt", "x" * 150]))
def test_zipfile_reads_it(data: bytes, name: str) -> None:
    """The stdlib finds one member of that name, and its content whole."""
    with zipfile.ZipFile(io.BytesIO(zipped(data, name))) as found:
        assert found.testzip() is None
        assert found.namelist() == [name]
        assert found.read(name) == data


def test_more_than_a_window() -> None:
    """A file of several windows is zipped whole."""
    data = table(200_000)
    found = zipping.zipped(BytesSpool(data), "t.csv", 1 << 30, MemoryArena())
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(content(found))) as opened:
        assert opened.read("t.csv") == data


@needs_unzip
@pytest.mark.parametrize("name", ["list.csv", "résumé.pdf"])
def test_unzip_finds_no_fault(name: str, tmp_path: Path) -> None:
    """`unzip -t`, which is strict about sizes and offsets, finds no fault, and warns of nothing."""
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(table(), name))
    status, said = unzip("-t", str(path))
    assert status == 0, said
    assert b"warning" not in said.lower()


@needs_unzip
def test_unzip_makes_the_file(tmp_path: Path) -> None:
    """unzip(1) makes a readable file of the right name."""
    (tmp_path / "x.zip").write_bytes(zipped(table(), "résumé.pdf"))
    status, said = unzip(str(tmp_path / "x.zip"), "-d", str(tmp_path / "out"))
    assert status == 0, said
    (found,) = (tmp_path / "out").iterdir()
    assert (found.name, mode(found) & 0o600, found.read_bytes()) == ("résumé.pdf", 0o600, table())


def unzip(*arguments: str) -> tuple[int, bytes]:
    """Run Info-ZIP's program."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["unzip", *arguments], capture_output=True, check=False, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_the_same_file_gives_the_same_octets() -> None:
    """Neither the clock nor anything else but file and name are in a zip."""
    assert zipped(table()) == zipped(table())


def test_the_timestamp_is_fixed() -> None:
    """The member's date is the first that zip knows."""
    with zipfile.ZipFile(io.BytesIO(zipped(b"x"))) as found:
        assert found.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_names_are_marked_as_utf_8() -> None:
    """Bit 11 tells that names are UTF-8 (APPNOTE, appendix D)."""
    with zipfile.ZipFile(io.BytesIO(zipped(b"x", "é"))) as found:
        assert found.infolist()[0].flag_bits & 0x800


def test_the_limit_is_kept_to_the_octet() -> None:
    """A zip of exactly the limit is made, one octet more is not."""
    size = len(zipped(table()))
    assert len(zipped(table(), limit=size)) == size
    assert zipping.zipped(BytesSpool(table()), "list.csv", size - 1, MemoryArena()) is None


def test_a_zip_that_is_given_up_leaves_nothing() -> None:
    """What was written of a zip over its limit is taken back, and the next one is right."""
    arena = MemoryArena()
    assert zipping.zipped(BytesSpool(noise(300_000)), "x", 100_000, arena) is None
    assert arena.end == 0
    found = zipping.zipped(BytesSpool(table()), "list.csv", 1 << 30, arena)
    assert found is not None
    assert content(found) == zipped(table())


def test_what_does_not_gain_is_given_up_early() -> None:
    """Noise over the limit is no zip."""
    assert zipping.zipped(BytesSpool(noise(300_000)), "x", 100_000, MemoryArena()) is None


def test_members_of_4_gib_are_refused() -> None:
    """What would need zip64 stays as it is."""
    source = BytesSpool(b"")
    source.size = 0xFFFFFFFF  # type: ignore[misc]  # Final to all but this test
    assert zipping.zipped(source, "x", 1 << 40, MemoryArena()) is None


def test_samples_tell_noise_from_tables() -> None:
    """Samples from start, middle and end tell what is worth trying."""
    assert zipping.promises_gain(BytesSpool(table(20_000)), 0.1)
    assert not zipping.promises_gain(BytesSpool(noise(300_000)), 0.1)


def test_samples_look_beyond_the_start() -> None:
    """A file whose start alone is compressed already is worth trying."""
    assert zipping.promises_gain(BytesSpool(noise(20_000) + table(20_000)), 0.3)
