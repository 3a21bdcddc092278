"""An SMTP server with a script of what it answers."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping

EHLO = b"250-mx.example.org\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 XFORWARD NAME ADDR HELO IDENT"


class Server:
    """An SMTP server on the loopback interface, with a script of what it answers."""

    def __init__(
        self,
        replies: "Mapping[bytes, bytes | None] | None" = None,
        greeting: "bytes | None" = b"220 hi",
        address: str = "127.0.0.1:0",
        sessions: int = 1,
    ) -> None:
        self.replies: dict[bytes, bytes | None] = {b"EHLO": EHLO, b"DATA": b"354 go", **(replies or {})}
        self.greeting = greeting
        self.commands: list[bytes] = []
        self.dot_delay = 0.0  # seconds before the answer to the final dot
        self.data = b""
        self.accepted = False
        self.sessions = sessions
        self._listener = socket.create_server((address.partition(":")[0], int(address.partition(":")[2])))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the sessions to end."""
        self._thread.join(20)
        self._listener.close()

    def _serve(self) -> None:
        for _ in range(self.sessions):
            self._session()

    def _session(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            try:
                if not self._answer(connection, self.greeting):
                    return
                for line in lines:
                    self.commands.append(line)
                    verb = line.strip().upper().split(b" ")[0].split(b":")[0]
                    if not self._answer(connection, self._reply(verb, line)):
                        return
                    if verb == b"DATA" and (self.replies[b"DATA"] or b"").startswith(b"3"):
                        self._read_data(lines)
                        time.sleep(self.dot_delay)
                        if not self._answer(connection, self.replies.get(b".", b"250 ok")):
                            return
            except OSError:
                return

    def _reply(self, verb: bytes, line: bytes) -> "bytes | None":
        if verb == b"RCPT":
            return self.replies.get(line.strip(), self.replies.get(verb, b"250 ok"))
        return self.replies.get(verb, b"250 ok")

    def _read_data(self, lines: "Iterator[bytes]") -> None:
        for line in lines:
            if line == b".\r\n":
                self.accepted = True
                return
            self.data += line

    def _answer(self, connection: socket.socket, reply: "bytes | None") -> bool:
        if reply is None:
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if reply != b"silence":
            connection.sendall(reply + b"\r\n")
        return True

    @property
    def verbs(self) -> list[bytes]:
        """The verbs that came, in order."""
        return [line.split()[0].upper() for line in self.commands]
