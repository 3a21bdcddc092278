"""One message's transaction on a connection (RFC 5321, 3.3): what is said about it, and what the answers mean.

Knows one attempt. When there is another, on which connection, is `smtp`'s.
"""

from time import monotonic

from pfilter.base.errors import DSN_TEMPFAIL, RecipientsError, ReinjectError
from pfilter.base.spool import Spool
from pfilter.delivery.smtp_connection import Connection, TooLongError, readable
from pfilter.message import xtext
from pfilter.message.addresses import has_controls
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYNTAX_CODES = (b"501", b"553")  # of a recipient without a status of RFC 3463: the address (RFC 5321, 4.2.2)
SYNTAX_STATUS = "5.1.3"  # RFC 3463: bad destination mailbox address syntax
OF_THE_SENDER = (b"5.1.7", b"5.1.8")  # the other statuses about addresses are about the recipient's
TOO_MANY_CODES = (b"452", b"552")  # recipients (RFC 5321, 4.5.3.1.10)
NO = (b"4", b"5")  # how replies begin after which a command has done nothing
UNAVAILABLE = b"[UNAVAILABLE]"  # Postfix, XFORWARD_README
DATA = b"DATA\r\n"
# Of commands in one write: they, and the replies, find room in the buffers of the two sockets (RFC 2920, 3.1).
WRITE_LIMIT = 1 << 14  # octets
WRITE_COMMANDS = 100


class Transaction:
    """What is said about one message.

    `apart`: who is refused does not get it, and the others do. `has_begun`: its content may have gone out.
    """

    def __init__(
        self,
        message: Spool,
        envelope: Envelope,
        done_seconds: float,
        meanwhile: "Callable[[], None] | None",
        *,
        apart: bool,
    ) -> None:
        _refuse_controls(envelope)
        self.message = message
        self.envelope = envelope
        self.done_seconds = done_seconds
        self.meanwhile = meanwhile
        self.apart = apart
        self.has_begun = False
        self.refused: list[Refused] = []
        self.taken: tuple[Refused, ...] | None = None  # who was refused, once the message is taken

    def run(self, connection: Connection) -> tuple[Refused, ...]:
        """Carry it through; return who was refused and does not get it. Raises as `smtp.send` does, and OSError."""
        self.refused = []
        self._name(connection)
        code, lines = connection.reply()
        if code != b"354":  # RFC 5321, 4.3.2: nothing else is the word to begin
            connection.in_data = code[:1] not in NO
            connection.refuse(code, lines, "DATA")
        connection.refuse_early_words()
        refused = tuple(self.refused)  # made now: no lack of memory counts once the message is taken
        self.has_begun = True
        ending = self._data(connection)
        connection.refuse_early_talk()
        connection.write(ending)
        if self.done_seconds:
            connection.end = monotonic() + self.done_seconds
        if self.meanwhile:
            self.meanwhile()
        connection.in_data = False  # whatever comes now is the end of it
        try:
            connection.expect(b"2", "end of data")
        except TooLongError as error:
            limit = f" within {self.done_seconds:.0f} s" if self.done_seconds else ""
            raise ReinjectError(
                f"SMTP server did not answer the end of data{limit}; it may have the message"
            ) from error
        self.taken = refused
        return refused

    def _name(self, connection: Connection) -> None:
        """Name client, sender and recipients, and ask to begin; all but the answer to that is read."""
        forward = self._forward(connection)
        commands = [*forward, self._mail(connection), *self._rcpt(connection)]
        is_piped = b"PIPELINING" in connection.extensions
        at = 0
        while at < len(commands):
            end = _end_of_write(commands, at) if is_piped else at + 1
            together = is_piped and self.apart and end == len(commands)
            connection.ask(b"".join(commands[at:end]) + (DATA if together else b""), data=together)
            for number in range(at, end):
                self._heed(connection, number - len(forward))
            at = end
        if len(self.refused) == len(self.envelope.recipients):
            self._give_up(connection)
        if not connection.in_data:
            connection.ask(DATA, data=True)

    def _heed(self, connection: Connection, number: int) -> None:
        """Read what the server says to XFORWARD (below 0), MAIL (0) or RCPT (from 1 on)."""
        code, lines = connection.reply()
        if number < 0:
            if code == b"421":
                connection.refuse(code, lines, "XFORWARD")
            return  # refused or not: only the log would be poorer
        if code.startswith(b"2"):
            return
        if number == 0:
            connection.refuse(code, lines, "MAIL FROM")
        status = _status_of_address(code, lines[0])
        if not status:
            may_be_apart = self.apart and code[:1] in NO and code != b"421"
            if not may_be_apart:
                self._refuse_all(connection, code, lines, number)
            status = _status_for_now(lines[0])
        prefix = b".".join(_enhanced(lines[0])) + b" "
        text = b" ".join([lines[0], *(line.removeprefix(prefix) for line in lines[1:])])
        self.refused.append(
            Refused(
                address=self.envelope.recipients[number - 1],
                status=status,
                said=f"{code.decode('ascii')} {readable(text)}",
                server=readable(connection.peer),
                index=number - 1,
            )
        )

    def _refuse_all(self, connection: Connection, code: bytes, lines: list[bytes], number: int) -> None:
        """Raise what was said to one recipient: nobody gets the message."""
        what = "RCPT TO"
        if code in TOO_MANY_CODES and number > 1 and _enhanced(lines[0])[1:] in ([], [b"5", b"3"]):
            takes = f"{number - 1} of {len(self.envelope.recipients)}"
            what = f"more (it takes {takes} recipients: smtpd_recipient_limit)"
        connection.refuse(code, lines, what)

    def _give_up(self, connection: Connection) -> None:
        """Raise why there is nobody to send to."""
        if connection.in_data:
            # RFC 2920, 3.1: it may want the content all the same. A connection that is lost within that is no message.
            try:
                connection.in_data = connection.reply()[0][:1] not in NO
            except (OSError, ReinjectError):
                pass  # what was said to the recipients counts
        connection.leave()
        refused = self.refused
        for one in refused:
            if one.status.startswith("4"):
                raise ReinjectError(f"SMTP server refused RCPT TO: {one.said}")
        who = "the recipient" if len(refused) == 1 else f"all {len(refused)} recipients"
        raise RecipientsError(f"SMTP server refused {who}: {refused[0].said}", refused[0].status)

    def _forward(self, connection: Connection) -> list[bytes]:
        """Return the command that tells who the client was (Postfix, XFORWARD_README), for the server's log."""
        if b"XFORWARD" not in connection.extensions:
            return []
        offered = connection.extensions[b"XFORWARD"].upper().split()
        envelope = self.envelope
        address = f"IPV6:{envelope.client}" if ":" in envelope.client else envelope.client
        told = ((b"ADDR", address), (b"HELO", envelope.helo), (b"IDENT", envelope.queue_id))
        known = {name: xtext.encode(value) for name, value in told if value and envelope.client and name in offered}
        words = {**dict.fromkeys(sorted(connection.told - known.keys()), UNAVAILABLE), **known}
        connection.told |= known.keys()
        return (
            [b"XFORWARD " + b" ".join(name + b"=" + value for name, value in words.items()) + b"\r\n"] if words else []
        )

    def _mail(self, connection: Connection) -> bytes:
        line = b"MAIL FROM:<" + self.envelope.sender + b">"
        if b"SIZE" in connection.extensions:
            # As Postfix counts for its message_size_limit: by CRLF, what is just below would never be taken.
            line += b" SIZE=%d" % self.message.lf_size
        if b"8BITMIME" in connection.extensions and not _is_ascii(self.message):
            line += b" BODY=8BITMIME"
        if not all(address.isascii() for address in (self.envelope.sender, *self.envelope.recipients)):
            # Only addresses need it (RFC 6531, 3.4); asked for headers' sake, mail bounces at relays without it.
            line += b" SMTPUTF8"
        if self.envelope.dsn and b"DSN" in connection.extensions:  # RFC 3461
            line += b" " + self.envelope.dsn
        return line + b"\r\n"

    def _rcpt(self, connection: Connection) -> "Iterator[bytes]":
        told = self.envelope.recipient_dsn if b"DSN" in connection.extensions else ()
        for number, address in enumerate(self.envelope.recipients):
            yield b"RCPT TO:<" + address + b">" + (b" " + told[number] if told and told[number] else b"") + b"\r\n"

    def _data(self, connection: Connection) -> bytes:
        """Send the content: CRLF line ends, leading dots doubled (RFC 5321, 4.5.2); return what is to end it."""
        if self.message.wire:
            return self._data_in_wire_form(connection, dotted=self.message.wire.dotted)
        at_start = True
        held = b""
        for chunk in self.message.windows(0, self.message.size):
            text = held + chunk
            held = b"\r" if text.endswith(b"\r") else b""
            text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            if not text:
                continue
            if at_start and text.startswith(b"."):
                text = b"." + text
            text = text.replace(b"\n.", b"\n..")
            at_start = text.endswith(b"\n")
            connection.write(text)
        if held:
            connection.write(held)
        return b".\r\n" if at_start and not held else b"\r\n.\r\n"

    def _data_in_wire_form(self, connection: Connection, *, dotted: bool) -> bytes:
        """Send a content as it is, but for leading dots, where there may be any; return what is to end it."""
        at_start = True
        for chunk in self.message.windows(0, self.message.size):
            text = chunk
            if dotted and b"." in text:
                if at_start and text.startswith(b"."):
                    text = b"." + text
                text = text.replace(b"\n.", b"\n..")
            at_start = chunk.endswith(b"\n")
            connection.write(text)
        return b".\r\n" if at_start else b"\r\n.\r\n"


def _end_of_write(commands: list[bytes], start: int) -> int:
    """Return the index behind the commands that go in one write, from `start` on."""
    end, size = start, 0
    while end < min(len(commands), start + WRITE_COMMANDS):
        size += len(commands[end])
        if size > WRITE_LIMIT and end > start:
            break
        end += 1
    return end


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


def _status_for_now(text: bytes) -> str:
    """Return the status of a refusal after which the recipient is to be tried again, whatever its class was."""
    found = _enhanced(text)
    return b".".join([b"4", *found[1:]]).decode("ascii") if found else DSN_TEMPFAIL


def _enhanced(text: bytes) -> list[bytes]:
    """Return the three numbers of the status that a reply's text begins with (RFC 3463), [] where it has none."""
    numbers = text.split(b" ")[0].split(b".")
    return numbers if len(numbers) == 3 and all(number.isdigit() for number in numbers) else []


def _refuse_controls(envelope: Envelope) -> None:
    for said in (envelope.sender, *envelope.recipients, envelope.dsn, *envelope.recipient_dsn):
        if has_controls(said):
            raise ReinjectError("an address, or what was asked for by DSN, with control characters")
