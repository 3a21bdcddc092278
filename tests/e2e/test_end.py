"""The end of a message through a real pipe(8): its mark leaves no trace, and what pipe(8) dies over is tried again."""

import fcntl
import os
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import PIPES, Make, only
from tests.e2e.installed import Venv
from tests.e2e.rig import Gate, Instance, wait
from tests.e2e.test_untouched import passes

HEADER = b"From: sender@example.org\nTo: reader@example.net\nSubject: the end\n\n"
# Larger than a pipe holds, so that pipe(8) can't have written all of it before we read; a cut is likely behind a blank.
LONG = HEADER + b"".join(b"%07d\n\n" % number for number in range(34_000))


@pytest.mark.parametrize("chunk", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("blank", range(4))
def test_blank_lines_at_the_end(gate: Gate, blank: int, chunk: bool) -> None:
    """A message that ends in blank lines arrives with exactly those."""
    got = passes(gate, HEADER + b"one\n\ntwo\n" + b"\n" * blank, chunk=chunk)
    assert got.raw.endswith(b"\r\n\r\ntwo\r\n" + b"\r\n" * blank)


@pytest.mark.parametrize("data", [HEADER + b"one\ntwo", HEADER + b"one\n\n two", b"Subject: x"])
def test_no_line_end_at_the_end(gate: Gate, data: bytes) -> None:
    """A message without a last line end arrives as without a filter."""
    passes(gate, data, chunk=True)


@only(*PIPES)
def test_master_cf_of_an_older_version(layout: str, start: Make) -> None:
    """Flags and argv of before go on working: nothing is taken off."""
    gate = start(layout, "-P", "pfilter/unix/pipe_delivery_status_filter=")
    service = gate.instance.run("postconf", "-M", "pfilter/unix")
    older = " ".join(service.replace("flags=Bq", "flags=q").replace("--end=blank-line --size=${size} ", "").split())
    assert "blank-line" not in older
    gate.instance.run("postconf", "-M", f"pfilter/unix={older}")
    gate.instance.run("postfix", "reload")
    for blank in (0, 2):
        got = passes(gate, HEADER + b"one\n" + b"\n" * blank)
        assert got.raw.endswith(b"one\r\n" + b"\r\n" * blank)
        gate.forget()


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("PPid:")[2].split()[0])


def has_waiting(pid: int, octets: int) -> bool:
    """Whether so many octets wait on the stdin of a process, a pipe."""
    fd = os.open(f"/proc/{pid}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = fcntl.ioctl(fd, termios.FIONREAD, bytes(4))
    finally:
        os.close(fd)
    return int.from_bytes(found, sys.byteorder) >= octets


def filter_of(instance: Instance, queue_id: str) -> tuple[int, int]:
    """Return the process that filters a message, and pipe(8); (0, 0) where there is none."""
    for pid in instance.processes(f"--queue-id={queue_id}"):
        try:
            parent = parent_of(pid)
            if Path(f"/proc/{parent}/comm").read_text() == "pipe\n":
                return pid, parent
        except OSError:
            continue
    return 0, 0


def arrives_whole(gate: Gate, queue_id: str, most: int = 1) -> None:
    """Wait until the message is through, and see that it arrived, and nothing but whole."""
    gate.trouble_expected = True
    arrived = gate.settle()
    assert 1 <= len(arrived) <= most
    for got in arrived:
        assert got.raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2] == LONG.partition(b"\n\n")[2]
    assert any("passed" in line for line in gate.filter_lines(queue_id))
    gate.forget()


@only(*PIPES)
def test_pipe_killed_within_the_first_moments(gate: Gate) -> None:
    """Killed at 20 moments of our first 20 ms, pipe(8) leaves a part of a message on stdin: it is never sent."""
    killed = 0
    for attempt in range(20):
        queue_id = gate.send(LONG)
        end = time.monotonic() + 10
        while not (found := filter_of(gate.instance, queue_id))[1] and time.monotonic() < end:
            if not any(path.name == queue_id for path in gate.instance.queue_files()):
                break  # that fast
        if found[1]:
            time.sleep(attempt / 1000)
            try:
                os.kill(found[1], signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed += 1
        arrives_whole(gate, queue_id, most=2)  # Postfix may have had it whole when pipe(8) died: the known window
    assert killed


@only(*PIPES)
def test_pipe_killed_before_we_start(layout: str, start: Make, ground: Path, venv: Venv) -> None:
    """Killed before Python has begun, and with orphans adopted by another process than 1, pipe(8) leaves no trace."""
    waits = ground / f"waits-{layout}"
    waits.touch()
    command = ground / f"late-{layout}"
    command.write_text(f'#!/bin/sh\nwhile [ -e {waits} ]; do sleep 0.01; done\nexec {venv.pipe} "$@"\n')
    command.chmod(0o755)
    gate = start(layout, "-P", "pfilter/unix/pipe_delivery_status_filter=", pipe=str(command))
    queue_id = gate.send(LONG)
    late, parent = wait(lambda: (found := filter_of(gate.instance, queue_id))[0] and found, "the filter")
    wait(lambda: has_waiting(late, 60_000), "a full pipe")
    os.kill(parent, signal.SIGKILL)
    wait(lambda: parent_of(late) != parent, "the death of pipe(8)")
    waits.unlink()
    wait(lambda: not Path(f"/proc/{late}").exists(), "the end of the filter")
    # What has arrived by now, if Postfix was quick to try again, is looked at below: whole, and once.
    assert any(event["event"] == "failed" for event in gate.events())
    arrives_whole(gate, queue_id)
