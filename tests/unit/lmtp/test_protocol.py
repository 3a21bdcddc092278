"""LMTP without I/O: each command, each order, each reply, however the octets are cut."""

import itertools
from random import Random

import pytest

from pfilter.base.spool import Wire, as_received
from pfilter.delivery import smtp
from pfilter.lmtp import protocol as lmtp
from pfilter.lmtp.protocol import Begin, Closed, Complete, Content, Session
from pfilter.message.model import Envelope
from tests.lib.smtp_server import Server
from tests.lib.support import BytesSpool, no_workspace

LHLO = b"LHLO mail.example.org\r\n"
ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n"
START = LHLO + ENVELOPE + b"DATA\r\n"
WHOLE = START + b"A: b\r\n\r\nbody\r\n.\r\n"


class Spoken:
    """What came of a conversation: `said` by the server, and messages, as by the pipe, with their envelopes."""

    def __init__(self, *pieces: bytes, refuse: bytes = b"") -> None:
        self.wires: list[Wire | None] = []
        self.octets: list[bytes] = []  # of the messages, as given out
        self.session = Session(b"here.example")
        self.refuse = refuse
        self.said = self.session.output()
        self.messages: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.content = b""
        self.closed = False
        self.unanswered = False
        for piece in pieces:
            self.session.receive(piece)
            self.follow()

    def follow(self) -> None:
        while not self.closed and (event := self.session.next_event()):
            match event:
                case Begin(envelope=envelope):
                    self.envelopes.append(envelope)
                    self.session.refuse(self.refuse) if self.refuse else self.session.go_ahead()
                    self.content = b""
                case Content(octets=octets):
                    assert octets
                    assert not (self.content.endswith(b"\r") and octets.startswith(b"\n"))
                    self.content += octets
                case Complete():
                    self.octets.append(self.content)
                    self.wires.append(self.session.wire)
                    self.messages.append(as_by_pipe(self.content, self.session.wire))
                    self.session.answer(lmtp.replies([b"250 2.0.0 passed"] * len(self.envelopes[-1].recipients)))
                case Closed():
                    self.closed = True
            self.said += self.session.output()
        self.said += self.session.output()

    @property
    def codes(self) -> list[int]:
        """The replies' codes, one of each reply, without the greeting."""
        return [int(line[:3]) for line in self.said.splitlines() if line[3:4] != b"-"][1:]


def as_by_pipe(octets: bytes, wire: Wire | None) -> bytes:
    """Return a message as the other door would have it, read in small windows."""
    spool = as_received(BytesSpool(octets, 3), wire, no_workspace)
    return b"".join(spool.lf_windows(0, spool.size))


def cut(octets: bytes, seed: int) -> list[bytes]:
    """Cut at random places."""
    places = sorted(Random(seed).choices(range(len(octets)), k=5))
    return [octets[a:b] for a, b in itertools.pairwise([0, *places, len(octets)])]


def test_greeting_and_extensions() -> None:
    """The greeting names us; LHLO lists what is offered, and nothing that is not done."""
    spoken = Spoken(LHLO)
    assert spoken.said.startswith(b"220 here.example ")
    lines = spoken.said.split(b"\r\n")[1:-1]
    assert [line[4:].split()[0] for line in lines] == [
        b"here.example", b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE", b"ENHANCEDSTATUSCODES", b"DSN",
        b"XFORWARD",
    ]  # fmt: skip
    assert [line[:4] for line in lines] == [b"250-"] * 7 + [b"250 "]
    assert b"SIZE" in lines[4].split(b"-")  # no limit: Postfix would bounce


COMMANDS = {
    # what comes, the codes of the replies
    b"LHLO x\r\n": [250],
    b"lhlo x\r\n": [250],
    b"LHLO\r\n": [501],
    b"LHLO  \r\n": [501],
    b"HELO x\r\n": [500],
    b"EHLO x\r\n": [500],
    b"NOOP\r\n": [250],
    b"NOOP what ever\r\n": [250],
    b"RSET\r\n": [250],
    b"RSET x\r\n": [501],
    b"QUIT\r\n": [221],
    b"QUIT x\r\n": [501],
    b"quit\r\n": [221],
    b"VRFY a\r\n": [500],
    b"\r\n": [500],
    b" \r\n": [500],
    b"MAIL FROM:<a@b>\r\n": [503],
    b"RCPT TO:<a@b>\r\n": [503],
    b"DATA\r\n": [503],
    b"XFORWARD ADDR=1.2.3.4\r\n": [503],
    b"\xff\xfe\r\n": [500],
    b"\0\r\n": [500],
    b"NOOP\n": [500],
    b"NOOP\r\r\n": [500],
    b"NO\rOP\r\n": [500],
    b"NOOP a\rb\r\n": [500],
    b"NOOP\0\r\n": [500],
    b"NOOP " + b"x" * 4089 + b"\r\n": [250],
    b"NOOP " + b"x" * 5000 + b"\r\n": [500],
    b"NOOP " + b"x" * (1 << 20) + b"\r\nNOOP\r\n": [500, 250],
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: repr(command[:30]))
def test_a_command_by_itself(command: bytes) -> None:
    """Before LHLO there is not much that can be said."""
    assert Spoken(command).codes == COMMANDS[command]


AFTER_LHLO = {
    b"MAIL FROM:<a@b>": 250,
    b"mail from:<a@b>": 250,
    b"MAIL FROM: <a@b>": 250,
    b"MAIL FROM:<>": 250,
    b'MAIL FROM:<"a>b \\" c"@d>': 250,
    b"MAIL FROM:<\xc3\xbc@b> SMTPUTF8": 250,
    b"MAIL FROM:<a@b> SIZE=12345 BODY=8BITMIME SMTPUTF8": 250,
    b"MAIL FROM:<a@b> BODY=7bit": 250,
    b"MAIL FROM:<a@b> SIZE=": 501,
    b"MAIL FROM:<a@b> SIZE=-1": 501,
    b"MAIL FROM:<a@b> SIZE=123456789012345678901": 501,
    b"MAIL FROM:<a@b> SIZE=1 SIZE=2": 501,
    b"MAIL FROM:<a@b> BODY=BINARYMIME": 501,
    b"MAIL FROM:<a@b> SMTPUTF8=yes": 501,
    b"MAIL FROM:<a@b> RET=HDRS": 250,
    b"MAIL FROM:<a@b> ret=full envid=x": 250,
    b"MAIL FROM:<a@b> RET=": 501,
    b"MAIL FROM:<a@b> RET=SOME": 501,
    b"MAIL FROM:<a@b> RET=HDRS RET=FULL": 501,
    b"MAIL FROM:<a@b> ENVID=" + b"x" * 1000: 250,
    b"MAIL FROM:<a@b> ENVID=a+3Db": 250,
    b"MAIL FROM:<a@b> ENVID=": 501,
    b"MAIL FROM:<a@b> ENVID=a+4": 501,
    b"MAIL FROM:<a@b> ENVID=a+0Ab": 501,
    b"MAIL FROM:<a@b> ENVID=a\x01b": 501,
    b"MAIL FROM:<a@b> NOTIFY=NEVER": 555,
    b"MAIL FROM:a@b": 501,
    b"MAIL FROM:": 501,
    b"MAIL": 501,
    b"MAIL TO:<a@b>": 501,
    b"MAIL FROM:<a@b": 501,
    b'MAIL FROM:<"a@b>': 501,
    b"MAIL FROM:<a@b>SIZE=1": 501,
    b"MAIL FROM:<a\t@b>": 501,
    b"RCPT TO:<a@b>": 503,
    b"DATA": 503,
    b"XFORWARD NAME=x ADDR=1.2.3.4 PORT=1 PROTO=ESMTP HELO=h IDENT=Q SOURCE=REMOTE": 250,
    b"xforward addr=[unavailable]": 250,
    b"XFORWARD": 501,
    b"XFORWARD ADDR": 501,
    b"XFORWARD WHAT=1": 501,
    b"XFORWARD HELO=a+0Ab": 501,
    b"XFORWARD HELO=a+4": 501,
    b"XFORWARD HELO=a+zz": 501,
}


@pytest.mark.parametrize("command", AFTER_LHLO, ids=repr)
def test_a_command_after_lhlo(command: bytes) -> None:
    """What may begin a message, and how it may be written."""
    assert Spoken(LHLO, command + b"\r\n").codes == [250, AFTER_LHLO[command]]


AFTER_MAIL = {
    b"RCPT TO:<a@b>": 250,
    b"rcpt to:<a@b>": 250,
    b"RCPT TO:<@relay,@other:a@b>": 250,
    b"RCPT TO:<>": 501,
    b"RCPT TO:a@b": 501,
    b"RCPT TO:<a@b> NOTIFY=NEVER": 250,
    b"RCPT TO:<a@b> notify=success,Failure,DELAY orcpt=rfc822;a+2Bx@b": 250,
    b"RCPT TO:<a@b> NOTIFY=SUCCESS,NEVER": 501,
    b"RCPT TO:<a@b> NOTIFY=NEVER,NEVER": 501,
    b"RCPT TO:<a@b> NOTIFY=SUCCESS,": 501,
    b"RCPT TO:<a@b> NOTIFY=": 501,
    b"RCPT TO:<a@b> NOTIFY=SOMETIMES": 501,
    b"RCPT TO:<a@b> NOTIFY=SUCCESS NOTIFY=SUCCESS": 501,
    b"RCPT TO:<a@b> ORCPT=utf-8;\xc3\xbc@b": 250,
    b"RCPT TO:<a@b> ORCPT=utf-8;\\x{FC}@b": 250,
    b"RCPT TO:<a@b> ORCPT=rfc822;" + b"x" * 1000: 250,
    b"RCPT TO:<a@b> ORCPT=rfc822": 501,
    b"RCPT TO:<a@b> ORCPT=rfc822;": 501,
    b"RCPT TO:<a@b> ORCPT=;a@b": 501,
    b"RCPT TO:<a@b> ORCPT=rfc822;a+0D+0Ab": 501,
    b"RCPT TO:<a@b> ORCPT=rfc822;a+": 501,
    b"RCPT TO:<a@b> RET=HDRS": 555,
    b"RCPT TO:<a@b> SIZE=1": 555,
    b"RCPT": 501,
    b"MAIL FROM:<a@b>": 503,
    b"XFORWARD ADDR=1.2.3.4": 503,
    b"DATA": 503,
    b"DATA now": 501,
    b"LHLO again": 250,
    b"RSET": 250,
    b"NOOP": 250,
}


@pytest.mark.parametrize("command", AFTER_MAIL, ids=repr)
def test_a_command_after_mail(command: bytes) -> None:
    """Inside of a transaction there is a recipient to be named, or an end to be made."""
    assert Spoken(LHLO, b"MAIL FROM:<a@b>\r\n", command + b"\r\n").codes == [250, 250, AFTER_MAIL[command]]


@pytest.mark.parametrize("reset", [b"RSET\r\n", b"LHLO again\r\n"])
def test_what_was_said_is_forgotten(reset: bytes) -> None:
    """RSET and LHLO end a transaction, with the client that was told of."""
    spoken = Spoken(LHLO, b"XFORWARD ADDR=192.0.2.1 IDENT=Q\r\n", ENVELOPE, reset, ENVELOPE, b"DATA\r\n")
    assert spoken.envelopes == [Envelope(sender=b"a@example.org", recipients=(b"b@example.net",))]


def test_the_envelope() -> None:
    """It has what MAIL, RCPT and XFORWARD say; addresses as they were written, recipients in their order."""
    spoken = Spoken(
        LHLO,
        b"XFORWARD NAME=host.example ADDR=IPV6:2001:db8::1 PORT=25\r\n"
        b"XFORWARD PROTO=ESMTP HELO=a+20b+2Bc IDENT=4F2A\r\n",
        b'MAIL FROM:<"a b"@example.org> SIZE=3\r\nRCPT TO:<z@example.net>\r\nRCPT TO:<"x>y"@example.net>\r\nDATA\r\n',
    )
    assert spoken.envelopes == [
        Envelope(
            sender=b'"a b"@example.org',
            recipients=(b"z@example.net", b'"x>y"@example.net'),
            queue_id="4F2A",
            client="2001:db8::1",
            helo="a b+c",
        )
    ]
    assert spoken.codes == [250, 250, 250, 250, 250, 250, 354]


def test_what_is_said_of_dsn_is_kept_as_it_came() -> None:
    """RET and ENVID of the message, NOTIFY and ORCPT of each recipient; what was not said is empty, and none stays."""
    spoken = Spoken(
        LHLO,
        b"MAIL FROM:<a@example.org> RET=HDRS SIZE=3 envid=a+3Db BODY=8BITMIME\r\n"
        b"RCPT TO:<b@example.net> ORCPT=rfc822;b@example.net NOTIFY=SUCCESS,FAILURE\r\n"
        b"RCPT TO:<bad@example.net> NOTIFY=WHAT\r\n"
        b"RCPT TO:<c@example.net>\r\nDATA\r\nx\r\n.\r\n",
        WHOLE[len(LHLO) :],
    )
    first, second = spoken.envelopes
    assert first.dsn == b"RET=HDRS envid=a+3Db"
    assert first.recipient_dsn == (b"ORCPT=rfc822;b@example.net NOTIFY=SUCCESS,FAILURE", b"")
    assert first.recipients == (b"b@example.net", b"c@example.net")
    assert (second.dsn, second.recipient_dsn) == (b"", ())


def test_a_client_is_of_one_message() -> None:
    """What XFORWARD said of a message's client is not said of the next one's: it may be exempt."""
    spoken = Spoken(LHLO + b"XFORWARD ADDR=192.0.2.1\r\n" + WHOLE[len(LHLO) :] + WHOLE[len(LHLO) :])
    assert [envelope.client for envelope in spoken.envelopes] == ["192.0.2.1", ""]


CONTENTS = {
    # as it comes, what the message is
    b"A: b\r\n\r\nbody\r\n.\r\n": b"A: b\n\nbody\n",
    b".\r\n": b"",
    b"\r\n.\r\n": b"\n",
    b"..\r\n.\r\n": b".\n",
    b"..x\r\n.y\r\n...\r\n.\r\n": b".x\ny\n..\n",
    b"a.\r\n.\r\n": b"a.\n",
    b"a\n.\nb\r\n.\r\n": b"a\n.\nb\n",
    b"a\n.\r\nb\r\n.\r\n": b"a\n.\nb\n",
    b"a\r\n.\nb\r\n.\r\n": b"a\n\nb\n",
    b"a\r\n.\rb\r\n.\r\n": b"a\n\rb\n",
    b"a\r.\r\nb\r\n.\r\n": b"a\r.\nb\n",
    b"a\r.\rb\r\n.\r\n": b"a\r.\rb\n",
    b"a\r\r\n.\r\n": b"a\r\n",
    b"a\0\xff\r\n.\r\n": b"a\0\xff\n",
    b"QUIT\r\n.\r\n": b"QUIT\n",
}


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_content_whole_and_octet_by_octet(content: bytes) -> None:
    """Dots are undoubled, and only CRLF "." CRLF is the end: however the octets are cut, it is what the pipe has."""
    once = Spoken(START, content, b"NOOP\r\n")
    single = Spoken(*(bytes([octet]) for octet in START + content + b"NOOP\r\n"))
    together = Spoken(START + content + b"NOOP\r\n")
    for spoken in (once, single, together):
        assert spoken.messages == [CONTENTS[content]]
        assert spoken.codes == [250, 250, 250, 354, 250, 250]
        (octets,), (wire,) = spoken.octets, spoken.wires
        rest = octets.replace(b"\r\n", b"")
        assert (wire is None) == (b"\r" in rest or b"\n" in rest)
        if wire:
            assert octets.replace(b"\r\n", b"\n") == CONTENTS[content]
            assert wire.lines == octets.count(b"\n")
            assert wire.ascii == octets.isascii()
            assert wire.dotted or not (octets.startswith(b".") or b"\n." in octets)
            assert not wire.dotted or content.startswith(b"..") or b"\r\n." in content[:-5]


@pytest.mark.parametrize("content", CONTENTS, ids=repr)
def test_content_in_two(content: bytes) -> None:
    """Wherever a message is cut in two, among others within a line end and a dot, the same is known of it."""
    whole = Spoken(START, content)
    for at in range(len(content)):
        spoken = Spoken(START + content[:at], content[at:])
        assert (spoken.octets, spoken.wires) == (whole.octets, whole.wires)


def test_what_is_known_is_of_one_message() -> None:
    """Neither a dot, nor a bare line end, nor a line of one message is known of the next."""
    then = ENVELOPE + b"DATA\r\n"
    contents = (b"..\xff\r\n.\r\n", b"a\nb\r\n.\r\n", b"a\r\n.\r\n")
    spoken = Spoken(LHLO + b"".join(then + content for content in contents))
    assert spoken.wires == [Wire(lines=1, dotted=True, ascii=False), None, Wire(lines=1, dotted=False, ascii=True)]


def test_a_bare_line_end_can_not_end_a_message_later() -> None:
    """What looks like an end with bare line ends goes out as lines that can't be one (SMTP smuggling)."""
    for smuggled in (b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n"):
        spoken = Spoken(START + b"A: b\r\n\r\nx" + smuggled + b"MAIL FROM:<>\r\n.\r\n")
        server = Server()
        message = as_received(BytesSpool(spoken.octets[0]), spoken.wires[0], no_workspace)
        smtp.send(message, Envelope(sender=b"", recipients=(b"b@example.net",)), server.address, 10)
        server.stop()
        assert server.data.endswith(b"MAIL FROM:<>\r\n")
        assert b"\n" not in server.data.replace(b"\r\n", b"")
        assert server.accepted


def test_cut_anywhere_it_is_the_same_conversation() -> None:
    """Several messages in one write, cut at random: the same replies, the same messages."""
    octets = LHLO + (WHOLE[len(LHLO) :] + b"RSET\r\n") * 3 + b"NOPE\r\nQUIT\r\n"
    whole = Spoken(octets)
    assert len(whole.messages) == 3
    for seed in range(200):
        spoken = Spoken(*cut(octets, seed))
        assert (spoken.said, spoken.messages, spoken.closed) == (whole.said, whole.messages, True)


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_message_is_complete_only_with_its_last_octet(at: int) -> None:
    """Wherever a client hangs up, there is no message, nor a reply as if there were one."""
    spoken = Spoken(WHOLE[:at])
    assert spoken.messages == []
    assert b"passed" not in spoken.said
    assert Spoken(WHOLE).messages == [b"A: b\n\nbody\n"]


def test_a_reply_for_each_recipient() -> None:
    """1000 recipients have 1000 replies to one message, also where some were refused before."""
    recipients = b"".join(b"RCPT TO:<%d@example.net>\r\nRCPT TO:<>\r\n" % n for n in range(15))
    recipients += b"".join(b"RCPT TO:<%d@example.net>\r\n" % n for n in range(15, 1000))
    spoken = Spoken(LHLO + b"MAIL FROM:<>\r\n" + recipients + b"DATA\r\nx\r\n.\r\nQUIT\r\n")
    assert len(spoken.envelopes[0].recipients) == 1000
    assert spoken.said.count(b"250 2.0.0 passed\r\n") == 1000
    assert spoken.codes[-1] == 221


def test_too_many_recipients() -> None:
    """Those over the limit are put off (RFC 5321, 4.5.3.1.10), the others go their way."""
    recipients = b"".join(b"RCPT TO:<%d@example.net>\r\n" % n for n in range(lmtp.RECIPIENT_LIMIT + 30))
    spoken = Spoken(LHLO + b"MAIL FROM:<>\r\n" + recipients + b"DATA\r\nx\r\n.\r\n")
    assert spoken.codes.count(452) == 30
    assert spoken.said.count(b"250 2.0.0 passed\r\n") == lmtp.RECIPIENT_LIMIT
    assert not spoken.closed


def test_a_message_that_is_not_wanted_now() -> None:
    """DATA can be refused; the next message is a new one."""
    spoken = Spoken(START + ENVELOPE + b"DATA\r\n", refuse=b"451 4.3.5 no")
    assert spoken.codes == [250, 250, 250, 451, 250, 250, 451]
    assert spoken.messages == []


def test_nothing_is_read_on_before_the_answer() -> None:
    """What was sent behind the end of a message waits for the answer to it."""
    session = Session(b"x")
    session.receive(WHOLE + b"QUIT\r\n")
    assert isinstance(session.next_event(), Begin)
    assert session.next_event() is None
    session.go_ahead()
    assert isinstance(session.next_event(), Content)
    assert isinstance(session.next_event(), Complete)
    session.output()
    assert session.next_event() is None
    assert session.output() == b""
    session.answer(lmtp.replies([b"250 ok"]))
    assert isinstance(session.next_event(), Closed)
    assert session.output() == b"250 ok\r\n221 2.0.0 Bye\r\n"


def test_twenty_errors_close() -> None:
    """Whoever speaks something else is left alone; what he goes on to say is not listened to."""
    spoken = Spoken(b"GET / HTTP/1.1\r\n" * 19)
    assert (spoken.codes, spoken.closed) == ([500] * 19, False)
    spoken = Spoken(b"GET / HTTP/1.1\r\n" * 30 + WHOLE)
    assert spoken.codes == [*[500] * 20, 421]
    assert (spoken.closed, spoken.messages) == (True, [])


def test_errors_are_counted_for_each_message() -> None:
    """A session of many messages is not closed for a bad address in each."""
    one = b"MAIL FROM:<>\r\nRCPT TO:<bad\r\nRCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n"
    spoken = Spoken(LHLO + one * 50)
    assert (len(spoken.messages), spoken.closed) == (50, False)


def test_many_commands_without_a_message() -> None:
    """Nobody keeps a process busy with nothing."""
    spoken = Spoken(b"NOOP\r\n" * 200)
    assert spoken.codes == [*[250] * 100, 421]
    assert spoken.closed
    assert Spoken(b"NOOP\r\n" * 100 + b"QUIT\r\n").codes[-1] == 221


def test_a_million_empty_lines_as_commands() -> None:
    """They are twenty errors."""
    spoken = Spoken(b"\r\n" * 1_000_000)
    assert spoken.codes == [*[500] * 20, 421]


def test_a_million_empty_lines_as_content() -> None:
    """They are a message."""
    spoken = Spoken(START, *[b"\r\n" * 10_000] * 100, b".\r\n")
    assert spoken.messages == [b"\n" * 1_000_000]


def test_a_line_that_does_not_end_takes_no_memory() -> None:
    """Of a command without an end no more is kept than its last octet."""
    session = Session(b"x")
    for _ in range(100):
        session.receive(b"x" * 100_000)
        assert session.next_event() is None
        assert len(session._input) <= lmtp.LINE_LIMIT
    session.receive(b"\r\nNOOP\r\n")
    session.output()
    session.next_event()
    assert session.output() == b"500 5.5.2 line too long\r\n250 2.0.0 Ok\r\n"


def test_idle() -> None:
    """A session is idle where closing it costs nothing: between messages, with nothing waiting to be read."""
    session = Session(b"x")
    seen = [session.is_idle]
    for octets in (LHLO, b"RS", b"ET\r\n", b"MAIL FROM:<>\r\n", b"RSET\r\n", b"XFORWARD ADDR=192.0.2.1\r\n"):
        session.receive(octets)
        session.next_event()
        seen.append(session.is_idle)
    assert seen == [True, True, False, True, False, True, True]


def test_any_octets_are_survived() -> None:
    """Whatever comes is answered or waited for; nothing raises, no message comes of nothing."""
    random = Random(2033)
    words = [b"LHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA", b"RSET", b"XFORWARD ADDR=1", b"QUIT", b"SIZE=1"]
    words += [b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"\0", b"<", b">", b'"', b"\\", b" ", b"=", b"+", b"\xff"]
    words.append(b"x" * 999)
    for _ in range(3000):
        octets = b"".join(random.choices(words, k=40))
        spoken = Spoken(*cut(octets, 1))
        assert len(spoken.messages) <= octets.count(b"DATA")
        assert all(100 < code < 600 for code in spoken.codes)
