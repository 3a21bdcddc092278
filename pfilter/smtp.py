"""One message to an SMTP server (RFC 5321), for all recipients or for none.

Not smtplib: its sendmail() goes on to DATA when only some recipients were refused, and importing it costs 35 ms.
Any refusal, 4xx or 5xx, means RSET and an error: a broken relay must not bounce a company's mail.
"""

import os
from time import monotonic

from pfilter import sockets
from pfilter.errors import ReinjectError
from pfilter.model import Envelope
from pfilter.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

REPLY_LIMIT = 1 << 16  # octets of one reply


def send(
    message: Spool,
    envelope: Envelope,
    server: str,
    seconds: float,
    meanwhile: "Callable[[], None] | None" = None,
) -> None:
    """Send a message with its envelope within so many seconds. Raises ReinjectError.

    `meanwhile` is called while the server takes the message over, and must not raise.
    """
    _refuse_controls(envelope)
    taken = [False]  # made now: no lack of memory counts once it is set
    try:
        with _Session(server, seconds) as session:
            session.transaction(message, envelope, meanwhile, taken)
    except MemoryError:
        if not taken[0]:
            raise
    except OSError as error:
        raise ReinjectError(f"SMTP server {server}: {error.strerror or error}") from error


class _Session:
    def __init__(self, server: str, seconds: float) -> None:
        self.name = own_name(server)
        self.end = monotonic() + seconds
        self.socket = sockets.connect(server, seconds)
        self.buffer = b""
        self.extensions: dict[bytes, bytes] = {}

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.socket.close()
        except OSError:
            return  # what the server said counts

    def transaction(
        self, message: Spool, envelope: Envelope, meanwhile: "Callable[[], None] | None", taken: list[bool]
    ) -> None:
        self.expect(b"2", "greeting")
        self.hello()
        self.forward(envelope)
        self.command(b"MAIL FROM:<" + envelope.sender + b">" + self.parameters(message, envelope), b"2")
        for recipient in envelope.recipients:
            self.command(b"RCPT TO:<" + recipient + b">", b"2")
        self.command(b"DATA", b"3")
        ending = self.data(message)
        self.refuse_early_talk()
        self.write(ending)
        if meanwhile:
            meanwhile()
        self.expect(b"2", "end of data")
        taken[0] = True
        # The message is theirs now: nothing that fails from here on may look like a failure.
        try:
            self.write(b"QUIT\r\n")
        except (OSError, ReinjectError):
            return

    def hello(self) -> None:
        lines = self.command(b"EHLO " + self.name, b"2")
        for line in lines[1:]:
            keyword, _, rest = line.partition(b" ")
            self.extensions[keyword.upper()] = rest

    def forward(self, envelope: Envelope) -> None:
        """Tell the server who the client was (Postfix, XFORWARD_README), for its log."""
        offered = self.extensions.get(b"XFORWARD", b"").upper().split()
        address = f"IPV6:{envelope.client}" if ":" in envelope.client else envelope.client
        told = ((b"ADDR", address), (b"HELO", envelope.helo), (b"IDENT", envelope.queue_id))
        known = [name + b"=" + _xtext(value) for name, value in told if value and name in offered]
        if known and envelope.client:
            self.write(b"XFORWARD " + b" ".join(known) + b"\r\n")
            self.reply()  # refused or not: only the log would be poorer

    def parameters(self, message: Spool, envelope: Envelope) -> bytes:
        found = b""
        if b"SIZE" in self.extensions:
            found += b" SIZE=%d" % message.size
        if b"8BITMIME" in self.extensions and not _is_ascii(message):
            found += b" BODY=8BITMIME"
        if not all(address.isascii() for address in (envelope.sender, *envelope.recipients)):
            # Only addresses need it (RFC 6531, 3.4); asked for headers' sake, mail bounces at relays without it.
            found += b" SMTPUTF8"
        return found

    def data(self, message: Spool) -> bytes:
        """Send the content: CRLF line ends, leading dots doubled (RFC 5321, 4.5.2); return what is to end it."""
        at_start = True
        held = b""
        for chunk in message.windows(0, message.size):
            text = held + chunk
            held = b"\r" if text.endswith(b"\r") else b""
            text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            if not text:
                continue
            if at_start and text.startswith(b"."):
                text = b"." + text
            text = text.replace(b"\n.", b"\n..")
            at_start = text.endswith(b"\n")
            self.write(text)
        if held:
            self.write(held)
        return b".\r\n" if at_start and not held else b"\r\n.\r\n"

    def refuse_early_talk(self) -> None:
        """Raise where the server has said something before the end of data: it can't be the answer to that."""
        self.socket.settimeout(0)
        try:
            self.buffer += self.socket.recv(4096)
        except BlockingIOError:
            pass
        if self.buffer:
            self.expect(b"nothing", "data before its end")

    def command(self, line: bytes, expected: bytes) -> list[bytes]:
        """Send a command and return the lines of the reply's text."""
        self.write(line + b"\r\n")
        return self.expect(expected, line.split(b":")[0].decode("ascii", "replace"))

    def expect(self, expected: bytes, what: str) -> list[bytes]:
        code, lines = self.reply()
        if not code.startswith(expected):
            try:
                self.write(b"RSET\r\nQUIT\r\n")
            except OSError:
                pass  # they may hang up; what they said counts
            said = b" ".join(lines).decode("utf-8", "replace")
            raise ReinjectError(f"SMTP server refused {what}: {code.decode('ascii', 'replace')} {said}")
        return lines

    def reply(self) -> tuple[bytes, list[bytes]]:
        """Read a reply (RFC 5321, 4.2): its code, and the text of each line."""
        lines: list[bytes] = []
        while True:
            while b"\n" not in self.buffer:
                self.set_timeout()
                received = self.socket.recv(4096)
                if not received:
                    raise ReinjectError("SMTP server closed the connection")
                self.buffer += received
                if len(self.buffer) > REPLY_LIMIT:
                    raise ReinjectError("SMTP server sends a reply without end")
            line, _, self.buffer = self.buffer.partition(b"\n")
            line = line.rstrip(b"\r")
            if len(line) < 3 or not line[:3].isdigit() or len(lines) > 1000:
                raise ReinjectError("SMTP server sends what is no reply")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return line[:3], lines

    def write(self, octets: bytes) -> None:
        self.set_timeout()
        self.socket.sendall(octets)

    def set_timeout(self) -> None:
        remaining = self.end - monotonic()
        if remaining <= 0:
            raise ReinjectError("SMTP server took too long")
        self.socket.settimeout(remaining)


def own_name(server: str) -> bytes:
    """Return what we call ourselves to a server (RFC 5321, 4.1.1.1), and nobody else does: it marks loops.

    Another pfilter on this machine has another port to hand its mail back to.
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in os.uname().nodename).strip("-.")
    port = server.rpartition(":")[2]
    return f"pfilter-{port if port.isdecimal() else 0}.{host or 'localhost'}".encode("ascii")


def _is_ascii(message: Spool) -> bool:
    return all(chunk.isascii() for chunk in message.windows(0, message.size))


def _xtext(value: str) -> bytes:
    """Encode as RFC 3461, 4 has it."""
    octets = value.encode("utf-8", "surrogateescape")
    return b"".join(bytes([o]) if 33 <= o <= 126 and o not in b"+=" else b"+%02X" % o for o in octets)


def _refuse_controls(envelope: Envelope) -> None:
    for address in (envelope.sender, *envelope.recipients):
        if any(octet < 32 or octet == 127 for octet in address):
            raise ReinjectError("an address with control characters")
