"""The end of a message: what Postfix had not handed over whole is never sent.

Stdin ends, too, when pipe(8) is killed: its mark (flag B), its size and our parent tell the two ends apart.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pfilter import pipe
from pfilter.base.errors import TruncatedError, UsageError
from pfilter.base.spool import receive
from pfilter.delivery import whole
from pfilter.delivery.whole import Told
from tests.contracts.test_pipe import BIG, PLAIN, deferred, delivered
from tests.lib import support
from tests.lib.support import BytesSpool, Ended, Gateway, queue_size

MARKED = Told(marked=True)
ENDINGS = {
    "text": b"end",
    "a line": b"end\n",
    "a blank line": b"end\n\n",
    "two": b"end\n\n\n",
    "three": b"end\n\n\n\n",
    "nothing but blank lines": b"\n\n",
    "long lines": (b"y" * 127 + b"\n" + b"z" * 128 + b"\n") * 3 + b"x" * 2048 + b"\n\n" + b"w" * 5000 + b"\n",
    "CR at the end": b"end\r\n\r\n",
}


def handed_over(data: bytes) -> bytes:
    """Return a message as pipe(8) writes it: a line end at its end."""
    return data if data.endswith(b"\n") else data + b"\n"


def with_ending(ending: bytes) -> bytes:
    """Return a message of some parts of text, with blank lines between them."""
    return handed_over(b"Received: by mx\nSubject: x\n\none\n\ntwo\n\n\n" + ending)


# --- The mark and the size


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_the_mark_is_taken_off(ending: bytes, eol: bytes) -> None:
    """A message that ends in any number of blank lines keeps exactly those; size and contents are the message's."""
    plain = with_ending(ending)
    if eol == b"\r\n":
        plain = plain.replace(b"\r", b"")
    data = plain.replace(b"\n", eol)
    spool = BytesSpool(data + eol)
    fd = spool.fd
    found = whole.whole(spool, Told(marked=True, size=queue_size(plain)), os.getppid())
    assert (found.fd, found.size) == (fd, len(data))  # the same file, which sendmail gets
    assert os.pread(fd, len(data) + 10, 0) == data


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_cut_anywhere(ending: bytes) -> None:
    """Whatever octet a message is cut at, mark and size together notice it."""
    data = with_ending(ending)
    told = Told(marked=True, size=queue_size(data))
    for length in range(1, len(data) + 1):
        with pytest.raises(TruncatedError):
            whole.whole(BytesSpool(data[:length]), told, os.getppid())


def test_cut_anywhere_with_the_mark_alone() -> None:
    """Without the size only a cut right behind one of its own blank lines looks like the message's end."""
    data = with_ending(b"end\n")
    passed = []
    for length in range(1, len(data) + 1):
        try:
            whole.whole(BytesSpool(data[:length]), MARKED, os.getppid())
        except TruncatedError:
            continue
        passed.append(length)
    assert passed == [at for at in range(len(data)) if data[:at].endswith(b"\n\n")]


def test_lines_across_windows() -> None:
    """The size is right for lines that no window of the file holds whole."""
    data = b"Received: by mx\n\n" + b"".join(b"x" * length + b"\n" for length in range(0, 5000, 61))
    for window in (1, 7, 100, 4096):
        spool = support.BytesSpool(data)
        spool._window = window
        assert not whole.is_short(spool, queue_size(data))
        assert whole.is_short(spool, queue_size(data) + 1)


def test_only_pipe_may_be_wrong_about_the_size(gateway: Gateway) -> None:
    """A milter that drops fields leaves ${size} too large: where pipe(8) lives its end of stdin is believed."""
    arguments = [f"--size={queue_size(PLAIN) + 244}", "--end=blank-line", *gateway.argv()]
    assert "shorter than Postfix has it" in deferred(gateway.pipe(PLAIN + b"\n", arguments))
    assert gateway.calls == []
    ended = fed(gateway, PLAIN + b"\n", arguments, "alive")
    assert delivered(ended) == "passed (no attachments)"
    assert gateway.sent == PLAIN


@pytest.mark.parametrize(
    "argument", ["--end=", "--end=eof", "--size=", "--size=${size}", "--size=-1", "--size=1.5", "--size=²"]
)
def test_other_values_are_refused(argument: str) -> None:
    """The two options have a value that can be used, or the message waits."""
    with pytest.raises(UsageError, match=argument.partition("=")[0]):
        pipe.parse([os.fsencode(argument), b"-f", b"a", b"--", b"b"])


def test_without_the_options_nothing_is_taken_off(gateway: Gateway) -> None:
    """The lines of an older master.cf go on working: a last blank line is the message's own."""
    data = PLAIN + b"\n"
    delivered(gateway.pipe(data, gateway.argv()))
    assert gateway.sent == data


@pytest.mark.parametrize("data", [PLAIN, PLAIN + b"\n\n\n", BIG], ids=["plain", "blank lines", "changed"])
def test_through_the_door(gateway: Gateway, data: bytes) -> None:
    """What sendmail gets has the message's own blank lines and no other."""
    delivered(gateway.pipe(data))
    ((argv, sent),) = gateway.calls
    assert argv[-1] == "reader@example.net"
    assert sent.endswith(b"\n\n") == data.endswith(b"\n\n")
    assert data is BIG or sent == data


# --- The parent

FEEDER = """
import ctypes, fcntl, os, sys, termios, time

said, cut, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
message = sys.stdin.buffer.read()
ctypes.CDLL(None).prctl(15, b"pipe", 0, 0, 0)  # PR_SET_NAME
reader, writer = os.pipe()
parent = os.getpid()
if when == "killed":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if os.fork() == 0:
    os.close(writer)
    os.dup2(reader, 0)
    out = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    while when == "before" and os.getppid() == parent:
        time.sleep(0.001)
    os.execv(sys.argv[4], sys.argv[4:])
os.close(reader)
if cut:
    os.write(writer, message[:cut])
if when in ("while", "killed"):  # until it has been read: whoever reads knows its parent by then
    end = time.monotonic() + 20
    while fcntl.ioctl(writer, termios.FIONREAD, bytes(4)) != bytes(4) and time.monotonic() < end:
        time.sleep(0.001)
if when == "killed":
    # One processor, and for us what others leave of it: who waits for the end of our pipe runs before we are gone.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.kill(parent, 9)
if when in ("before", "while"):
    os._exit(0)
view = memoryview(message)
while view:
    view = view[os.write(writer, view):]
os.close(writer)
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def fed(
    gateway: Gateway, data: bytes, arguments: list[str], when: str, cut: int = 0, *, adopted: bool = False
) -> Ended:
    """Run the door below a process that is called like pipe(8) and feeds it: whole, or a part of it until it dies."""
    said = gateway.root / f"said-{time.monotonic_ns()}"
    argv = [sys.executable, "-c", FEEDER, str(said), str(cut), when, *gateway.launcher, *arguments]
    before = children() if adopted else set()
    if adopted:
        subreaper(1)
    try:
        done = subprocess.run(argv, input=data, env=gateway.environment, timeout=30, check=False)
        status = done.returncode
        if when in ("before", "while", "killed"):
            status = 75  # nobody is left to hear it
            end = time.monotonic() + 20
            while not (said.exists() and said.read_bytes().endswith(b"\n")):
                assert time.monotonic() < end
                time.sleep(0.01)
    finally:
        if adopted:
            subreaper(0)
            for pid in children() - before:
                os.waitpid(pid, 0)
    return Ended(status, said.read_bytes(), b"")


def subreaper(on: int) -> None:
    """Let orphans become our children, as below a service manager or a container's runtime (PR_SET_CHILD_SUBREAPER)."""
    assert ctypes.CDLL(None).prctl(36, on, 0, 0, 0) == 0


def children() -> set[int]:
    """Return the processes whose parent we are."""
    return {int(word) for word in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}


HALF = PLAIN + b"and more\n\nand more\n"
CUTS = {
    "nothing": 0,
    "an octet": 1,
    "within the header": 20,
    "behind the header": PLAIN.index(b"\n\n") + 2,
    "within a line": len(PLAIN) - 2,
    "behind a line": len(PLAIN),
    "behind a blank line": HALF.rindex(b"\n\n") + 2,
    "all but the mark": len(HALF),
}


@pytest.mark.parametrize("adopted", [False, True], ids=["init", "subreaper"])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_parent_that_dies_before_we_start(gateway: Gateway, cut: int, adopted: bool) -> None:
    """Killed before Python has even begun, pipe(8) leaves a part of the message: none of it is sent."""
    arguments = gateway.argv(data=HALF)
    reason = deferred(fed(gateway, HALF + b"\n", arguments, "before", cut, adopted=adopted))
    told = ["no message on stdin"] if not cut else ["came in without its end", "came in shorter"]
    assert any(text in reason for text in [*told, "is gone"]), reason
    assert gateway.calls == []


def test_a_parent_that_dies_early_with_an_older_master_cf(gateway: Gateway) -> None:
    """Without the options a parent of 1, which pipe(8) never is, still tells."""
    if children_of_init_elsewhere():
        pytest.skip("orphans here do not become children of process 1")
    assert "is gone" in deferred(fed(gateway, HALF, gateway.argv(), "before", len(PLAIN)))
    assert gateway.calls == []


def children_of_init_elsewhere() -> bool:
    """Whether something else than process 1 adopts orphans here."""
    code = (
        "import os, time\nif os.fork(): os._exit(0)\nparent = os.getppid()\n"
        "end = time.monotonic() + 5\n"
        "while os.getppid() == parent and parent != 1 and time.monotonic() < end: time.sleep(0.01)\n"
        "print(os.getppid())"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() != b"1"


@pytest.mark.parametrize("adopted", [False, True], ids=["init", "subreaper"])
def test_a_parent_that_dies_later(gateway: Gateway, adopted: bool) -> None:
    """Killed while we read, with any master.cf, pipe(8) leaves nothing that is sent."""
    deferred(fed(gateway, HALF, gateway.argv(), "while", len(PLAIN), adopted=adopted))
    assert gateway.calls == []


@pytest.mark.parametrize("options", ["with mark and size", "older"])
def test_a_parent_that_is_dying(gateway: Gateway, options: str) -> None:
    """A killed pipe(8) closes its end before it stops to be our parent: that end of stdin is not the message's."""
    arguments = gateway.argv() if options == "older" else gateway.argv(data=HALF)
    for _ in range(20):
        deferred(fed(gateway, HALF + b"\n", arguments, "killed", CUTS["behind a blank line"]))
    assert gateway.calls == []


def test_below_no_parent_at_all(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    """A parent of 1, or one outside of our namespace, is not pipe(8): whole or not, the message waits."""
    for parent in (0, 1):
        reader, writer = os.pipe()
        os.write(writer, PLAIN)
        os.close(writer)
        monkeypatch.setattr(pipe, "receive", lambda _, workspace, fd=reader: receive(fd, workspace))
        monkeypatch.setattr(os, "getppid", lambda parent=parent: parent)
        alarms = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
        try:
            status, line = pipe.main([os.fsencode(argument) for argument in gateway.argv()], parent)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in alarms.items():
                signal.signal(number, handler)
            os.close(reader)
        assert (status, "is gone" in line) == (75, True)
    assert gateway.calls == []
