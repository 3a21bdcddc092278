"""All files of a download as one ZIP: what other programs read in it, and any part of it."""

import io
import os
import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from pfilter.base.errors import StoreError
from pfilter.web import archive
from pfilter.web.archive import Archive
from tests.lib.support import noise

FILES = {"a.bin": noise(3 << 20), "empty": b"", "größe 日本.txt": b"x" * 1000, "z.zip": noise(100)}


class Stream(io.RawIOBase):
    """An archive as a file that can be sought in."""

    def __init__(self, made: Archive) -> None:
        self.made = made
        self.at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + {0: 0, 1: self.at, 2: self.made.size}[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.made.read(self.at, len(view))
        view[: len(data)] = data
        self.at += len(data)
        return len(data)


def opened(folder: Path) -> Archive:
    """Return the archive of a folder."""
    return Archive(os.open(folder, os.O_PATH | os.O_DIRECTORY), sorted(os.listdir(folder)))


def whole(made: Archive, start: int = 0, step: int = 70_000) -> bytes:
    """Return all of it from an octet on."""
    data = bytearray()
    while piece := made.read(start + len(data), step):
        data += piece
    return bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files."""
    place = tmp_path / "files"
    place.mkdir()
    for name, data in FILES.items():
        (place / name).write_bytes(data)
    return place


def test_other_programs_read_it(folder: Path, tmp_path: Path) -> None:
    """Python's zipfile and unzip find each file whole, under its name; it is as long as it said."""
    made = opened(folder)
    data = whole(made)
    assert len(data) == made.size
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == FILES
        assert [info.compress_type for info in found.infolist()] == [zipfile.ZIP_STORED] * len(FILES)
    made.close()
    if shutil.which("unzip"):
        (tmp_path / "a.zip").write_bytes(data)
        done = subprocess.run(
            ["unzip", "-tq", tmp_path / "a.zip"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_any_part_is_the_same_part(folder: Path) -> None:
    """From whatever octet it goes on, and on another day, it is the same file with the same tag."""
    first = opened(folder)
    data, etag = whole(first), first.etag
    first.close()
    chance = random.Random(1)
    for start in (0, 1, len(data) - 1, len(data) - 30, *(chance.randrange(len(data)) for _ in range(20))):
        again = opened(folder)
        assert (whole(again, start) == data[start:], again.etag) == (True, etag)
        again.close()
    (folder / "empty").write_bytes(b"1")
    changed = opened(folder)
    assert changed.etag != etag
    changed.close()


def test_more_than_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large for ZIP is in Zip64: the file itself, what stands behind it, and the directory."""
    size = (4 << 30) + 5
    with (tmp_path / "a").open("wb") as stream:
        stream.truncate(size)
    (tmp_path / "b").write_bytes(b"behind")
    found = (tmp_path / "a").stat()
    monkeypatch.setitem(archive._sums, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns), 1)
    made = opened(tmp_path)
    with zipfile.ZipFile(Stream(made)) as read:
        assert [info.file_size for info in read.infolist()] == [size, 6]
        assert read.infolist()[1].header_offset > size
        assert read.read("b") == b"behind"
    made.close()


def test_many_files(tmp_path: Path) -> None:
    """More than the old directory can count, without a descriptor for each."""
    for number in range(1000):
        (tmp_path / f"{number:05}").write_bytes(b"%d" % number)
    before = len(os.listdir("/proc/self/fd"))
    made = opened(tmp_path)
    with zipfile.ZipFile(io.BytesIO(whole(made))) as found:
        assert found.read("00999") == b"999"
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    made.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_file_is_not_sent(folder: Path) -> None:
    """No links, folders, or what is gone."""
    (folder / "link").symlink_to("a.bin")
    (folder / "inside").mkdir()
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    for name in ("link", "inside", "gone"):
        with pytest.raises(FileNotFoundError):
            Archive(fd, ["a.bin", name])
    os.close(fd)


def test_a_file_that_changes_meanwhile_ends_it(folder: Path) -> None:
    """Nothing is sent that would be taken for what was there before."""
    made = opened(folder)
    made.read(0, 10)
    (folder / "z.zip").write_bytes(b"longer than it was" * 100)
    with pytest.raises(StoreError, match="has changed"):
        whole(made)
    made.close()


def test_no_files_are_an_empty_zip(tmp_path: Path) -> None:
    """It has an end, and nothing before it."""
    made = opened(tmp_path)
    assert zipfile.ZipFile(io.BytesIO(whole(made))).namelist() == []
    made.close()
