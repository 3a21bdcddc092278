"""A child process with a time limit, its output caught."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfilter.base import child
from pfilter.base.errors import ReinjectError
from tests.lib.support import BytesSpool


@pytest.fixture
def empty() -> "Iterator[int]":
    """Return a descriptor with nothing to read."""
    fd = os.open(os.devnull, os.O_RDONLY)
    yield fd
    os.close(fd)


def shell(command: str, stdin: int, seconds: float = 10) -> tuple[int, str]:
    """Run a shell command."""
    return child.run(["/bin/sh", "-c", command], stdin, seconds)


@pytest.mark.parametrize("status", [0, 1, 75, 255])
def test_exit_status(status: int, empty: int) -> None:
    """The exit status is the child's."""
    assert shell(f"exit {status}", empty) == (status, "")


def test_death_by_signal(empty: int) -> None:
    """A child killed by a signal has its negative number."""
    assert shell("kill -KILL $$", empty)[0] == -signal.SIGKILL


def test_stdin_is_the_file() -> None:
    """The child reads the file from where it stands."""
    source = BytesSpool(b"hello")
    os.lseek(source.fd, 0, os.SEEK_SET)
    assert shell("cat", source.fd) == (0, "hello")


def test_output_is_caught(empty: int) -> None:
    """Stdout and stderr are caught together, however much there is, and only the start is kept."""
    assert shell("echo one; echo two >&2", empty) == (0, "one\ntwo\n")
    status, said = shell("head -c 1000000 /dev/zero", empty)
    assert (status, len(said)) == (0, child.OUTPUT_LIMIT)


def test_a_missing_program_is_an_os_error(empty: int) -> None:
    """A program that can't be started is an error at once."""
    with pytest.raises(FileNotFoundError):
        child.run(["/nonexistent/sendmail"], empty, 5)


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_past_its_time_a_child_is_killed(empty: int) -> None:
    """A child that hangs is killed, and the error says how long it had."""
    began = time.monotonic()
    with pytest.raises(ReinjectError, match="longer than 1 s"):
        shell("sleep 60", empty, 0.6)
    assert time.monotonic() - began < 5


def test_descendants_are_killed_too(empty: int, tmp_path: Path) -> None:
    """What a child started, and what that started, goes with it: postdrop outlives sendmail otherwise."""
    script = f"sh -c 'sleep 61 & echo $! > {tmp_path}/grandchild; wait' & echo $! > {tmp_path}/child; wait"
    with pytest.raises(ReinjectError):
        shell(script, empty, 1)
    pids = [int((tmp_path / name).read_text()) for name in ("child", "grandchild")]
    end = time.monotonic() + 5
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))


def test_a_child_that_ignores_sigterm_is_killed(empty: int) -> None:
    """Nothing that a child ignores saves it."""
    with pytest.raises(ReinjectError):
        shell("trap '' TERM INT HUP; while :; do sleep 1; done", empty, 0.5)


def children() -> set[str]:
    """Return the ids of our children, zombies too."""
    pid = os.getpid()
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())


def test_no_zombie_is_left(empty: int) -> None:
    """Every child is reaped, whatever became of it."""
    before = children()
    shell("exit 0", empty)
    with pytest.raises(ReinjectError):
        shell("sleep 60", empty, 0.3)
    assert children() <= before


def test_without_pidfd(empty: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without pidfd_open wait in another way, with the same limits."""

    def refuse(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert shell("exit 3", empty) == (3, "")
    with pytest.raises(ReinjectError):
        shell("sleep 60", empty, 0.3)


def test_signals_are_as_a_program_expects_them(empty: int) -> None:
    """A child does not inherit what we ignore: a broken pipe ends it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert shell("kill -TERM $$; exit 0", empty)[0] == -signal.SIGTERM
        assert "PIPE" not in shell("yes | head -n 1 >/dev/null; trap", empty)[1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_meanwhile_is_called_while_the_child_runs(empty: int) -> None:
    """What can be done while waiting is done while the child runs."""
    called: list[float] = []
    child.run(["/bin/sleep", "0.2"], empty, 5, lambda: called.append(time.monotonic()))
    assert len(called) == 1
    assert time.monotonic() - called[0] > 0.1


def test_descriptors_do_not_leak(empty: int) -> None:
    """A child costs no descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        shell("exit 0", empty)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()], ids=["EIO", "memory"])
@pytest.mark.parametrize("call", ["pread", "close", "pidfd_open"])
def test_how_it_ended_counts_whatever_fails_around_it(
    call: str, error: Exception, empty: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sendmail that succeeded has succeeded, even where its output can't be read: else the message goes out twice."""
    real = os.close

    def fails(*arguments: int) -> None:
        if call == "close":
            real(*arguments)
        raise error

    monkeypatch.setattr(os, call, fails)
    ended = shell("exit 0", empty)
    monkeypatch.undo()
    assert ended == (0, "")


def test_a_failing_poll(empty: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory for poll(2) the child is waited for all the same."""

    def fails() -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(child, "poll", fails)
    assert shell("sleep 0.1; exit 3", empty) == (3, "")


def test_how_a_child_ended_is_not_forgotten_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch, empty: int) -> None:
    """Without memory for the answer it is asked again; a failure to reap or to read its output changes nothing."""
    asked = []
    real = os.waitid

    def waitid(*arguments: int) -> object:
        asked.append(arguments)
        if len(asked) < 4:
            raise MemoryError
        return real(*arguments)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(os, "waitid", waitid)
    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(child, "_wait_by_poll", lambda *_: True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "waitpid", fail)
        assert shell("exit 3", empty) == (3, "")
    os.waitpid(-1, 0)


def test_no_memory_to_ask_is_no_end_of_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory to ask how the child does it is asked again, not killed: it may have done its work."""
    ask, failures = os.waitid, 3

    def waitid(*arguments: int) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise MemoryError
        return ask(*arguments)

    def no_descriptor(_: int) -> int:
        raise MemoryError

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    monkeypatch.setattr(os, "waitid", waitid)
    stdin = os.open(os.devnull, os.O_RDONLY)
    try:
        assert child.run(["/bin/sh", "-c", "exit 3"], stdin, 10)[0] == 3
    finally:
        os.close(stdin)
    assert not failures
