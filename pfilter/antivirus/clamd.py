"""One stream of octets to clamd, one verdict back (clamd(8), INSTREAM).

Not a client library: those on PyPI read whole files, or take the end of the connection at clamd's size limit for a
failure, and a message over the limit would then be tried for ever.
"""

from select import POLLIN, poll
from time import monotonic

from pfilter.base import sockets
from pfilter.base.frozen import Frozen
from pfilter.base.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
    from collections.abc import Iterable
    from typing import Literal

    Status = Literal["clean", "infected", "unscanned", "error"]

REPLY_LIMIT = 4096  # octets
# With AlertExceedsMax clamd reports what it did not look into as if it were a virus of this name.
EXCEEDED = "Heuristics.Limits.Exceeded"


class Verdict(Frozen):
    """`status` is "clean", "infected", "unscanned" (over clamd's limits) or "error" (clamd could not be asked).

    `reason` is the signature's name, or a sentence.
    """

    status: "Status"
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether it stands for the whole message, whatever its other parts are."""
        return self.status == "infected" or self.status == "error"


CLEAN = Verdict("clean")


def scan(chunks: "Iterable[bytes]", server: str, seconds: float) -> Verdict:
    """Ask clamd about octets in chunks; `server` is a path or `host:port`. Raises what the chunks raise."""
    end = monotonic() + seconds
    try:
        connection = sockets.connect(server, seconds)
    except OSError as error:
        return Verdict("error", f"clamd at {server}: {error.strerror or error}")
    try:
        told = _send(connection, chunks, end)
        return _read(connection, end, told=told)
    except TimeoutError:
        return Verdict("error", f"clamd at {server} took longer than {seconds:.0f} s")
    finally:
        connection.close()


def _send(connection: "_socket.socket", chunks: "Iterable[bytes]", end: float) -> bool:
    """Send it all, unless clamd answers or hangs up before; whether it took it all. Raises TimeoutError."""
    answers = poll()
    answers.register(connection.fileno(), POLLIN)
    if not _written(connection, b"zINSTREAM\0", end):
        return False
    for chunk in chunks:
        if not chunk:
            continue  # no octets would be the end of the stream
        if answers.poll(0) or not _written(connection, len(chunk).to_bytes(4, "big"), end):
            return False
        if not _written(connection, chunk, end):
            return False
    return _written(connection, bytes(4), end)


def _written(connection: "_socket.socket", octets: bytes, end: float) -> bool:
    """Write, or return False where clamd has hung up: what it had to say stands in its answer. Raises TimeoutError."""
    connection.settimeout(_left(end))
    try:
        connection.sendall(octets)
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


def _left(end: float) -> float:
    remaining = end - monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _read(connection: "_socket.socket", end: float, *, told: bool) -> Verdict:
    reply = b""
    while b"\0" not in reply and len(reply) < REPLY_LIMIT:
        connection.settimeout(_left(end))
        try:
            received = connection.recv(REPLY_LIMIT)
        except TimeoutError:
            raise
        except OSError:
            received = b""
        if not received:
            break
        reply += received
    text = reply.partition(b"\0")[0].decode("utf-8", "replace").strip().removeprefix("stream: ")
    text = printable(text)
    if text.endswith(" FOUND"):
        name = text.removesuffix(" FOUND")
        return Verdict("unscanned" if name.startswith(EXCEEDED) else "infected", name)
    if text == "OK" and told:
        return CLEAN
    if "size limit exceeded" in text:
        return Verdict("unscanned", "over clamd's StreamMaxLength")
    return Verdict("error", f"clamd answered {text!r}" if text else "clamd closed the connection")
