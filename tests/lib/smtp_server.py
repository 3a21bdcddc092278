"""An SMTP server with a script of what it answers."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

EHLO = b"250-mx.example.org\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 XFORWARD NAME ADDR HELO IDENT"
PIPELINING = EHLO.replace(b"250 XFORWARD", b"250-PIPELINING\r\n250 XFORWARD")


class Server:
    """An SMTP server on the loopback interface, with a script of what it answers, by verb; None hangs up.

    A list is what it answers each time, the last of it from then on.
    """

    def __init__(
        self,
        replies: "Mapping[bytes, Any] | None" = None,
        greeting: "bytes | None" = b"220 hi",
        address: str = "127.0.0.1:0",
        sessions: int = 1,
    ) -> None:
        self.replies: dict[bytes, Any] = {b"EHLO": EHLO, b"DATA": b"354 go", **(replies or {})}
        self.greeting = greeting
        self.commands: list[bytes] = []
        self.dot_delay = 0.0  # seconds before the answer to the final dot
        self.data = b""
        self.messages: list[bytes] = []  # those that were ended by a dot
        self.talk: dict[int, int] = {}  # after how many octets it hangs up, by the number of the session
        self.said = b""  # in this session
        self._limit: int | None = None
        self.sessions = sessions
        self._listener = socket.create_server((address.partition(":")[0], int(address.partition(":")[2])))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the sessions to end."""
        self._thread.join(20)
        self._listener.close()

    def close(self) -> None:
        """Take no more sessions, and wait for those that there are to end."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.stop()

    def _serve(self) -> None:
        for number in range(self.sessions):
            self.said = b""
            self._limit = self.talk.get(number)
            try:
                self._session()
            except OSError:
                return

    def _session(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # some replies come one after the other
        with connection, connection.makefile("rb") as lines:
            try:
                if not self._answer(connection, self.greeting):
                    return
                for line in lines:
                    self.commands.append(line)
                    verb = line.strip().upper().split(b" ")[0].split(b":")[0]
                    reply = self._reply(verb, line)
                    if not self._answer(connection, reply):
                        return
                    if verb == b"DATA" and (reply or b"").startswith(b"3"):
                        self._read_data(lines)
                        time.sleep(self.dot_delay)
                        if not self._answer(connection, self._next(b".")):
                            return
            except OSError:
                return

    def _reply(self, verb: bytes, line: bytes) -> "bytes | None":
        return self._next(line.strip() if line.strip() in self.replies else verb)

    def _next(self, key: bytes) -> "bytes | None":
        found: bytes | list[bytes | None] | None = self.replies.get(key, b"250 ok")
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found

    def _read_data(self, lines: "Iterator[bytes]") -> None:
        message = b""
        for line in lines:
            if line == b".\r\n":
                self.messages.append(message)
                return
            message += line
            self.data += line

    def _answer(self, connection: socket.socket, reply: "bytes | None") -> bool:
        if reply is None:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if reply == b"silence":
            return True
        octets = reply + b"\r\n"
        self.said += octets
        if self._limit is not None and len(self.said) >= self._limit:
            connection.sendall(octets[: len(octets) - (len(self.said) - self._limit)])
            connection.shutdown(socket.SHUT_RDWR)
            return False
        connection.sendall(octets)
        return True

    @property
    def accepted(self) -> bool:
        """Whether a message came whole."""
        return bool(self.messages)

    @property
    def verbs(self) -> list[bytes]:
        """The verbs that came, in order."""
        return [line.split()[0].upper() for line in self.commands]
