"""A connection to an SMTP server (RFC 5321, RFC 2920): what is written, what is answered, and until when.

Knows replies, not messages. The socket never blocks: to look whether the server has said something unasked is one
system call, and so is a write for which there is room.
"""

import select
from time import monotonic

from pfilter.base import sockets
from pfilter.base.errors import ReinjectError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

READ = 1 << 14  # octets
REPLY_LIMIT = 1 << 16  # octets of one reply
CLOSING = b"421"  # RFC 5321, 3.8: may come at any place; then the server closes


class TooLongError(ReinjectError):
    """The time limit of this step is over."""


class LostError(ReinjectError):
    """The server closed the connection, or says that it does."""


class Connection:
    """One connection, on which `hello` was said. All that is said and heard on it has to happen before `end`.

    `extensions` are what the server offers: keyword in upper case, arguments. `peer` is what it calls itself.
    """

    def __init__(self, server: str, end: float, name: bytes) -> None:
        self.end = end
        self.extensions: dict[bytes, bytes] = {}
        self.peer = b""
        self.told: frozenset[bytes] = frozenset()  # what XFORWARD has said here of a message before
        self.in_data = False  # DATA is said: what is written from now on may be content to the server
        self._buffer = b""
        self._socket = sockets.connect(server, max(0.001, end - monotonic()))
        self._socket.setblocking(False)
        self._poll = select.poll()
        try:
            self.expect(b"2", "greeting")
            self._hello(name)
        except BaseException:
            self.close()
            raise

    def _hello(self, name: bytes) -> None:
        lines = self.command(b"EHLO " + name, b"2")
        self.peer = lines[0].split(b" ")[0]
        for line in lines[1:]:
            keyword, _, rest = line.partition(b" ")
            self.extensions[keyword.upper()] = rest

    def is_quiet(self) -> bool:
        """Whether it can be used for another message: the server has neither closed it nor said a word unasked."""
        if self._buffer:
            return False
        try:
            self._buffer = self._socket.recv(READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def command(self, line: bytes, expected: bytes) -> list[bytes]:
        """Send a command and return the lines of the reply's text."""
        self.ask(line + b"\r\n")
        return self.expect(expected, line.split(b":")[0].decode("ascii", "replace"))

    def ask(self, commands: bytes, *, data: bool = False) -> None:
        """Send commands, of which the last may be DATA; the replies to all that was sent before have been read."""
        if self._buffer:
            self.expect(b"nothing", "commands before they came")
        self.in_data = data
        self.write(commands)

    def expect(self, expected: bytes, what: str) -> list[bytes]:
        """Return the lines of a reply. Raises ReinjectError where its code does not begin as it should."""
        code, lines = self.reply()
        if not code.startswith(expected):
            self.refuse(code, lines, what)
        return lines

    def refuse(self, code: bytes, lines: list[bytes], what: str) -> "NoReturn":
        """Give the transaction up, and raise what the server said."""
        self.leave()
        raise (LostError if code == CLOSING else ReinjectError)(
            f"SMTP server refused {what}: {readable(b' '.join([code, *lines]))}"
        )

    def leave(self) -> None:
        """Say that the transaction is given up, where the server is sure to read it as commands."""
        if self.in_data:
            return
        try:
            self.write(b"RSET\r\nQUIT\r\n")
        except (OSError, ReinjectError):
            return  # they may hang up; what they said counts

    def refuse_early_talk(self) -> None:
        """Raise where the server has said something before the end of data: it can't be the answer to that."""
        if not self.is_quiet():
            self.expect(b"nothing", "data before its end")

    def refuse_early_words(self) -> None:
        """Raise where that has come together with the last reply."""
        if self._buffer:
            self.expect(b"nothing", "data before its end")

    def reply(self) -> tuple[bytes, list[bytes]]:
        """Read a reply (RFC 5321, 4.2): its code, and the text of each line."""
        lines: list[bytes] = []
        size = 0
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if size + len(line) > REPLY_LIMIT:
                raise ReinjectError("SMTP server sends a reply that does not end")
            if not found:
                self._receive()
                continue
            self._buffer = rest
            size += len(line) + 1
            line = line.rstrip(b"\r")
            if len(line) < 3 or not line[:3].isdigit() or len(lines) > 1000:
                raise ReinjectError("SMTP server sends something that is not a reply")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return line[:3], lines

    def _receive(self) -> None:
        while True:
            self._wait(select.POLLIN)
            try:
                received = self._socket.recv(READ)
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise _lost(error) from error
            if not received:
                raise LostError("SMTP server closed the connection")
            self._buffer += received
            return

    def write(self, octets: bytes) -> None:
        """Write all octets. Raises LostError, TooLongError, OSError."""
        left = memoryview(octets)
        self._remaining()
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except ConnectionError as error:
                raise _lost(error) from error

    def _wait(self, for_what: int) -> None:
        self._poll.register(self._socket, for_what)
        if not self._poll.poll(self._remaining() * 1000):
            raise TooLongError("SMTP server took too long")

    def _remaining(self) -> float:
        remaining = self.end - monotonic()
        if remaining <= 0:
            raise TooLongError("SMTP server took too long")
        return remaining

    def close(self) -> None:
        """Hang up."""
        try:
            self._socket.close()
        except OSError:
            return  # what the server said counts


def _lost(error: ConnectionError) -> LostError:
    return LostError(f"SMTP server closed the connection: {error.strerror or error}")


def readable(text: bytes) -> str:
    """Return what a server said as one line for people."""
    from pfilter.base.text import printable

    return printable(text.decode("utf-8", "replace"))
