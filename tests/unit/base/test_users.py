"""Whose a directory is, and who is to do what about it."""

import os
from pathlib import Path

import pytest

from pfilter.base import durable, users
from pfilter.base.errors import StoreError

NOBODY = 65534


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def folder(path: Path, owner: int = 0) -> Path:
    path.mkdir()
    os.chown(path, owner, owner)
    return path


def trouble(path: Path) -> str:
    """Return what is said about a directory that is not ours."""
    with pytest.raises(StoreError) as caught:
        durable.check_directory(str(path))
    return str(caught.value)


@needs_root
def test_the_remedy_keeps_the_store_the_filters(tmp_path: Path) -> None:
    """In a store of root's the remedy is to give the store away, never what is in it to root."""
    inside = folder(tmp_path / "downloads", NOBODY)
    said = trouble(inside)
    assert f"{inside} belongs to nobody, but pfilter runs as root: chown nobody {tmp_path}" == said


def test_the_remedy_names_who_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is somebody else's in our store becomes ours; where the store is not ours, somebody else should run this."""
    inside = tmp_path / "downloads"
    inside.mkdir()
    ours = os.getuid()
    assert users.name(ours) == os.popen("id -un").read().strip()
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    if ours:
        assert trouble(inside).endswith(f"but pfilter runs as uid 4321: run it as {users.name(ours)}")
        return
    assert trouble(inside).endswith("chown -R it to the filter's user")
    os.chown(tmp_path, 4321, 4321)
    assert trouble(inside).endswith(f"belongs to root, but pfilter runs as uid 4321: chown 4321 {inside}")
    os.chown(tmp_path, NOBODY, NOBODY)
    assert trouble(inside).endswith("run it as nobody")
