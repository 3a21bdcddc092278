"""Messages by a connection that is kept: each recipient by himself, and no message twice, whatever the server does."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pfilter.base.errors import RecipientsError, ReinjectError
from pfilter.delivery import reinject, smtp, smtp_transaction
from pfilter.delivery.smtp_connection import Connection
from pfilter.message.model import Envelope, Refused
from tests.lib import support
from tests.lib.smtp_server import EHLO, PIPELINING, Server
from tests.lib.support import BytesSpool

ONE = Envelope(sender=b"a@example.org", recipients=(b"b@example.net",))
TWO = ONE.replace(recipients=(b"b@example.net", b"c@example.net"))
TO_C = b"RCPT TO:<c@example.net>"
GONE = b"421 4.3.2 closing"
Start = Callable[..., Server]


@pytest.fixture(params=[PIPELINING, EHLO], ids=["piped", "step by step"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Return a function that starts a server with a script, with PIPELINING and without."""
    started: list[Server] = []

    def make(replies: "dict[bytes, Any] | None" = None, sessions: int = 9, **options: Any) -> Server:
        started.append(Server({b"EHLO": request.param, **(replies or {})}, sessions=sessions, **options))
        return started[-1]

    yield make
    for server in started:
        server.close()


@pytest.fixture
def ways() -> Iterator[Callable[[Server], smtp.Way]]:
    """Return a function that makes a way to a server."""
    made: list[smtp.Way] = []

    def make(server: Server) -> smtp.Way:
        made.append(smtp.Way(server.address))
        return made[-1]

    yield make
    for way in made:
        way.close()


Ways = Callable[[Server], smtp.Way]


def put(way: smtp.Way, number: int, envelope: Envelope = TWO, seconds: float = 10) -> tuple[Refused, ...]:
    """Send a message that can be told from others."""
    return way.send(BytesSpool(b"Subject: %d\n\nx\n" % number), envelope, seconds)


def numbers(server: Server) -> list[int]:
    """Return which messages the server has taken."""
    return [int(message.split(b"\r\n")[0].removeprefix(b"Subject: ")) for message in server.messages]


def test_many_messages_by_one_connection(start: Start, ways: Ways) -> None:
    """There is one greeting and one EHLO; QUIT is said once, at the end."""
    server = start(sessions=1)
    way = ways(server)
    for number in range(50):
        assert put(way, number) == ()
    way.close()
    server.stop()
    assert numbers(server) == list(range(50))
    assert server.verbs == [b"EHLO", *[b"MAIL", b"RCPT", b"RCPT", b"DATA"] * 50, b"QUIT"]


def test_one_write_for_all_that_comes_before_the_content(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """With PIPELINING client, sender, recipients and DATA go in one write; without, each waits for its answer."""
    server = start()
    written: list[bytes] = []
    write = Connection.write

    def watch(self: Connection, octets: bytes) -> None:
        written.append(octets)
        write(self, octets)

    monkeypatch.setattr(Connection, "write", watch)
    way = smtp.Way(server.address)
    put(way, 1, TWO.replace(client="192.0.2.7", queue_id="Q"))
    way.close()
    verbs = [[line.split(b" ")[0].strip() for line in octets.splitlines()] for octets in written]
    if server.replies[b"EHLO"] == PIPELINING:
        assert verbs[1] == [b"XFORWARD", b"MAIL", b"RCPT", b"RCPT", b"DATA"]
    else:
        assert verbs[1:6] == [[b"XFORWARD"], [b"MAIL"], [b"RCPT"], [b"RCPT"], [b"DATA"]]


def test_for_the_pipe_data_waits_for_all_answers(start: Start) -> None:
    """All or none: where one is refused DATA is not said."""
    server = start({TO_C: b"450 4.2.1 later"})
    with pytest.raises(ReinjectError, match="later"):
        smtp.send(BytesSpool(b"x\n"), TWO, server.address, 10)
    server.close()
    assert server.verbs == [b"EHLO", b"MAIL", b"RCPT", b"RCPT", b"RSET", b"QUIT"]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"450 4.2.1 later", "4.2.1"),
        (b"450 later", "4.3.0"),
        (b"550 5.7.1 policy", "4.7.1"),
        (b"554 relay access denied", "4.3.0"),
        (b"550 5.1.8 your sender", "4.1.8"),
        (b"452 4.5.3 too many", "4.5.3"),
        (b"450 5.1.1 in two minds", "4.1.1"),
        (b"550 5.1.1 no such user", "5.1.1"),
        (b"501 bad address", "5.1.3"),
    ],
)
def test_who_is_refused_is_answered_by_himself(reply: bytes, status: str, start: Start, ways: Ways) -> None:
    """The other gets the message; he is to be tried again, unless it is for good and for his address alone."""
    server = start({TO_C: reply})
    (one,) = put(ways(server), 1)
    said = reply.decode("ascii")
    assert one == Refused(address=b"c@example.net", status=status, said=said, server="mx.example.org", index=1)
    assert numbers(server) == [1]
    assert server.verbs == [b"EHLO", b"MAIL", b"RCPT", b"RCPT", b"DATA"]


def test_the_same_address_twice(start: Start, ways: Ways) -> None:
    """It is told which of the two was refused."""
    server = start({b"RCPT": [b"250 ok", b"452 4.5.3 too many"]})
    (one,) = put(ways(server), 1, ONE.replace(recipients=(b"b@example.net", b"b@example.net")))
    assert one.index == 1


@pytest.mark.parametrize("data", [b"354 go", b"554 5.5.1 no valid recipients", None, b"421 no"])
def test_all_refused_for_now(data: "bytes | None", start: Start, ways: Ways) -> None:
    """Nobody gets it, no empty message either where the server wants the content all the same; it is tried again."""
    server = start({b"RCPT": b"450 4.2.1 later", b"DATA": data})
    way = ways(server)
    with pytest.raises(ReinjectError, match=r"refused RCPT TO: 450 4\.2\.1 later") as caught:
        put(way, 1)
    assert not isinstance(caught.value, RecipientsError)
    server.replies |= {b"RCPT": b"250 ok", b"DATA": b"354 go"}
    assert put(way, 2) == ()
    assert numbers(server) == [2]


@pytest.mark.parametrize("data", [b"354 go", b"554 5.5.1 no valid recipients"])
def test_all_refused_for_their_addresses(data: bytes, start: Start, ways: Ways) -> None:
    """Nobody gets it, and it can be bounced."""
    server = start({b"RCPT": b"550 5.1.1 no such user", b"DATA": data})
    with pytest.raises(RecipientsError, match="all 2 recipients") as caught:
        put(ways(server), 1)
    assert caught.value.status == "5.1.1"
    assert server.messages == []


def test_one_for_good_and_the_others_for_now(start: Start, ways: Ways) -> None:
    """Nobody has it, so nobody is bounced: all are tried again."""
    server = start({b"RCPT": b"550 5.1.1 no such user", TO_C: b"451 later"})
    with pytest.raises(ReinjectError, match="451 later") as caught:
        put(ways(server), 1)
    assert not isinstance(caught.value, RecipientsError)


@pytest.mark.parametrize("data", [b"354 go", b"503 5.5.1 no"])
@pytest.mark.parametrize("code", [b"452 4.3.1 no room", b"550 5.7.1 not you", b"354 what"])
def test_a_refused_sender(code: bytes, data: bytes, start: Start, ways: Ways) -> None:
    """Nothing of the message goes out, even where DATA is on its way and the server wants it; the next one does."""
    server = start({b"MAIL": [code, b"250 ok"], b"DATA": [data, b"354 go"] if data[:1] == b"5" else data})
    if server.replies[b"EHLO"] == EHLO:
        server.replies[b"DATA"] = b"354 go"  # it is not said
    way = ways(server)
    with pytest.raises(ReinjectError, match=code.decode("ascii")):
        put(way, 1)
    assert server.messages == []
    server.replies[b"DATA"] = b"354 go"
    assert put(way, 2) == ()
    assert numbers(server) == [2]


@pytest.mark.parametrize("verb", [b"DATA", b"."])
@pytest.mark.parametrize("code", [b"451 4.3.0 later", b"554 5.6.0 no"])
def test_a_refused_message(verb: bytes, code: bytes, start: Start, ways: Ways) -> None:
    """It is an error for all, also where some were refused before; the next message has another connection."""
    server = start({verb: [code, b"354 go" if verb == b"DATA" else b"250 ok"], TO_C: b"450 later"})
    way = ways(server)
    with pytest.raises(ReinjectError, match=code.decode("ascii")):
        put(way, 1)
    taken = len(server.messages)  # it may have said no to what it has read
    assert len(put(way, 2)) == 1
    assert numbers(server)[taken:] == [2]
    assert server.verbs.count(b"EHLO") == 2


@pytest.mark.parametrize("code", [b"250 ok", b"300 what", b"353 go", b"220 what"])
def test_only_one_reply_lets_the_content_begin(code: bytes, start: Start, ways: Ways) -> None:
    """What is not 354 leaves the server waiting for commands."""
    server = start({b"DATA": code})
    with pytest.raises(ReinjectError, match="refused DATA"):
        put(ways(server), 1)
    assert server.messages == []
    assert b"Subject" not in server.data


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT"])
def test_a_reply_too_many(verb: bytes, start: Start, ways: Ways) -> None:
    """Replies that don't match the commands are an error before the content."""
    server = start({verb: b"250 ok\r\n250 and again"})
    with pytest.raises(ReinjectError, match="SMTP server"):
        put(ways(server), 1)
    assert server.data == b""


def test_a_word_together_with_the_word_to_begin(start: Start, ways: Ways) -> None:
    """It can't be the answer to what has not been sent."""
    server = start({b"DATA": b"354 go\r\n250 ok"})
    with pytest.raises(ReinjectError, match="before its end"):
        put(ways(server), 1)
    assert server.data == b""


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
def test_a_reply_too_few(verb: bytes, start: Start, ways: Ways) -> None:
    """A missing reply is waited for until the time is over; then nobody was told that it is sent."""
    server = start({verb: b"silence"})
    way = ways(server)
    with pytest.raises(ReinjectError, match=r"SMTP server"):
        put(way, 1, seconds=0.5)
    assert numbers(server) == ([1] if verb == b"." else [])
    way.close()


@pytest.mark.parametrize("unasked", [b"250 ok\r\n421 4.4.2 timeout", b"250 ok\r\n250 ok", b"250 ok\r\n2"])
def test_a_word_between_two_messages(unasked: bytes, start: Start, ways: Ways) -> None:
    """A connection on which something unasked was said is not used again, and costs no message."""
    server = start({b".": [unasked, b"250 ok"]})
    way = ways(server)
    for number in range(3):
        assert put(way, number) == ()
    assert numbers(server) == [0, 1, 2]
    assert server.verbs.count(b"EHLO") == 2


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA"])
@pytest.mark.parametrize("end", [None, GONE])
def test_the_server_closes_a_kept_connection(verb: bytes, end: "bytes | None", start: Start, ways: Ways) -> None:
    """At any step before the content the message goes by a new one, once."""
    good = b"354 go" if verb == b"DATA" else b"250 ok"
    first = [good] * (2 if verb == b"RCPT" else 1)
    server = start({verb: [*first, end, good]})
    way = ways(server)
    assert put(way, 1) == ()
    assert put(way, 2) == ()
    assert put(way, 3) == ()
    assert numbers(server) == [1, 2, 3]
    assert server.verbs.count(b"EHLO") == 2


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"RCPT", b"DATA"])
@pytest.mark.parametrize("end", [None, GONE])
def test_a_new_connection_is_tried_once(verb: bytes, end: "bytes | None", start: Start, ways: Ways) -> None:
    """Where the new connection is closed as well it is an error: the message waits."""
    server = start()
    way = ways(server)
    assert put(way, 1) == ()
    server.replies |= {
        b"MAIL": [None, b"250 ok" if verb != b"MAIL" else end],
        **({verb: end} if verb != b"MAIL" else {}),
    }
    with pytest.raises(ReinjectError, match="SMTP server"):
        put(way, 2)
    assert numbers(server) == [1]
    assert server.verbs.count(b"EHLO") == 2


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"RCPT", b"DATA"])
@pytest.mark.parametrize("end", [None, GONE])
def test_the_first_connection_is_not_tried_again(verb: bytes, end: "bytes | None", start: Start, ways: Ways) -> None:
    """A connection that was new is no connection that the server closed meanwhile."""
    server = start({verb: end})
    with pytest.raises(ReinjectError, match="SMTP server"):
        put(ways(server), 1)
    assert server.verbs.count(b"EHLO") == 1


def test_content_is_never_sent_again(start: Start, ways: Ways) -> None:
    """Where a kept connection breaks within the content, or behind its end, the message may have been taken."""
    server = start({b".": [b"250 ok", None, b"250 ok"]})
    way = ways(server)
    assert put(way, 1) == ()
    with pytest.raises(ReinjectError, match="closed"):
        put(way, 2)
    assert put(way, 3) == ()
    assert numbers(server) == [1, 2, 3]


def _said_for_one(ehlo: bytes) -> int:
    server = Server({b"EHLO": ehlo})
    way = smtp.Way(server.address)
    put(way, 1)
    size = len(server.said)
    way.close()
    server.stop()
    return size


@pytest.mark.parametrize("ehlo", [PIPELINING, EHLO], ids=["piped", "step by step"])
def test_the_server_hangs_up_after_each_octet(ehlo: bytes) -> None:
    """Whatever it had said until then: no message comes twice, and who is told that it is sent is right."""
    first = _said_for_one(ehlo)
    before = len(b"220 hi\r\n" + ehlo + b"\r\n")
    for talk in range(1, 2 * first - before):
        server = Server({b"EHLO": ehlo}, sessions=3)
        server.talk[0] = talk
        way = smtp.Way(server.address)
        sent = []
        for number in (1, 2):
            try:
                put(way, number)
            except ReinjectError:
                continue
            sent.append(number)
        way.close()
        server.close()
        assert sorted(set(numbers(server))) == numbers(server), talk
        assert set(sent) <= set(numbers(server)), talk
        assert 2 in sent or talk > first, talk
        if first < talk < 2 * first - before - len(b"250 ok\r\n"):
            # Only the answer to the word to begin, and what comes after it, can't be had from another connection.
            assert 1 in sent


def test_ten_thousand_recipients(start: Start, ways: Ways) -> None:
    """They go in writes that fit the buffers on both sides, and some may be refused."""
    recipients = tuple(b"somebody-with-a-long-name-%d@example.net" % number for number in range(10_000))
    reply = b"450 4.2.1 " + b"x" * 480
    odd = {b"RCPT TO:<" + recipients[number] + b">": reply for number in range(0, 10_000, 7)}
    server = start(odd)
    refused = put(ways(server), 1, ONE.replace(recipients=recipients), seconds=60)
    assert [one.index for one in refused] == list(range(0, 10_000, 7))
    assert numbers(server) == [1]
    assert server.verbs.count(b"RCPT") == 10_000


def test_xforward_is_of_one_message(start: Start, ways: Ways) -> None:
    """Each message tells its own client; what the one before had told does not stay."""
    server = start()
    way = ways(server)
    put(way, 1, TWO.replace(client="192.0.2.1", helo="one", queue_id="Q1"))
    put(way, 2, TWO.replace(client="192.0.2.2", queue_id="Q2"))
    put(way, 3, TWO)
    put(way, 4, TWO.replace(client="192.0.2.4"))
    assert [line for line in server.commands if line.startswith(b"XFORWARD")] == [
        b"XFORWARD ADDR=192.0.2.1 HELO=one IDENT=Q1\r\n",
        b"XFORWARD HELO=[UNAVAILABLE] ADDR=192.0.2.2 IDENT=Q2\r\n",
        b"XFORWARD ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE]\r\n",
        b"XFORWARD HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE] ADDR=192.0.2.4\r\n",
    ]


def test_a_new_connection_knows_nothing_of_old_clients(start: Start, ways: Ways) -> None:
    """Nothing is taken back that was not said there."""
    server = start({b".": [b"250 ok\r\n421 bye", b"250 ok"]})
    way = ways(server)
    put(way, 1, TWO.replace(client="192.0.2.1"))
    put(way, 2)
    assert server.verbs.count(b"XFORWARD") == 1
    assert numbers(server) == [1, 2]


def test_a_refused_xforward_does_not_matter(start: Start, ways: Ways) -> None:
    """Without XFORWARD only the log would be poorer."""
    server = start({b"XFORWARD": b"550 5.7.0 not you"})
    assert put(ways(server), 1, TWO.replace(client="192.0.2.1")) == ()


def test_no_memory_once_the_message_is_taken(start: Start, ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server has taken counts as sent, with those who were refused."""
    server = start({TO_C: b"450 later"})
    way = ways(server)
    run = smtp_transaction.Transaction.run

    def fails(self: smtp_transaction.Transaction, connection: Connection) -> tuple[Refused, ...]:
        run(self, connection)
        raise MemoryError

    monkeypatch.setattr(smtp_transaction.Transaction, "run", fails)
    assert [one.address for one in put(way, 1)] == [b"c@example.net"]
    assert numbers(server) == [1]


def test_an_interruption_leaves_no_connection_behind(start: Start, ways: Ways) -> None:
    """A transaction that was torn is never gone on with."""
    server = start()
    way = ways(server)
    put(way, 1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        way.send(BytesSpool(b"Subject: 2\n\n"), TWO, 10, 0, interrupt)
    put(way, 3)
    assert numbers(server) == [1, 2, 3]
    assert server.verbs.count(b"EHLO") == 2


def test_to_another_server(start: Start) -> None:
    """Where the configuration names another server the next message goes to that."""
    servers = [start(), start()]
    way = smtp.Way(servers[0].address)
    for server in servers:
        settings = support.policy(reinject={"method": "smtp", "smtp": server.address})
        assert reinject.send(BytesSpool(b"Subject: 1\n\n"), TWO, settings, way=way) == ()
    way.close()
    assert [len(server.messages) for server in servers] == [1, 1]
    assert b"QUIT" in servers[0].verbs


def test_closing_says_good_bye_and_nothing_goes_wrong(start: Start) -> None:
    """A way that was never used, one that is closed twice, one whose server is gone."""
    server = start()
    way = smtp.Way(server.address)
    way.close()
    put(way, 1)
    way.close()
    way.close()
    put(way, 2)
    way.drop()
    way.drop()
    server.close()
    assert server.verbs.count(b"QUIT") == 1
    way.close()


ASKED = TWO.replace(dsn=b"RET=HDRS ENVID=a+3Db", recipient_dsn=(b"NOTIFY=NEVER ORCPT=rfc822;b@example.net", b""))


def test_what_was_asked_for_by_dsn_is_handed_on(start: Start, ways: Ways) -> None:
    """Where the server offers DSN it hears what was said of the message and of each recipient, octet for octet."""
    server = start()
    server.replies[b"EHLO"] = server.replies[b"EHLO"].replace(b"250-SIZE", b"250-DSN\r\n250-SIZE")
    way = ways(server)
    put(way, 1, ASKED)
    put(way, 2, ASKED.only((1,)))
    put(way, 3, TWO)
    said = [line for line in server.commands if line.startswith((b"MAIL", b"RCPT"))]
    assert said == [
        b"MAIL FROM:<a@example.org> SIZE=14 RET=HDRS ENVID=a+3Db\r\n",
        b"RCPT TO:<b@example.net> NOTIFY=NEVER ORCPT=rfc822;b@example.net\r\n",
        b"RCPT TO:<c@example.net>\r\n",
        b"MAIL FROM:<a@example.org> SIZE=14 RET=HDRS ENVID=a+3Db\r\n",
        b"RCPT TO:<c@example.net>\r\n",
        b"MAIL FROM:<a@example.org> SIZE=14\r\n",
        b"RCPT TO:<b@example.net>\r\n",
        b"RCPT TO:<c@example.net>\r\n",
    ]


def test_what_was_asked_for_by_dsn_and_is_not_offered(start: Start, ways: Ways) -> None:
    """Without DSN nothing of it is said, and the message goes out all the same."""
    server = start()
    assert put(ways(server), 1, ASKED) == ()
    assert not any(b"RET=" in line or b"NOTIFY=" in line for line in server.commands)


@pytest.mark.parametrize("field", ["dsn", "recipient_dsn"])
def test_no_commands_hide_in_parameters(field: str) -> None:
    """What has control characters never reaches the server."""
    evil = b"ENVID=x\r\nRCPT TO:<evil@example.net>"
    with pytest.raises(ReinjectError, match="control"):
        put(smtp.Way("127.0.0.1:1"), 1, TWO.replace(**{field: evil if field == "dsn" else (evil, b"")}))
