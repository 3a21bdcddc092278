"""Faults that last as long as a `with` block, and the proof that nothing was lost when it is over."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.e2e import mails
from tests.e2e.rig import READER, Gate, give

Fault = contextlib.AbstractContextManager[object]


def goes_out_once(gate: Gate, recipients: tuple[str, ...] = (READER,)) -> None:
    """Mended: the message is delivered once, its link works, its sender is told once; nothing else is left."""
    gate.retry()
    got = gate.delivered()
    assert sorted(got.recipients) == sorted(f"<{address}>" for address in recipients)
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert len(gate.records) == 1
    assert [path.name for path in (gate.store / "downloads").glob("*/")] == [gate.records[0]["id"]]
    assert gate.notification()
    assert len(gate.at_sink()) == 2
    assert gate.instance.queue_files() == []


@contextlib.contextmanager
def configured(gate: Gate, text: str | None = None, **sections: Mapping[str, object]) -> Iterator[None]:
    """Run with another configuration: `text`, or the default changed; "" is none."""
    if text == "":
        gate.instance.config.unlink()
    elif text is not None:
        gate.write_configuration(text)
    else:
        gate.configure(**sections)
    try:
        yield
    finally:
        gate.configure()


@contextlib.contextmanager
def moved(path: Path) -> Iterator[None]:
    """Take a file or folder away for a while."""
    aside = path.with_name(path.name + ".aside")
    path.rename(aside)
    try:
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        aside.rename(path)


@contextlib.contextmanager
def owned_by_root(path: Path) -> Iterator[None]:
    """Make a folder unwritable for a while."""
    path.mkdir(exist_ok=True)
    path.chmod(0o711)
    os.chown(path, 0, 0)
    try:
        yield
    finally:
        give(path)


@contextlib.contextmanager
def file_instead(path: Path) -> Iterator[None]:
    """Put a file where a folder should be."""
    path.write_text("in the way")
    try:
        yield
    finally:
        path.unlink()


@contextlib.contextmanager
def templates(gate: Gate, text: str) -> Iterator[None]:
    """Run with a template of the administrator's."""
    folder = gate.root / "templates"
    folder.mkdir()
    (folder / "notice.txt").write_text(text)
    gate.configure(notice={"templates": str(folder)})
    try:
        yield
    finally:
        gate.configure()


@contextlib.contextmanager
def without_rights(path: Path, rights: int = 0) -> Iterator[None]:
    """Take the rights on a file."""
    before = path.stat().st_mode & 0o777
    path.chmod(rights)
    try:
        yield
    finally:
        path.chmod(before)


@contextlib.contextmanager
def secret_of_root(path: Path) -> Iterator[None]:
    """Leave a key that root made: what happens where somebody ran a command as root by hand."""
    path.write_text("0123456789abcdef" * 4)
    path.chmod(0o600)
    try:
        yield
    finally:
        give(path)


@contextlib.contextmanager
def appended(path: Path, text: str) -> Iterator[None]:
    """Break a file."""
    whole = path.read_bytes()
    with open(path, "a") as file:
        file.write(text)
    try:
        yield
    finally:
        path.write_bytes(whole)


@contextlib.contextmanager
def emptied(path: Path) -> Iterator[None]:
    """Leave nothing of a file, as a power cut does."""
    whole = path.read_bytes()
    path.write_bytes(b"")
    try:
        yield
    finally:
        path.write_bytes(whole)


def stub(gate: Gate, script: str) -> Path:
    """Make a sendmail of one's own."""
    path = gate.root / "sendmail"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
