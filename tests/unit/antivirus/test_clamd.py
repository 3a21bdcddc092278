"""The question to clamd: a real one, and servers that behave worse than it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pfilter.antivirus import clamd
from tests.lib.clamd_server import EICAR, SIGNATURE, Clamd, found
from tests.lib.support import noise

MB = 1 << 20


def ask(data: bytes, server: str, *, size: int = 1 << 16, seconds: float = 20) -> clamd.Verdict:
    """Ask about octets in chunks."""
    return clamd.scan((data[start : start + size] for start in range(0, len(data), size)), server, seconds)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_clean_and_infected(scanner: str, size: int) -> None:
    """A real clamd says what is in octets, in whatever chunks they come."""
    assert ask(noise(1000), scanner, size=size) == clamd.CLEAN
    assert ask(EICAR, scanner, size=size) == clamd.Verdict("infected", f"{SIGNATURE}.UNOFFICIAL")
    assert ask(b"", scanner) == clamd.CLEAN


def test_over_the_limit_of_the_stream_is_not_scanned(scanner: str) -> None:
    """Over StreamMaxLength clamd hangs up: that is no failure, which would come again, and never "clean"."""
    for _ in range(5):
        verdict = ask(noise(20 * MB), scanner, size=MB)
        assert verdict == clamd.Verdict("unscanned", "over clamd's StreamMaxLength")


def test_over_the_limit_of_a_file_is_not_scanned(tmp_path: Path) -> None:
    """What clamd did not look into for its size is no virus, and not clean."""
    if not found():
        pytest.skip("no clamd here: apt-get install clamav-daemon")
    small = Clamd(tmp_path / "clamd", file="100K")
    try:
        verdict = ask(noise(MB), small.socket)
    finally:
        small.stop()
    assert verdict.status == "unscanned"
    assert verdict.reason.startswith("Heuristics.Limits.Exceeded")


@pytest.fixture
def server(tmp_path: Path) -> "Iterator[Callable[[Callable[[socket.socket], None]], str]]":
    """Return what starts a server for one connection, which behaves as it is told."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    def start(behave: "Callable[[socket.socket], None]") -> str:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.settimeout(10)

        def run() -> None:
            connection, _ = listener.accept()
            with connection, listener:
                connection.settimeout(10)
                behave(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return str(tmp_path / "socket")

    yield start
    done.set()
    for thread in threads:
        thread.join(15)


def drain(connection: socket.socket) -> None:
    """Read until the end of the stream."""
    data = b""
    while not data.endswith(bytes(4)):
        data += connection.recv(65536)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"stream: OK\0", "clean"),
        (b"stream: X FOUND\0", "infected"),
        (b"stream: a b FOUND\0", "infected"),
        (b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0", "unscanned"),
        (b"INSTREAM size limit exceeded. ERROR\0", "unscanned"),
        (b"stream: Can't allocate memory ERROR\0", "error"),
        (b"", "error"),
        (b"\0", "error"),
        (b"OK but not quite\0", "error"),
        (b"x" * 10_000, "error"),
        (b"stream: \xff\n\x1b[0m ERROR\0", "error"),
    ],
)
def test_answers(server: "Callable[..., str]", answer: bytes, status: str) -> None:
    """Only a clear "OK" is clean, and a reason is one printable line."""

    def behave(connection: socket.socket) -> None:
        drain(connection)
        connection.sendall(answer)

    verdict = ask(b"data", server(behave))
    assert verdict.status == status
    assert verdict.reason.isprintable()


def test_an_early_ok_is_not_believed(server: "Callable[..., str]") -> None:
    """What answers "OK" before it has seen all has not looked at all."""

    def behave(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b"stream: OK\0")

    assert ask(noise(8 * MB), server(behave)).status == "error"


def test_an_empty_chunk_is_not_the_end(scanner: str) -> None:
    """What decodes to nothing at first is asked about to its end."""
    verdict = clamd.scan([b"", b"x", b"", EICAR, b""], scanner, 20)
    assert verdict.status == "infected"


def test_what_can_not_be_read_is_no_trouble_of_clamds(scanner: str) -> None:
    """A message that can't be read is an error of its own, at once."""

    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError):
        clamd.scan(chunks(), scanner, 20)


def test_a_full_queue_of_connections_is_waited_for(tmp_path: Path) -> None:
    """A clamd that is busy is no clamd that is away."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "busy"))
    listener.listen(0)
    waiting = []
    with pytest.raises(BlockingIOError):  # noqa: PT012  # how many fit is the kernel's business
        for _ in range(100):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(tmp_path / "busy"))

    def serve() -> None:
        time.sleep(0.3)
        for _ in waiting:
            connection, _ = listener.accept()
            connection.settimeout(10)
            if connection.recv(10):
                drain(connection)
                connection.sendall(b"stream: OK\0")
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for one in waiting:
        one.close()
    verdict = ask(b"x", str(tmp_path / "busy"))
    thread.join(15)
    listener.close()
    assert verdict == clamd.CLEAN


def test_hanging_up_is_an_error(server: "Callable[..., str]") -> None:
    """A clamd that dies in between is asked again later."""
    assert ask(noise(8 * MB), server(lambda connection: connection.close())).status == "error"


@pytest.mark.parametrize("size", [10, 8 * MB])
def test_silence_ends_in_time(server: "Callable[..., str]", size: int) -> None:
    """A clamd that reads nothing, or never answers, costs the time limit and no more."""
    stop = threading.Event()
    verdict = ask(noise(size), server(lambda _: stop.wait(10) and None), seconds=0.3)
    stop.set()
    assert verdict.status == "error"
    assert "took longer" in verdict.reason


@pytest.mark.parametrize("address", ["/nonexistent/clamd.ctl", "127.0.0.1:1", "[::1]:1"])
def test_nobody_there(address: str) -> None:
    """No clamd is an error that names where it should be."""
    verdict = ask(b"x", address)
    assert verdict.status == "error"
    assert address in verdict.reason
