"""One message to an SMTP server (RFC 5321): in one transaction, for all recipients that have an address, or for none.

Not smtplib: its sendmail() goes on to DATA when recipients were refused for any reason, and importing it costs 35 ms.
Any refusal, 4xx or 5xx, means RSET and an error: a broken relay must not bounce a company's mail. Only a recipient who
is refused, for good, for the address alone is left out, and told of: the server would say so for ever.
"""

import os
from time import monotonic

from pfilter.base import sockets
from pfilter.base.errors import RecipientsError, ReinjectError
from pfilter.base.spool import Spool
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Self

REPLY_LIMIT = 1 << 16  # octets of one reply
SYNTAX_CODES = (b"501", b"553")  # of a recipient without a status of RFC 3463: the address (RFC 5321, 4.2.2)
SYNTAX_STATUS = "5.1.3"  # RFC 3463: bad destination mailbox address syntax
OF_THE_SENDER = (b"5.1.7", b"5.1.8")  # the other statuses about addresses are about the recipient's
TOO_MANY_CODES = (b"452", b"552")  # recipients (RFC 5321, 4.5.3.1.10)


def send(
    message: Spool,
    envelope: Envelope,
    server: str,
    seconds: float,
    done_seconds: float = 0,
    meanwhile: "Callable[[], None] | None" = None,
) -> tuple[Refused, ...]:
    """Send a message with its envelope; return the recipients refused for their addresses, who did not get it.

    Raises ReinjectError where nobody gets it, RecipientsError where all were refused for their addresses.
    All up to the final dot has so many seconds; the answer to that has `done_seconds` of its own, since a server that
    is only slow has the message (RFC 5321, 4.5.3.2.6: 10 minutes), or what is left where they are 0. `meanwhile` is
    called while the server takes the message over, and must not raise.
    """
    _refuse_controls(envelope)
    # Who was refused, once the message is taken. Made now: no lack of memory counts from then on.
    taken: list[tuple[Refused, ...] | None] = [None]
    try:
        with _Session(server, seconds) as session:
            return session.transaction(message, envelope, done_seconds, meanwhile, taken)
    except MemoryError:
        if taken[0] is None:
            raise
        return taken[0]
    except OSError as error:
        raise ReinjectError(f"SMTP server {server}: {error.strerror or error}") from error


class Way:
    """The way back to a server, for many messages."""

    def __init__(self, server: str) -> None:
        self.server = server

    def send(
        self,
        message: Spool,
        envelope: Envelope,
        seconds: float,
        done_seconds: float = 0,
        meanwhile: "Callable[[], None] | None" = None,
    ) -> tuple[Refused, ...]:
        """Send a message as `send` does."""
        return send(message, envelope, self.server, seconds, done_seconds, meanwhile)

    def close(self) -> None:
        """Hang up."""


class _TooLongError(ReinjectError):
    """The time limit of this step is over."""


class _Session:
    def __init__(self, server: str, seconds: float) -> None:
        self.name = own_name(server)
        self.end = monotonic() + seconds
        self.socket = sockets.connect(server, seconds)
        self.buffer = b""
        self.extensions: dict[bytes, bytes] = {}
        self.peer = b""  # what the server calls itself

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.socket.close()
        except OSError:
            return  # what the server said counts

    def transaction(
        self,
        message: Spool,
        envelope: Envelope,
        done_seconds: float,
        meanwhile: "Callable[[], None] | None",
        taken: "list[tuple[Refused, ...] | None]",
    ) -> tuple[Refused, ...]:
        self.expect(b"2", "greeting")
        self.hello()
        self.forward(envelope)
        self.command(b"MAIL FROM:<" + envelope.sender + b">" + self.parameters(message, envelope), b"2")
        refused = self.recipients(envelope)
        self.command(b"DATA", b"354")  # RFC 5321, 4.3.2: nothing else is the word to begin
        ending = self.data(message)
        self.refuse_early_talk()
        self.write(ending)
        if done_seconds:
            self.end = monotonic() + done_seconds
        if meanwhile:
            meanwhile()
        try:
            self.expect(b"2", "end of data")
        except _TooLongError as error:
            limit = f" within {done_seconds:.0f} s" if done_seconds else ""
            raise ReinjectError(
                f"SMTP server did not answer the end of data{limit}; it may have the message"
            ) from error
        taken[0] = refused
        # The message is theirs now: nothing that fails from here on may look like a failure.
        try:
            self.write(b"QUIT\r\n")
        except (OSError, ReinjectError):
            return refused
        return refused

    def hello(self) -> None:
        lines = self.command(b"EHLO " + self.name, b"2")
        self.peer = lines[0].split(b" ")[0]
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
            # As Postfix counts for its message_size_limit: by CRLF, what is just below would never be taken.
            found += b" SIZE=%d" % message.lf_size
        if b"8BITMIME" in self.extensions and not _is_ascii(message):
            found += b" BODY=8BITMIME"
        if not all(address.isascii() for address in (envelope.sender, *envelope.recipients)):
            # Only addresses need it (RFC 6531, 3.4); asked for headers' sake, mail bounces at relays without it.
            found += b" SMTPUTF8"
        return found

    def recipients(self, envelope: Envelope) -> tuple[Refused, ...]:
        """Name all recipients; return those refused for their addresses. Raises ReinjectError for any other refusal."""
        refused: list[Refused] = []
        for number, address in enumerate(envelope.recipients):
            self.write(b"RCPT TO:<" + address + b">\r\n")
            code, lines = self.reply()
            if code.startswith(b"2"):
                continue
            status = _status_of_address(code, lines[0])
            if not status:
                what = "RCPT TO"
                if code in TOO_MANY_CODES and number and _enhanced(lines[0])[1:] in ([], [b"5", b"3"]):
                    what = f"more (it takes {number} of {len(envelope.recipients)} recipients: smtpd_recipient_limit)"
                self.refuse(code, lines, what)
            prefix = status.encode("ascii") + b" "
            text = b" ".join([lines[0], *(line.removeprefix(prefix) for line in lines[1:])])
            said = f"{code.decode('ascii')} {_readable(text)}"
            refused.append(Refused(address=address, status=status, said=said, server=_readable(self.peer)))
        if len(refused) == len(envelope.recipients):
            self.leave()
            who = "the recipient" if len(refused) == 1 else f"all {len(refused)} recipients"
            raise RecipientsError(f"SMTP server refused {who}: {refused[0].said}", refused[0].status)
        return tuple(refused)

    def data(self, message: Spool) -> bytes:
        """Send the content: CRLF line ends, leading dots doubled (RFC 5321, 4.5.2); return what is to end it."""
        if message.wire:
            return self.data_in_wire_form(message, dotted=message.wire.dotted)
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

    def data_in_wire_form(self, message: Spool, *, dotted: bool) -> bytes:
        """Send a content as it is, but for leading dots, where there may be any; return what is to end it."""
        at_start = True
        for chunk in message.windows(0, message.size):
            text = chunk
            if dotted and b"." in text:
                if at_start and text.startswith(b"."):
                    text = b"." + text
                text = text.replace(b"\n.", b"\n..")
            at_start = chunk.endswith(b"\n")
            self.write(text)
        return b".\r\n" if at_start else b"\r\n.\r\n"

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
            self.refuse(code, lines, what)
        return lines

    def refuse(self, code: bytes, lines: list[bytes], what: str) -> "NoReturn":
        """Raise what the server said."""
        self.leave()
        raise ReinjectError(f"SMTP server refused {what}: {_readable(b' '.join([code, *lines]))}")

    def leave(self) -> None:
        """Give the transaction up."""
        try:
            self.write(b"RSET\r\nQUIT\r\n")
        except (OSError, ReinjectError):
            return  # they may hang up; what they said counts

    def reply(self) -> tuple[bytes, list[bytes]]:
        """Read a reply (RFC 5321, 4.2): its code, and the text of each line."""
        lines: list[bytes] = []
        while True:
            while b"\n" not in self.buffer:
                self.set_timeout()
                try:
                    received = self.socket.recv(4096)
                except TimeoutError as error:
                    raise _TooLongError("SMTP server took too long") from error
                if not received:
                    raise ReinjectError("SMTP server closed the connection")
                self.buffer += received
                if len(self.buffer) > REPLY_LIMIT:
                    raise ReinjectError("SMTP server sends a reply that does not end")
            line, _, self.buffer = self.buffer.partition(b"\n")
            line = line.rstrip(b"\r")
            if len(line) < 3 or not line[:3].isdigit() or len(lines) > 1000:
                raise ReinjectError("SMTP server sends something that is not a reply")
            lines.append(line[4:])
            if line[3:4] != b"-":
                return line[:3], lines

    def write(self, octets: bytes) -> None:
        self.set_timeout()
        self.socket.sendall(octets)

    def set_timeout(self) -> None:
        remaining = self.end - monotonic()
        if remaining <= 0:
            raise _TooLongError("SMTP server took too long")
        self.socket.settimeout(remaining)


def own_name(server: str) -> bytes:
    """Return what we call ourselves to a server (RFC 5321, 4.1.1.1), and nobody else does: it marks loops.

    Another pfilter on this machine has another port to hand its mail back to.
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in os.uname().nodename).strip("-.")
    port = server.rpartition(":")[2]
    return f"pfilter-{port if port.isdecimal() else 0}.{host or 'localhost'}".encode("ascii")


def _is_ascii(message: Spool) -> bool:
    if message.wire:
        return message.wire.ascii
    return all(chunk.isascii() for chunk in message.windows(0, message.size))


def _status_of_address(code: bytes, text: bytes) -> str:
    """Return the status of a refusal, for good, that is about the recipient's address alone; "" for any other."""
    found = _enhanced(text)
    if not found:
        return SYNTAX_STATUS if code in SYNTAX_CODES else ""
    status = b".".join(found)
    about = code.startswith(b"5") and found[:2] == [b"5", b"1"] and status not in OF_THE_SENDER
    return status.decode("ascii") if about else ""


def _enhanced(text: bytes) -> list[bytes]:
    """Return the three numbers of the status that a reply's text begins with (RFC 3463), [] where it has none."""
    numbers = text.split(b" ")[0].split(b".")
    return numbers if len(numbers) == 3 and all(number.isdigit() for number in numbers) else []


def _readable(text: bytes) -> str:
    from pfilter.base.text import printable

    return printable(text.decode("utf-8", "replace"))


def _xtext(value: str) -> bytes:
    """Encode as RFC 3461, 4 has it."""
    octets = value.encode("utf-8", "surrogateescape")
    return b"".join(bytes([o]) if 33 <= o <= 126 and o not in b"+=" else b"+%02X" % o for o in octets)


def _refuse_controls(envelope: Envelope) -> None:
    for address in (envelope.sender, *envelope.recipients):
        if any(octet < 32 or octet == 127 for octet in address):
            raise ReinjectError("an address with control characters")
