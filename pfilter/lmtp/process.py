"""What a process has one of, and when it has done its share."""

import os
from time import monotonic

from pfilter import __file__ as package
from pfilter.base.rlimits import allow_processor, processor_limit

LIFETIME = 300  # seconds; with one message behind it, well within the time limit of spawn(8)
MESSAGES = 1000
MEMORY_LIMIT = 96 << 20  # octets resident
LOOK = 1  # second: how often files are looked at, which costs a third of a small message


class Process:
    """This process, started by the path `program`."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._began = monotonic()
        self._identity = identity(program)
        self._looked = self._began
        self._most = processor_limit()
        self.messages = 0
        self.stopped = False
        self.torn = False  # whether something may be left of a message

    def stop(self, *_: object) -> None:
        """Take a signal that comes when a message is sent: all that is left to do is to end after it."""
        self.stopped = True

    def allow(self, seconds: int) -> None:
        """Let the next message use so much CPU time."""
        allow_processor(seconds, self._most)

    def is_done(self) -> bool:
        """Whether it has done its share, or is not what would be started now."""
        now = monotonic()
        if self.stopped or now > self._began + LIFETIME or self.messages >= MESSAGES:
            return True
        if now < self._looked + LOOK:
            return False
        self._looked = now
        if identity(self._program) != self._identity or (self.messages > 0 and resident() > MEMORY_LIMIT):
            self.stopped = True
        return self.stopped


def identity(program: str) -> "tuple[object, ...]":
    """Return what changes with another version: where the program's path leads to, and the state of what is there."""
    found: list[object] = [os.path.realpath(program)]
    for path in (program, package):
        try:
            of = os.stat(path)
            found += [of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns]
        except OSError:
            found.append(None)
    return tuple(found)


def resident() -> int:
    """Return how many octets of memory we have, proc(5); 0 where nobody says."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
