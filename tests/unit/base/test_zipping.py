"""One file as a zip."""

import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base import zipping
from pfilter.base.spool import WINDOW
from tests.lib.support import BytesSpool, MemoryArena, content, mode, noise, table

DEFLATERS = ("libdeflate", "zlib")

needs_unzip = pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")


@pytest.fixture(params=DEFLATERS, autouse=True)
def deflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take the package for libdeflate away from half of the tests."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "deflate", None)
    else:
        pytest.importorskip("deflate")
    return str(request.param)


def zipped(data: bytes, name: str = "list.csv", limit: int = 1 << 30) -> bytes:
    """Return a zip of data."""
    source = BytesSpool(data)
    found = zipping.zipped(source, name, limit, MemoryArena(), zipping.share_of_samples(source))
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
    other = zipping.zipped(BytesSpool(table()), "list.csv", 1 << 30, MemoryArena())
    assert found is not None
    assert other is not None
    assert content(found) == content(other)


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
    assert zipping.share_of_samples(BytesSpool(table(20_000))) < 0.5
    assert zipping.share_of_samples(BytesSpool(noise(300_000))) > 0.95


def test_samples_look_beyond_the_start() -> None:
    """A file whose start alone is compressed already is worth trying."""
    assert zipping.share_of_samples(BytesSpool(noise(20_000) + table(20_000))) < 0.7


def test_what_is_small_is_tried() -> None:
    """Samples of a small file would cost what its zip does."""
    assert zipping.share_of_samples(BytesSpool(noise(64 << 10))) == 0


def repetitive(size: int) -> bytes:
    """Return text of few words."""
    chosen = random.Random(5)
    words = [noise(4, seed).hex().encode() for seed in range(24)]
    return b" ".join(chosen.choice(words) for _ in range(size // 9))


def picture(size: int) -> bytes:
    """Return a bitmap's kind of octets: runs with some noise."""
    chosen = random.Random(6)
    return b"".join(bytes([chosen.randrange(6) * 40, chosen.randrange(4), 0]) for _ in range(size // 3))


@pytest.mark.parametrize("size", [20_000, 300_000, 1_000_000])
@pytest.mark.parametrize("kind", ["table", "repetitive", "picture", "noise"])
def test_no_kind_of_file_becomes_larger_than_by_zlib(kind: str, size: int) -> None:
    """Whatever deflates it, a file leaves at most 3 % more than at zlib's level 6."""
    makers = {"table": lambda size: table(size // 16), "repetitive": repetitive, "picture": picture, "noise": noise}
    data = makers[kind](size)
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    by_zlib = len(compressor.compress(data) + compressor.flush())
    with zipfile.ZipFile(io.BytesIO(zipped(data))) as found:
        assert found.infolist()[0].compress_size <= by_zlib * 1.03


def test_a_window_is_left_to_libdeflate(deflater: str) -> None:
    """What fits into a window is deflated otherwise than zlib would, where the package is there."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    by_zlib = compressor.compress(table()) + compressor.flush()
    assert (by_zlib in zipped(table())) == (deflater == "zlib")


def test_what_is_large_is_never_read_whole() -> None:
    """A file of more than a window is streamed: memory stays what it is."""
    source = Counting(table(200_000))
    assert source.size > 2 * WINDOW
    assert zipping.zipped(source, "t.csv", 1 << 30, MemoryArena(), zipping.share_of_samples(source))
    assert source.most <= WINDOW


class Counting(BytesSpool):
    """A spool that notes the most that was asked for at once."""

    most = 0

    def read(self, start: int, end: int) -> bytes:
        self.most = max(self.most, min(end, self.size) - start)
        return super().read(start, end)
