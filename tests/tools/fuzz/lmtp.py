"""The reader of LMTP: any octets, cut anywhere, are the same conversation; nothing but CRLF "." CRLF ends a message.

The second opinion about a message's end and its dots is the few lines of `told_by_lines`, which know nothing of
protocol.py: a client that is heard octet by octet tells where each message began and ended.
"""

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from pfilter.lmtp import protocol
from pfilter.lmtp.protocol import Begin, Closed, Complete, Content, Session
from pfilter.message.model import Envelope

HELD = 16  # octets that may wait for what follows them, within a message
REPLY_LIMIT = 512  # octets of a line; RFC 5321, 4.5.3.1.5
ONE_BY_ONE = 1500  # octets; longer ones are cut in pieces only
REPLY = re.compile(rb"(?:([2-5][0-9][0-9])-[^\r\n\0]*\r\n(?=\1[- ]))*[2-5][0-9][0-9] [^\r\n\0]*\r\n")
AFTERWARDS = b"RSET\r\nLHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..x\r\n.\r\n"

_LHLO = b"LHLO mail.example.org\r\n"
_ONE = b"MAIL FROM:<a@example.org> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<b@example.net>\r\nDATA\r\nA: b\r\n\r\n..c\r\n.\r\n"
SEEDS = [
    b"\0\0" + seed
    for seed in (
        _LHLO + _ONE,
        _LHLO + _ONE * 3 + b"QUIT\r\n",
        _LHLO + b"XFORWARD ADDR=192.0.2.1 IDENT=4F2A\r\nXFORWARD HELO=a+20b\r\n" + _ONE,
        _LHLO + b'MAIL FROM:<"a>b \\" c"@d> SMTPUTF8\r\nRCPT TO:<@r:a@b>\r\nRCPT TO:<\xc3\xbc@b>\r\nDATA\r\n.\r\n',
        _LHLO + b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\na\n.\nb\r.\rc\r\n.\nd\n.\r\ne\r\r\n.\r\n",
        _LHLO + b"MAIL FROM:<> RET=HDRS ENVID=+20y\r\nRCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;a\r\nDATA\r\n\r\n.\r\n",
        _LHLO + b"NOOP\r\nRSET\r\nVRFY a\r\n" + b"x" * 5000 + b"\r\n" + _ONE,
        b"GET / HTTP/1.1\r\n" * 25,
        b"NOOP\r\n" * 101,
    )
]


class Heard(NamedTuple):
    """A message, and where in the octets it was."""

    envelope: Envelope
    content: bytes
    start: int
    end: int


class Conversation:
    """What came of octets. `refuses`: every second message is refused at DATA."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.session = Session(b"here.example")
        self.refuses = refuses
        self.said = self.session.output()
        self.messages: list[Heard] = []
        self.begun = self.heard = self.start = 0
        self.envelope = Envelope(sender=b"", recipients=())
        self.content: list[bytes] = []
        self.inside = self.closed = False

    def hear(self, octets: bytes) -> None:
        """Take a piece, and look that no more of it is kept than is needed."""
        self.session.receive(octets)
        self.heard += len(octets)
        while not self.closed and (event := self.session.next_event()):
            self._follow(event)
            self.said += self.session.output()
        self.said += self.session.output()
        kept = len(self.session._input)
        assert self.closed or kept <= (HELD if self.inside else protocol.LINE_LIMIT + 1), kept

    def _follow(self, event: object) -> None:
        if isinstance(event, Begin):
            self.begun += 1
            self.envelope = event.envelope
            assert self.session.is_waiting
            assert event.envelope.recipients
            assert not any(control(address) for address in (event.envelope.sender, *event.envelope.recipients))
            if self.refuses and self.begun % 2:
                self.session.refuse(b"451 4.3.5 no")
            else:
                self.session.go_ahead()
                self.inside, self.content, self.start = True, [], self.heard
        elif isinstance(event, Content):
            assert event.octets
            assert self.inside
            self.content.append(event.octets)
        elif isinstance(event, Complete):
            assert self.session.is_complete
            self.messages.append(Heard(self.envelope, b"".join(self.content), self.start, self.heard))
            self.session.answer(protocol.replies([b"250 2.0.0 passed"] * len(self.envelope.recipients)))
            self.inside = False
        else:
            assert isinstance(event, Closed)
            self.closed = True

    @property
    def told(self) -> object:
        """What does not depend on how the octets were cut."""
        return self.said, [(one.envelope, one.content) for one in self.messages], self.closed, self.inside


def control(octets: bytes) -> bool:
    """Whether there are control characters."""
    return any(octet < 32 or octet == 127 for octet in octets)


def told_by_lines(wire: bytes) -> bytes:
    """Return what a message says that came as `wire`, its end with it (RFC 5321, 4.5.2)."""
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    return b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:-2])


# How the content is given out is protocol.py's affair; that it is given out in one of these ways is not.
FORMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda wire: told_by_lines(wire).replace(b"\r\n", b"\n"),
    told_by_lines,
    lambda wire: wire[:-3],
)


@functools.cache
def the_form() -> Callable[[bytes], bytes]:
    """Return the way in which content is given out."""
    wire = b"..x\r\n.y\r\nz\r\n.\r\n"
    conversation = Conversation()
    conversation.hear(_LHLO + b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n" + wire)
    return next(form for form in FORMS if form(wire) == conversation.messages[0].content)


def conversed(pieces: Sequence[bytes], *, refuses: bool) -> Conversation:
    """Hear pieces one after the other."""
    conversation = Conversation(refuses=refuses)
    for piece in pieces:
        conversation.hear(piece)
    return conversation


def reader(data: bytes) -> None:
    """Whatever comes, however it is cut: the same replies and messages, well formed; and then a message passes."""
    seed, flags, octets = data[:1], data[1:2], data[2:]
    refuses = bool(flags and flags[0] & 1)
    whole = conversed([octets], refuses=refuses)
    places = sorted(Random(seed).choices(range(len(octets) + 1), k=7))
    cut = conversed([octets[a:b] for a, b in itertools.pairwise([0, *places, len(octets)])], refuses=refuses)
    assert cut.told == whole.told
    if len(octets) <= ONE_BY_ONE:
        single = conversed([octets[at : at + 1] for at in range(len(octets))], refuses=refuses)
        assert single.told == whole.told
        form = the_form()
        for message in single.messages:
            assert message.content == form(octets[message.start : message.end])
    _well_formed(whole)
    _goes_on(whole)


def _well_formed(conversation: Conversation) -> None:
    at = 0
    while at < len(conversation.said):
        found = REPLY.match(conversation.said, at)
        assert found, conversation.said[at : at + 100]
        assert all(len(line) <= REPLY_LIMIT for line in found[0].split(b"\r\n"))
        at = found.end()


def _goes_on(conversation: Conversation) -> None:
    """Assert that a client that ends what it has begun, and begins anew, is served; unless it has gone too far."""
    conversation.refuses = False
    if conversation.inside:
        conversation.hear(b"\r\n.\r\n")
    before = len(conversation.messages)
    conversation.hear(b"\r\n" + AFTERWARDS)
    if conversation.closed:
        assert re.search(rb"(?:\A|\n)(?:421|221) [^\n]*\n\Z", conversation.said), conversation.said[-100:]
        return
    (last,) = conversation.messages[before:]
    assert last.envelope == Envelope(sender=b"a@b", recipients=(b"c@d",))
    assert last.content == the_form()(b"..x\r\n.\r\n")
