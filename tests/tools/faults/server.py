"""An SMTP server that records what it takes, and goes wrong as it is told: by verb, or after so many octets."""

import contextlib
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from tests.tools.faults.delivery import Delivery

REPLIES = {
    "": "220 peer",
    "EHLO": "250-peer\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME",
    "DATA": "354 go on",
    "QUIT": "221 bye",
}
END = "."  # the "verb" that ends the data
IDLE = 20.0  # seconds


@dataclass
class Script:
    """What goes wrong: replies by verb (None: hang up), seconds before them, octets after which the line is dead."""

    replies: dict[str, str | None] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    takes: int = -1  # octets that are read before it hangs up; -1: all
    gives: int = -1  # octets that are written before it hangs up
    resets: bool = False  # hangs up by RST
    early: str = ""  # said after DATA's reply, before the data has ended
    parting: str | None = ""  # said by itself after a message was taken, and then it hangs up; None: hangs up at once
    message: int = -1  # which message all this is about, of those since the last reset; -1: each one
    session: int = -1  # which connection
    refuses: dict[str, str] = field(default_factory=dict)  # recipients, in every message, and what they are told


class _HungUp(Exception):  # noqa: N818  # no error: it is asked for
    pass


class Server:
    """One listening socket and one thread; sessions one after the other."""

    def __init__(self) -> None:
        self.script = Script()
        self.taken: list[Delivery] = []
        self.octets: list[tuple[int, int]] = []  # read and written in each session
        self.messages = 0  # begun
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def reset(self, script: Script | None = None) -> None:
        """Begin anew."""
        self.script = script or Script()
        self.taken = []
        self.octets = []
        self.messages = 0

    def settle(self) -> None:
        """Wait until no session is under way."""
        self._idle.wait(IDLE)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._idle.clear()
            script = self.script if self.script.session in (-1, len(self.octets)) else Script()
            session = _Session(connection, script, self)
            with contextlib.suppress(OSError, _HungUp), connection:
                try:
                    session.talk()
                finally:
                    if script.resets:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.octets.append((session.read, session.written))
            self._idle.set()


class _Session:
    def __init__(self, connection: socket.socket, script: Script, server: Server) -> None:
        self.connection = connection
        self.script = script
        self.server = server
        self.read = self.written = 0
        self.buffer = b""
        self.number = -1  # of the message
        self.sender: str | None = None
        self.readers: list[str] = []
        connection.settimeout(IDLE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            most = 1 << 16 if self.script.takes < 0 else self.script.takes - self.read
            got = self.connection.recv(most) if most > 0 else b""
            if not got:
                raise _HungUp
            self.read += len(got)
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def reply(self, verb: str, address: str = "") -> str | None:
        """Return what is said to a verb."""
        usual = REPLIES.get(verb, "250 ok")
        if verb == "RCPT":
            usual = self.script.refuses.get(address, usual)
        if verb == "RCPT" and self.sender is None:
            usual = "503 5.5.1 MAIL first"  # as in PIPELINING, where the client has not waited (RFC 2920)
        if verb == "DATA" and not self.readers:
            usual = "503 5.5.1 RCPT first"
        about = self.script.message in (-1, self.number) or verb in ("", "EHLO", "QUIT")
        return self.script.replies.get(verb, usual) if about else usual

    def say(self, verb: str, address: str = "") -> str:
        if verb in self.script.delays and self.script.message in (-1, self.number):
            time.sleep(self.script.delays[verb])
        reply = self.reply(verb, address)
        if reply is None:
            raise _HungUp
        self.write(reply.encode("latin-1") + b"\r\n")
        return reply

    def write(self, octets: bytes) -> None:
        left = len(octets) if self.script.gives < 0 else self.script.gives - self.written
        self.connection.sendall(octets[:left])
        self.written += min(left, len(octets))
        if left < len(octets):
            raise _HungUp

    def talk(self) -> None:
        self.say("")
        while True:
            line = self.line().decode("utf-8", "surrogateescape").strip()
            verb = line.split(" ")[0].upper()
            if verb == "MAIL":
                self.server.messages += 1
                self.number = self.server.messages - 1
            said = self.say(verb, _address(line))
            if verb == "QUIT":
                return
            if verb in ("RSET", "EHLO"):
                self.sender, self.readers = None, []
            if verb == "MAIL" and said.startswith("2"):
                self.sender, self.readers = _address(line), []
            if verb == "RCPT" and said.startswith("2"):
                self.readers.append(_address(line))
            if verb == "DATA" and said.startswith("354"):
                self.take(self.sender or "", tuple(self.readers))
                self.sender, self.readers = None, []

    def take(self, sender: str, readers: tuple[str, ...]) -> None:
        about = self.script.message in (-1, self.number)
        if self.script.early and about:
            self.write(self.script.early.encode("ascii") + b"\r\n")
        lines = []
        while (line := self.line()) != b".\r\n":
            lines.append(line.removeprefix(b".").replace(b"\r\n", b"\n"))
        # Whoever has read the final dot may have taken the message, whatever becomes of the reply.
        if (self.reply(END) or "250").startswith("2") and readers:
            self.server.taken.append(Delivery(sender, readers, b"".join(lines), time.time_ns()))
        self.say(END)
        if self.script.parting != "" and about:
            if self.script.parting:
                self.write(self.script.parting.encode("ascii") + b"\r\n")
            raise _HungUp


def _address(line: str) -> str:
    found = re.search(r"<(.*?)>", line)
    return found[1] if found else ""
