"""LMTP, the server's side (RFC 2033): what a client may say, in which order, and what is answered. No I/O, no clock.

A Session takes octets as they come (`receive`), says what they mean (`next_event`), and what is to be written
(`output`). Nothing that a client says raises: what is no LMTP is answered with 5xx, and twenty of those close. Only
CRLF ends a command, only CRLF "." CRLF a message: whoever reads other line ends finds another end (SMTP smuggling).

The content is given out as it came, but for dots that were doubled (RFC 5321, 4.5.2), and `wire` says what is known of
it. A CR or LF that is no line end is rare, since Postfix sends none of the latter, and a danger to those who read it in
another way: then `wire` says nothing, and it is for `spool.as_received` to make of it what pipe(8) would.
"""

from pfilter.base.frozen import Frozen
from pfilter.base.spool import Wire
from pfilter.lmtp import commands
from pfilter.message import xtext
from pfilter.message.model import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXTENSIONS = (
    b"PIPELINING",  # RFC 2920
    b"8BITMIME",  # RFC 6152
    b"SMTPUTF8",  # RFC 6531
    b"SIZE",  # RFC 1870; without a limit, since Postfix would bounce what is over it
    b"ENHANCEDSTATUSCODES",  # RFC 2034
    b"DSN",  # RFC 3461; handed on as it came
    b"XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",  # Postfix, XFORWARD_README
)
XFORWARD = EXTENSIONS[-1].split()[1:]
UNAVAILABLE = b"[UNAVAILABLE]"
LINE_LIMIT = 4096  # octets of a command; Postfix's own lines have up to 2048
RECIPIENT_LIMIT = 10_000  # of one message; Postfix sends the others later, by themselves
COMMAND_LIMIT = 100  # without a message in between; those that name recipients do not count
ERROR_LIMIT = 20
END = b"\r\n.\r\n"
_BUT_LINE_ENDS = bytes(octet for octet in range(256) if octet not in b"\r\n")


class Begin(Frozen):
    """The client has named sender and recipients and wants to send: `go_ahead()`, or `refuse()`."""

    envelope: Envelope


class Content(Frozen):
    """Octets of the message, in order; no CRLF is ever cut in two."""

    octets: bytes


class Complete(Frozen):
    """The message has ended: `answer()` it."""


class Closed(Frozen):
    """Nothing more is listened to."""


class _Transaction:
    """What has been said since the last message."""

    def __init__(self) -> None:
        self.forwarded: dict[bytes, str] = {}
        self.sender: bytes | None = None
        self.recipients: list[bytes] = []
        self.dsn: list[bytes] = []  # MAIL's parameters
        self.recipient_dsn: list[bytes] = []  # those of each RCPT, as one


class Session:
    """One connection; see above. `name` is what we call ourselves."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._input = b""
        self._output = [b"220 " + name + b" LMTP pfilter\r\n"]
        self._next: Callable[[], Begin | Content | Complete | Closed | None] = self._command
        self._transaction = _Transaction()
        self._greeted = False
        self._errors = 0
        self._commands = 0
        self._overlong = False
        self._at_start = False
        self._is_complete = False
        self._wire: Wire | None = None

    def receive(self, octets: bytes) -> None:
        """Take what has come."""
        self._input += octets

    def output(self) -> bytes:
        """Return what is to be written, once."""
        octets = b"".join(self._output)
        self._output.clear()
        return octets

    def next_event(self) -> "Begin | Content | Complete | Closed | None":
        """Return what the octets mean, None where that takes more of them."""
        return self._next()

    @property
    def is_idle(self) -> bool:
        """Whether nothing has been begun: to close now costs the client nothing but a new connection."""
        return self._next == self._command and self._transaction.sender is None and not self._input

    @property
    def is_waiting(self) -> bool:
        """Whether `Begin` has not been answered."""
        return self._next == self._waiting and not self._is_complete

    @property
    def is_complete(self) -> bool:
        """Whether `Complete` has not been answered."""
        return self._next == self._waiting and self._is_complete

    @property
    def wire(self) -> Wire | None:
        """What is known of the content that has come, None where it has line ends other than CRLF, or a bare CR."""
        return self._wire

    # What the server does

    def go_ahead(self) -> None:
        """Answer `Begin`: the content may come."""
        self._say(b"354 end it with <CRLF>.<CRLF>")
        self._input = b"\r\n" + self._input  # so that a dot at the very start is one behind a line end
        self._at_start = True
        self._wire = Wire(lines=0, dotted=False, ascii=True)
        self._next = self._content

    def refuse(self, reply: bytes) -> None:
        """Answer `Begin`: not now."""
        self._say(reply)
        self._reset()

    def answer(self, octets: bytes) -> None:
        """Answer `Complete`, by what `replies` made."""
        self._output.append(octets)
        self._reset()
        self._errors = self._commands = 0

    def close(self, reply: bytes) -> None:
        """Say good-bye, whatever was going on."""
        self._say(reply)
        self._next = Closed

    # Commands

    def _command(self) -> "Begin | Closed | None":
        while self._next == self._command:
            line, found, rest = self._input.partition(b"\n")
            if not found:
                if len(self._input) > LINE_LIMIT:
                    self._overlong = True
                    self._input = self._input[-1:]  # it may be the CR of a line end
                return None
            self._input = rest
            if self._overlong or len(line) > LINE_LIMIT:
                self._overlong = False
                self._error(b"500 5.5.2 line too long")
            elif not line.endswith(b"\r") or b"\0" in line or b"\r" in line[:-1]:
                self._error(b"500 5.5.2 a command ends in <CR><LF>, and has neither of them, nor a NUL, inside")
            else:
                verb, _, rest = line[:-1].partition(b" ")
                begun = self._obey(verb.upper(), rest.strip(b" "))
                if begun:
                    return begun
        return Closed() if self._next == Closed else None

    def _obey(self, verb: bytes, rest: bytes) -> Begin | None:
        if verb != b"RCPT":
            self._commands += 1
            if self._commands > COMMAND_LIMIT and verb != b"QUIT":
                self.close(b"421 4.7.0 too many commands without a message")
                return None
        if verb == b"DATA":
            return self._data(rest)
        obey = self._verbs.get(verb)
        if obey is None:
            said = b"this is LMTP: LHLO" if verb in (b"HELO", b"EHLO") else b"unknown command"
            self._error(b"500 5.5.1 " + said)
        else:
            obey(self, rest)
        return None

    def _lhlo(self, rest: bytes) -> None:
        if not rest:
            return self._error(b"501 5.5.4 LHLO needs a name")
        self._reset()
        self._greeted = True
        lines = [self._name, *EXTENSIONS]
        self._output += [b"250-" + line + b"\r\n" for line in lines[:-1]]
        return self._say(b"250 " + lines[-1])

    def _xforward(self, rest: bytes) -> None:
        if not self._may_begin():
            return None
        told: dict[bytes, str] = {}
        for word in rest.split(b" "):
            name, equals, value = word.partition(b"=")
            decoded = xtext.decode(value)
            if not equals or name.upper() not in XFORWARD or decoded is None:
                return self._error(b"501 5.5.4 XFORWARD NAME=value, in xtext")
            told[name.upper()] = "" if value.upper() == UNAVAILABLE else decoded
        self._transaction.forwarded.update(told)
        return self._say(b"250 2.0.0 Ok")

    def _mail(self, rest: bytes) -> None:
        if not self._may_begin():
            return None
        path = commands.path(rest, b"FROM:")
        if path is None:
            return self._error(b"501 5.1.7 MAIL FROM:<address>")
        sender, parameters = path
        wrong = commands.wrong(parameters, commands.MAIL_PARAMETERS)
        if wrong:
            return self._error(wrong)
        self._transaction.sender = sender
        self._transaction.dsn = [one for one in parameters if one.partition(b"=")[0].upper() in commands.DSN_MAIL]
        return self._say(b"250 2.1.0 Ok")

    def _rcpt(self, rest: bytes) -> None:
        if self._transaction.sender is None:
            return self._error(b"503 5.5.1 MAIL first")
        path = commands.path(rest, b"TO:")
        if path is None or not path[0]:
            return self._error(b"501 5.1.3 RCPT TO:<address>")
        recipient, parameters = path
        wrong = commands.wrong(parameters, commands.RCPT_PARAMETERS)
        if wrong:
            return self._error(wrong)
        if len(self._transaction.recipients) >= RECIPIENT_LIMIT:
            return self._say(b"452 4.5.3 too many recipients")  # RFC 5321, 4.5.3.1.10
        self._transaction.recipients.append(recipient)
        self._transaction.recipient_dsn.append(b" ".join(parameters))  # there are no others
        return self._say(b"250 2.1.5 Ok")

    def _data(self, rest: bytes) -> Begin | None:
        if rest:
            self._error(b"501 5.5.4 DATA has no arguments")
        elif self._transaction.sender is None:
            self._error(b"503 5.5.1 MAIL first")
        elif not self._transaction.recipients:
            self._error(b"503 5.5.1 no recipients")  # RFC 2033, 4.2
        else:
            self._next = self._waiting
            return Begin(envelope=self._envelope(self._transaction.sender))
        return None

    def _rset(self, rest: bytes) -> None:
        if rest:
            return self._error(b"501 5.5.4 RSET has no arguments")
        self._reset()
        return self._say(b"250 2.0.0 Ok")

    def _noop(self, _rest: bytes) -> None:
        self._say(b"250 2.0.0 Ok")

    def _quit(self, rest: bytes) -> None:
        if rest:
            return self._error(b"501 5.5.4 QUIT has no arguments")
        return self.close(b"221 2.0.0 Bye")

    _verbs = {  # noqa: RUF012  # never changed
        b"LHLO": _lhlo,
        b"XFORWARD": _xforward,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"QUIT": _quit,
    }

    def _may_begin(self) -> bool:
        if not self._greeted:
            self._error(b"503 5.5.1 LHLO first")
        elif self._transaction.sender is not None:
            self._error(b"503 5.5.1 in the middle of a message")
        else:
            return True
        return False

    def _envelope(self, sender: bytes) -> Envelope:
        told = self._transaction.forwarded
        client = told.get(b"ADDR", "")
        return Envelope(
            sender=sender,
            recipients=tuple(self._transaction.recipients),
            queue_id=told.get(b"IDENT", ""),
            client=client[5:] if client[:5].upper() == "IPV6:" else client,
            helo=told.get(b"HELO", ""),
            dsn=b" ".join(self._transaction.dsn),
            recipient_dsn=tuple(self._transaction.recipient_dsn) if any(self._transaction.recipient_dsn) else (),
        )

    # Content

    def _content(self) -> "Content | Complete | None":
        octets = self._input
        # One octet first, by memchr(3): base64 has no dot. Then what both an end and a doubled dot begin with.
        dot = octets.find(END[:3]) if b"." in octets else -1
        end = octets.find(END, dot) if dot >= 0 else -1
        if end >= 0:
            text, self._input = octets[: end + 2], octets[end + len(END) :]
            self._next = self._ended
        else:
            # The start of an end is held back, and with it each line end: so no pair is ever cut in two.
            held = next((size for size in range(len(END) - 1, 0, -1) if octets.endswith(END[:size])), 0)
            text = octets[: len(octets) - held] if held else octets
            self._input = octets[len(octets) - held :] if held else b""
        dotted = 0 <= dot <= len(text) - 3
        if dotted:
            text = text.replace(b"\r\n.", b"\r\n")
        if text and self._at_start:
            text = text[2:]
            self._at_start = False
        if text:
            self._note(text, dotted=dotted)
            return Content(octets=text)
        return self._next() if end >= 0 else None  # type: ignore[return-value]

    def _note(self, text: bytes, *, dotted: bool) -> None:
        """Note what is known of a further piece of the content."""
        known = self._wire
        if known is None:
            return
        ends = text.translate(None, _BUT_LINE_ENDS)  # quicker than to count, and than a pattern, which loads re
        lines = len(ends) // 2
        if ends != b"\r\n" * lines:
            self._wire = None
        else:
            is_ascii = known.ascii and text.isascii()
            self._wire = Wire(lines=known.lines + lines, dotted=known.dotted or dotted, ascii=is_ascii)

    def _ended(self) -> Complete:
        self._next = self._waiting
        self._is_complete = True
        return Complete()

    def _waiting(self) -> None:
        """Read nothing on before the server has said what is to become of the message."""

    # Both

    def _say(self, reply: bytes) -> None:
        self._output.append(reply + b"\r\n")

    def _error(self, reply: bytes) -> None:
        self._say(reply)
        self._errors += 1
        if self._errors >= ERROR_LIMIT:
            self.close(b"421 4.7.0 too many errors")

    def _reset(self) -> None:
        self._transaction = _Transaction()
        self._is_complete = False
        self._next = self._command


def replies(lines: "Sequence[bytes]") -> bytes:
    """Return the answer to a message: one reply for each recipient, in their order (RFC 2033, 4.2)."""
    return b"".join(line + b"\r\n" for line in lines)
