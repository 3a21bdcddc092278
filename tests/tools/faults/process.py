"""Child processes with every wait bounded, and whatever they leave behind found and ended, by pid."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
ORPHANS = 15.0  # seconds that what a killed filter has started may take


class Ended(NamedTuple):
    """How a process ended; a status below 0 is a signal, None means that it had to be killed by us."""

    status: int | None
    said: bytes
    at: int  # time.time_ns()

    @property
    def waits(self) -> bool:
        """Whether pipe(8) keeps the message: EX_TEMPFAIL, or death by a signal (Postfix, pipe_command.c)."""
        return self.status == 75 or (self.status is not None and self.status < 0)


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own: a sendmail whose filter was killed goes on."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(argv: list[str], stdin: Path, said: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process with files at both ends, so that nobody can hang at a pipe."""
    with open(stdin, "rb") as source, open(said, "wb") as sink:
        return subprocess.Popen(argv, stdin=source, stdout=sink, stderr=sink, env=environment, start_new_session=True)


def finish(process: "subprocess.Popen[bytes]", said: Path, seconds: float) -> Ended:
    """Wait until a process and all its orphans have ended."""
    status: int | None
    # Not by wait(seconds), which looks every 50 ms: the window is shorter.
    ended = process.poll() is not None  # somebody who has looked has taken its process id from it
    if not ended:
        with open(os.pidfd_open(process.pid), "rb", buffering=0) as handle:
            ended = bool(select.select([handle], [], [], seconds)[0])
    if ended:
        status = process.wait()
    else:
        status = None
        for pid in [*descendants(process.pid), process.pid]:
            kill(pid)
        process.wait(ORPHANS)
    at = time.time_ns()
    return Ended(status, said.read_bytes(), at)


def reap() -> bool:
    """Wait for orphans; return whether none had to be killed. Nobody else's children may be around."""
    end = time.monotonic() + ORPHANS
    clean = True
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return clean
        if pid:
            continue
        if time.monotonic() > end:
            clean = False
            for orphan in descendants(os.getpid()):
                kill(orphan)
        time.sleep(0.001)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def descendants(pid: int) -> list[int]:
    """Return all processes below a process."""
    try:
        found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []
    return [*found, *(below for child in found for below in descendants(child))]


def kill(pid: int) -> None:
    """End a process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
