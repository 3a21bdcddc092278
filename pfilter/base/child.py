"""A child process with a time limit, its output caught. Lighter than importing subprocess (17 ms)."""

import os
from select import POLLIN, poll
from time import monotonic, sleep

from pfilter.base.errors import ReinjectError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
else:
    import _signal  # the module signal brings enum along

TRIES = 100  # a hundredth of a second apart
OUTPUT_LIMIT = 4096  # octets of a child's output that anybody looks at
# Python ignores SIGPIPE, and the door may ignore others; a child starts with the defaults.
RESET = (_signal.SIGPIPE, _signal.SIGTERM, _signal.SIGALRM, _signal.SIGINT, _signal.SIGHUP)


def run(
    argv: "Sequence[bytes | str]",
    stdin: int,
    seconds: float,
    meanwhile: "Callable[[], None] | None" = None,
    more: "Callable[[], float] | None" = None,
) -> tuple[int, str]:
    """Run a program to its end; return its exit status (negative: a signal) and the start of its output.

    It stays in our process group, so that Postfix's SIGKILL reaches it too. Past its time it is killed with all its
    descendants, and ReinjectError raised. Raises OSError where it can't be started. `meanwhile` is called once it
    runs, and must not raise. `more` says, past its time, how many seconds more it gets.
    """
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        redirect = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        pid = os.posix_spawn(argv[0], list(argv), os.environ, file_actions=redirect, setsigdef=RESET)
        try:
            if meanwhile:
                meanwhile()
            ended = _wait(pid, seconds)
            if not ended and more and (extra := more()):
                seconds += extra
                ended = _wait(pid, extra)
        except BaseException:
            _kill(pid)
            raise
        if not ended:
            _kill(pid)
            raise ReinjectError(f"{os.fsdecode(argv[0])} took longer than {seconds:.0f} s")
        status = _status(pid)
        # How it ended is known: for what it was to do, no lack of memory counts any more.
        said = ""
        try:
            said = _said(output)
        except MemoryError:
            pass
        return status, said
    finally:
        try:
            os.close(output)
        except (OSError, MemoryError):
            pass


def _status(pid: int) -> int:
    """Return how a child has ended. It is asked again where memory was short, and only then reaped."""
    for attempt in range(TRIES):
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert found
            status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
            break
        except MemoryError:
            if attempt == TRIES - 1:
                raise
            sleep(0.01)
    try:
        os.waitpid(pid, 0)
    except (OSError, MemoryError):
        pass
    return status


def _said(output: int) -> str:
    """Return the start of what a child wrote. How it ended is known by now, and nothing that fails here changes it."""
    try:
        return os.pread(output, OUTPUT_LIMIT, 0).decode("utf-8", "replace")
    except (OSError, MemoryError):
        return ""


def _close(fd: int) -> None:
    """Close, and let no failure of that look like one of the child."""
    try:
        os.close(fd)
    except (OSError, MemoryError):
        return


def _wait(pid: int, seconds: float) -> bool:
    """Wait until the child has ended, without reaping it; False past the time."""
    end = monotonic() + seconds
    try:
        return _wait_by_poll(pid, end)
    except (OSError, MemoryError):  # kernels before 5.3, some containers, nothing left of descriptors or memory
        while not _has_ended(pid):
            if monotonic() > end:
                return False
            sleep(0.01)
        return True


def _has_ended(pid: int) -> bool:
    """Whether a child has ended, as far as there is memory to ask: it may have done its work."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except MemoryError:
        return False


def _wait_by_poll(pid: int, end: float) -> bool:
    fd = os.pidfd_open(pid)
    try:
        watched = poll()
        watched.register(fd, POLLIN)
        return bool(watched.poll(max(0, int((end - monotonic()) * 1000))))
    finally:
        _close(fd)


def _kill(pid: int) -> None:
    """Kill a child and what it started: postdrop(1) outlives sendmail(1), trying for ever."""
    for victim in [*_descendants(pid), pid]:
        try:
            os.kill(victim, _signal.SIGKILL)
        except OSError:
            continue  # ended meanwhile
    os.waitpid(pid, 0)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < 1000:
        parent = waiting.pop()
        try:
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as stream:
                children = [int(word) for word in stream.read().split()]
        except (OSError, ValueError):
            continue
        found += children
        waiting += children
    return found
