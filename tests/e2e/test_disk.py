"""Too little room, and none at all: the store on a small file system of its own."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.conftest import PIPES, only
from tests.e2e.faults import goes_out_once
from tests.e2e.rig import Gate, wait
from tests.e2e.stages import Stages, recipient


@contextlib.contextmanager
def small_disk(gate: Gate, size: str, inodes: int = 0) -> Iterator[None]:
    """Mount a small file system over the store, in the instance's world alone; the test looks at it from there."""
    outside = gate.store
    owner = outside.stat()
    options = f"size={size},nr_inodes={inodes},mode=0711,uid={owner.st_uid},gid={owner.st_gid}"
    gate.instance.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(outside))
    holder = gate.instance.processes("_hold")[0]
    gate.store = Path(f"/proc/{holder}/root{outside}")
    try:
        yield
    finally:
        gate.store = outside
        gate.instance.run("umount", str(outside))


def fill(gate: Gate, leave: int) -> Path:
    """Leave so many octets free on the store's file system."""
    found = os.statvfs(gate.store)
    path = gate.store / "junk"
    with open(path, "wb") as file:
        file.write(b"\0" * (found.f_bavail * found.f_frsize - leave))
    return path


def test_less_than_min_free(gate: Gate) -> None:
    """Too little room to store anything: mail passes with its attachments, and the log says so."""
    gate.configure(store={"min_free": "100 MiB"})
    with small_disk(gate, "20m"):
        queue_id = gate.send(mails.letter(mails.film(), mails.table()))
        got = gate.delivered()
        assert got.files == {"film.mp4": mails.FILM, "list.csv": mails.TABLE}
        assert gate.line(queue_id) == "passed (no room in the store)"
        assert gate.event(queue_id)["level"] == "error"
        assert gate.notification() is None
        assert gate.records == []
        gate.configure()
        gate.forget()
        gate.send(mails.letter(mails.film()))
        assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}


def test_less_than_min_free_for_an_original(gate: Gate) -> None:
    """The same for mail of the null sender, whose original has no place to be kept."""
    gate.configure(store={"min_free": "100 MiB"})
    with small_disk(gate, "20m"):
        gate.send(mails.letter(mails.film()), sender="")
        assert gate.delivered(sender="").files == {"film.mp4": mails.FILM}
        assert not (gate.store / "trouble").exists()


@pytest.mark.parametrize("inodes", [3, 12, 90])
def test_hardly_an_inode_left(gate: Gate, inodes: int) -> None:
    """A store with room for octets but for hardly a file is full too: mail passes, and does not wait for files."""
    gate.configure(store={"min_free": "1 MiB"})
    with small_disk(gate, "40m", inodes):
        queue_id = gate.send(mails.letter(mails.film()))
        assert gate.delivered().files == {"film.mp4": mails.FILM}
        assert gate.line(queue_id) == "passed (no room in the store)"


@pytest.mark.parametrize("leave", [0, 200_000, 1_500_000, 2_300_000])
def test_full_disk(gate: Gate, leave: int) -> None:
    """However full, where no floor of free space guards against it: it waits for room, or passes as it came."""
    with small_disk(gate, "8m"):
        junk = fill(gate, leave)
        queue_id = gate.send(mails.letter(mails.film()))
        lines = wait(lambda: gate.filter_lines(queue_id), "an attempt")
        if "status=deferred" in lines[0]:
            assert gate.at_sink() == []
            assert "No space left on device" in lines[0]
            junk.unlink()
            goes_out_once(gate)
        else:
            got = gate.delivered()
            assert got.files == {"film.mp4": mails.FILM} or gate.linked(got) == {"film.mp4": mails.FILM}
            assert ("no room" in gate.line(queue_id)) == (got.files != {})


@only(*PIPES)  # a stage is told by the arguments of a message's process
def test_disk_that_fills_while_storing(gate: Gate, stages: Stages) -> None:
    gate.instance.use(stages.venv.path)
    with small_disk(gate, "8m"):
        stages.stop()
        queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("store")])
        stages.reached("store")
        junk = fill(gate, 0)
        stages.go()
        gate.waits_in_queue(queue_id, "No space left on device")
        junk.unlink()
        goes_out_once(gate, (recipient("store"),))
