"""What goes on beside the mail: kill -9 at random, clean-up, and a look at how much memory is in use."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from random import Random
from typing import NamedTuple

from tests.tools.load.place import Place, descendants, held, name_of, peak_of, send_signal, sockets, state_of

LOOK = 0.2  # seconds between two looks at the memory of all processes
PAUSE = 0.5  # and between two clean-ups
STOPPING = 0.05  # a process that does not stop in this time is in a call to the disk
LIMIT = 120.0  # seconds for one clean-up; usually less than one
TRIES = 10  # at a process that does not end by itself before it is killed
EXPIRE_SHARE = 0.05  # of kills that hit the clean-up


class Beside(ABC):
    """A thread that does something again and again until it is stopped; what goes wrong in it is a problem."""

    nice = -10  # what looks and strikes must not wait in line with the load

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.problems: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._over.set()
        if self._thread.ident:
            self._thread.join()

    @abstractmethod
    def step(self) -> None:
        """Do it once."""

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.nice)
        while not self._over.wait(self.wait()):
            try:
                self.step()
            except Exception as error:  # noqa: BLE001  # it is told at the end
                self.problems.append(f"{type(self).__name__}: {type(error).__name__}: {error}")

    def wait(self) -> float:
        """Return how long to wait before the next time."""
        return self.pause


class Kill(NamedTuple):
    """One process that was killed."""

    queue_id: str
    what: str  # its name
    reinjecting: bool  # it had a connection to the way back, or a child


class Cleaner(Beside):
    """Runs `pfilter expire` in a loop, whose grace is none."""

    nice = 0  # it would be inherited

    def __init__(self, place: Place) -> None:
        super().__init__(PAUSE)
        self._place = place
        self.running: subprocess.Popen[str] | None = None
        self.killed = 0
        self.runs = 0
        self.removed = 0

    def step(self) -> None:
        """Clean up once."""
        with self._place.pfilter("expire") as process:
            self.running = process
            try:
                said, errors = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                self.problems.append(f"expire: not done after {LIMIT:.0f} s")
                return
            finally:
                self.running = None
        self.runs += 1
        self.removed += said.count("removed download ")
        if process.returncode == -signal.SIGKILL and self.killed:
            return
        if process.returncode or errors:
            self.problems.append(f"expire: exit status {process.returncode}: {(errors or said).strip()[-300:]}")


class Killer(Beside):
    """Kills processes by SIGKILL: pfilter's, what they started, and the clean-up."""

    def __init__(self, place: Place, cleaner: Cleaner, rate: float, seed: int) -> None:
        super().__init__(1 / rate if rate else 3600.0)
        self._place = place
        self._cleaner = cleaner
        self._rng = Random(seed)
        self._due = time.monotonic()
        self.kills: list[Kill] = []

    def wait(self) -> float:
        """Return a pause of random length: kills must not be in step with anything. What a kill takes counts."""
        now = time.monotonic()
        self._due = max(now, self._due + self._rng.uniform(0, 2 * self.pause))
        return self._due - now

    def step(self) -> None:
        """Kill one of those that run, if any does."""
        cleanup = self._cleaner.running
        if cleanup and self._rng.random() < EXPIRE_SHARE:
            with contextlib.suppress(ProcessLookupError):
                if cleanup.poll() is None:
                    self._cleaner.killed += 1
                    cleanup.kill()
                    self.kills.append(Kill("", "expire", reinjecting=False))
            return
        for _ in range(TRIES):
            found = list(self._place.filters())
            if not found or self._strike(*self._rng.choice(found)):
                return

    def _strike(self, pid: int, queue_id: str) -> bool:
        """Stop it, so that what it does just now can be seen, and kill it or something that it started."""
        if self._place.filter_of(pid) != queue_id or not send_signal(pid, signal.SIGSTOP):
            return False
        end = time.monotonic() + STOPPING
        while (state := state_of(pid)) not in "TZ" and time.monotonic() < end:
            time.sleep(0.001)
        if state in ("Z", ""):
            return False  # it was faster
        children = [(child, name_of(child)) for child in descendants(pid) if state_of(child) not in ("Z", "")]
        reinjecting = bool(children) or sockets(pid) > self._place.is_lmtp  # beside lmtp(8)'s
        child, name = (
            self._rng.choice(children) if children and self._rng.random() < 0.5 else (pid, self._place.program)
        )
        if child == pid:
            hit = send_signal(pid, signal.SIGKILL)
        else:
            hit = send_signal(child, signal.SIGKILL, expected=name)
            send_signal(pid, signal.SIGCONT)
        if hit:
            self.kills.append(Kill(queue_id, name, reinjecting))
        return hit


class Sampler(Beside):
    """Looks at the memory of each filter that it sees, and at its descriptors."""

    def __init__(self, place: Place) -> None:
        super().__init__(LOOK)
        self._place = place
        self.samples: list[tuple[float, int]] = []  # when, octets
        self.at_once: list[int] = []
        self.held: list[tuple[float, int, int, int]] = []  # when, process, octets resident now, descriptors

    def step(self) -> None:
        """Look once."""
        pids = [pid for pid, _ in self._place.filters()]
        found = [peak for pid in pids if (peak := peak_of(pid))]
        self.held += [(time.monotonic(), pid, *now) for pid in pids if all(now := held(pid))]
        self.samples += [(time.monotonic(), peak) for peak in found]
        self.at_once.append(len(found))

    def peak(self, start: float, end: float) -> tuple[int, int]:
        """Return the largest peak between two times, and of how many."""
        found = [peak for when, peak in self.samples if start <= when <= end]
        return max(found, default=0), len(found)
