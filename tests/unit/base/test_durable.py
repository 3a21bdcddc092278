"""Locks on files."""

import os
from pathlib import Path

import pytest

from pfilter.base.durable import locked


def test_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    """Who does not wait is told; afterwards the lock is free, and its file stays."""
    path = tmp_path / "lock"
    with locked(str(path)) as held:
        os.write(held, b"x")
        with pytest.raises(BlockingIOError), locked(str(path), wait=False):
            pass
    with locked(str(path), wait=False) as held:
        assert os.pread(held, 9, 0) == b"x"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_not_made(tmp_path: Path) -> None:
    """Where there is no file, and none shall be, that is said."""
    with pytest.raises(FileNotFoundError), locked(str(tmp_path / "lock"), create=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    """What somebody has put in its place is left alone."""
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"), locked(str(tmp_path / "lock")):
        pass
    assert not (tmp_path / "other").exists()
