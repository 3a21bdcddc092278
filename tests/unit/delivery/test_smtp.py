"""One message to an SMTP server: all recipients or none, whatever the server does."""

import socket
import threading
import time
from typing import Any

import pytest

from pfilter.base.errors import RecipientsError, ReinjectError
from pfilter.delivery import smtp
from pfilter.message.model import Envelope, Refused
from tests.lib.smtp_server import Server
from tests.lib.support import BytesSpool, in_wire_form

VERBS = (b"EHLO", b"XFORWARD", b"MAIL", b"RCPT", b"DATA", b".", b"QUIT")
TWO = Envelope(sender=b"a@example.org", recipients=(b"b@example.net", b"c@example.net"), client="192.0.2.7")


def sent(data: bytes, envelope: Envelope = TWO, *, seconds: float = 10, **replies: "bytes | None") -> Server:
    """Send a message to a server; a refusal is raised with the server as `server`."""
    server = Server({name.encode("ascii"): reply for name, reply in replies.items()})
    smtp.send(BytesSpool(data), envelope, server.address, seconds)
    server.stop()
    return server


def refused(server: Server, seconds: float = 10, envelope: Envelope = TWO, done_seconds: float = 0) -> str:
    """Send to a server that does not take it; return what is said."""
    with pytest.raises(ReinjectError) as caught:
        smtp.send(BytesSpool(b"A: b\n\nbody\n"), envelope, server.address, seconds, done_seconds)
    server.stop()
    return str(caught.value)


def unstuffed(data: bytes) -> bytes:
    """Return what a server delivers."""
    return b"".join(line.removeprefix(b".") for line in data.splitlines(keepends=True))


def test_one_transaction_with_all_recipients() -> None:
    """There is one MAIL, one RCPT each, one DATA, and the session is closed properly."""
    server = sent(b"A: b\n\nbody\n", TWO.replace(client=""))
    assert server.verbs == [b"EHLO", b"MAIL", b"RCPT", b"RCPT", b"DATA", b"QUIT"]
    assert [line.split()[1] for line in server.commands[2:4]] == [b"TO:<b@example.net>", b"TO:<c@example.net>"]


def test_the_null_sender() -> None:
    """The null sender is <>."""
    assert sent(b"x\n", TWO.replace(sender=b"")).commands[2].startswith(b"MAIL FROM:<> ")


@pytest.mark.parametrize(
    ("data", "delivered"),
    [
        (b"A: b\n\nbody\n", b"A: b\r\n\r\nbody\r\n"),
        (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n\r\nbody\r\n"),
        (b"A: b\n\nno end", b"A: b\r\n\r\nno end\r\n"),
        (b".\n..\n.x\n\n.\n", b".\r\n..\r\n.x\r\n\r\n.\r\n"),
        (b"a\n.\n", b"a\r\n.\r\n"),
        (b"a\n.", b"a\r\n.\r\n"),
        (b"", b""),
        (b"a\rb\n", b"a\rb\r\n"),
        (b"\r\n.\r\nMAIL FROM:<x@y>\r\n", b"\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        (b"\n.\nQUIT\n", b"\r\n.\r\nQUIT\r\n"),
    ],
)
@pytest.mark.parametrize("window", [1, 2, 3, 4096])
def test_content_goes_out_whole(data: bytes, delivered: bytes, window: int) -> None:
    """Lines end in CRLF, leading dots are doubled, nothing in a message ends it, wherever windows cut."""
    server = Server()
    smtp.send(BytesSpool(data, window), TWO, server.address, 10)
    server.stop()
    assert unstuffed(server.data) == delivered
    assert server.verbs[-1] == b"QUIT"


@pytest.mark.parametrize(
    "data",
    [
        b"A: b\n\nbody\n",
        b".\n",
        b".\n..\n.x\n\n.\n",
        b"a\n.\n",
        b"a.\n\n.b\n..c\n",
        b"\n.\nQUIT\n",
        b"\n" * 9,
        b"x" * 99 + b"\n",
    ],
)
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 4096])
def test_wire_form_goes_out_as_it_is(data: bytes, window: int) -> None:
    """What came in wire form leaves so, with leading dots doubled, wherever windows cut."""
    server = Server()
    smtp.send(in_wire_form(data, window), TWO, server.address, 10)
    server.stop()
    lines = data.split(b"\n")[:-1]
    assert server.data == b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
    assert server.accepted
    assert server.verbs[-1] == b"QUIT"


def test_the_size_of_wire_form_is_as_postfix_counts() -> None:
    """SIZE counts a line end once, as Postfix does for message_size_limit; 8BITMIME is asked for where it is needed."""
    for data, body in ((b"a\nb\n", b""), ("\u00fc\n\n".encode(), b" BODY=8BITMIME")):
        server = Server()
        smtp.send(in_wire_form(data), TWO, server.address, 10)
        server.stop()
        assert server.commands[2].rstrip().endswith(b" SIZE=4" + body)


def test_every_dot_at_a_line_start_is_doubled() -> None:
    """On the wire no line of the message starts with a single dot."""
    server = sent(b".\na\n..b\n")
    assert server.data == b"..\r\na\r\n...b\r\n"


def test_a_bare_cr_at_a_windows_end() -> None:
    """A CR at the end of a window and its LF in the next are one line end."""
    server = Server()
    smtp.send(BytesSpool(b"ab\r\ncd\r", 3), TWO, server.address, 10)
    server.stop()
    assert server.data in (b"ab\r\ncd\r\r\n", b"ab\r\ncd\r\n")


@pytest.mark.parametrize("code", [b"450 4.3.0 later", b"550 5.7.1 no", b"421 closing"])
@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
def test_any_refusal_is_an_error(verb: bytes, code: bytes) -> None:
    """A refusal at any step, 4xx or 5xx, means RSET and an error with what the server said."""
    server = Server({verb: code})
    said = refused(server)
    assert code.decode("ascii") in said
    assert server.verbs[-2:] == [b"RSET", b"QUIT"]


@pytest.mark.parametrize("code", [b"450 later", b"550 no"])
def test_one_refused_recipient_refuses_all(code: bytes) -> None:
    """If one recipient is refused the message goes to none."""
    server = Server({b"RCPT TO:<c@example.net>": code})
    refused(server)
    assert b"DATA" not in server.verbs
    assert server.verbs[-2] == b"RSET"


ABOUT_ADDRESSES = {
    b"501 5.1.3 Bad recipient address syntax": "5.1.3",
    b"550 5.1.1 no such user": "5.1.1",
    b"553 5.1.2 no such host": "5.1.2",
    b"556 5.1.10 null MX": "5.1.10",
    b"501 bad address": "5.1.3",
    b"553 mailbox name not allowed": "5.1.3",
    b"550-5.1.1 no such user\r\n550 5.1.1 try another": "5.1.1",
}


@pytest.mark.parametrize(("reply", "status"), ABOUT_ADDRESSES.items(), ids=ABOUT_ADDRESSES.values())
def test_a_recipient_refused_for_the_address(reply: bytes, status: str) -> None:
    """The others get the message, in one transaction, and it is told who did not and what the server said."""
    server = Server({b"RCPT TO:<b@example.net>": reply})
    refusals = smtp.send(BytesSpool(b"x\n"), TWO, server.address, 10)
    server.stop()
    assert server.verbs[-4:] == [b"RCPT", b"RCPT", b"DATA", b"QUIT"]
    assert server.data == b"x\r\n"
    said = reply.replace(b"\r\n550 5.1.1", b"").replace(b"550-", b"550 ").decode("ascii")
    assert refusals == (Refused(address=b"b@example.net", status=status, said=said, server="mx.example.org"),)


@pytest.mark.parametrize(
    "reply",
    [
        b"450 4.1.1 later",
        b"451 4.1.3 later",
        b"421 4.1.1 closing",
        b"501 5.5.4 syntax",
        b"550 no",
        b"550 5.2.1 disabled",
        b"550 5.7.1 policy",
        b"553 5.7.1 policy",
        b"553 5.1.7 your sender",
        b"550 5.1.8 your sender's domain",
        b"552 5.2.2 full",
        b"554 5.7.1 relay access denied",
        b"550 5.11.1 odd",
        b"550 5.1.x odd",
    ],
)
def test_any_other_refusal_of_a_recipient_is_for_all(reply: bytes) -> None:
    """What is not about this one address may be a fault of the relay's: nobody gets the message, and it waits."""
    server = Server({b"RCPT TO:<b@example.net>": b"501 5.1.3 bad", b"RCPT TO:<c@example.net>": reply})
    refused(server)
    assert b"DATA" not in server.verbs
    assert server.verbs[-2] == b"RSET"


def test_all_recipients_refused_for_their_addresses() -> None:
    """Nothing is sent; the error has the server's status and words, for Postfix to bounce with."""
    server = Server({b"RCPT": b"550 5.1.1 no such user"})
    with pytest.raises(RecipientsError, match="no such user") as caught:
        smtp.send(BytesSpool(b"x"), TWO, server.address, 10)
    server.stop()
    assert caught.value.status == "5.1.1"
    assert server.verbs[-4:] == [b"RCPT", b"RCPT", b"RSET", b"QUIT"]


@pytest.mark.parametrize("reply", [b"452 4.5.3 Error: too many recipients", b"452 too many", b"552 too many"])
def test_too_many_recipients(reply: bytes) -> None:
    """Several transactions can't be all or none: it waits, and the sentence says which limit to raise."""
    said = refused(Server({b"RCPT TO:<c@example.net>": reply}))
    assert "it takes 1 of 2 recipients" in said
    assert "smtpd_recipient_limit" in said
    assert "smtpd_recipient_limit" not in refused(Server({b"RCPT TO:<c@example.net>": b"452 4.3.1 no room"}))


@pytest.mark.parametrize("verb", [b"DATA", b"."])
def test_a_refusal_behind_refused_recipients(verb: bytes) -> None:
    """Where the message itself is refused nobody got it, and it waits for all."""
    said = refused(Server({b"RCPT TO:<b@example.net>": b"501 5.1.3 bad", verb: b"554 5.1.1 no"}))
    assert "554 5.1.1 no" in said


@pytest.mark.parametrize("code", [b"421 later", b"554 no service"])
def test_a_refusing_greeting(code: bytes) -> None:
    """A server that has no service is an error."""
    assert code.decode("ascii") in refused(Server(greeting=code))


def test_a_refused_ehlo() -> None:
    """A server without EHLO is not what we were configured with."""
    assert "502" in refused(Server({b"EHLO": b"502 no"}))


@pytest.mark.parametrize("code", [b"300", b"353", b"355", b"399"])
def test_only_one_reply_lets_the_content_begin(code: bytes) -> None:
    """What is not 354 (RFC 5321, 4.3.2) leaves the server waiting for commands, whatever it says to those lines."""
    server = Server({b"DATA": code + b" what"})
    assert code.decode("ascii") in refused(server)
    assert not server.accepted


def test_an_odd_reply_to_data_is_an_error() -> None:
    """A 250 where 354 is due is no leave to send."""
    server = Server({b"DATA": b"250 ok"})
    refused(server)
    assert server.data == b""


@pytest.mark.parametrize("verb", [b"EHLO", b"XFORWARD", b"MAIL", b"RCPT", b"DATA", b"."])
def test_a_server_that_hangs_up(verb: bytes) -> None:
    """A connection lost at any step before the last reply is an error."""
    assert "SMTP server" in refused(Server({verb: None}))


def test_a_server_that_hangs_up_at_once() -> None:
    """A connection lost before the greeting is an error."""
    assert "closed" in refused(Server(greeting=None))


@pytest.mark.parametrize("reply", [None, b"421 no", b"nonsense"])
def test_what_comes_after_the_message_is_taken_does_not_matter(reply: "bytes | None") -> None:
    """Once the message is accepted no failure of QUIT may look like a failure: it would be sent twice."""
    assert sent(b"x\n", QUIT=reply).accepted


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"DATA", b"."])
def test_a_silent_server_has_a_time_limit(verb: bytes) -> None:
    """The time limit is for the whole session, whichever step hangs."""
    from time import monotonic

    began = monotonic()
    refused(Server({verb: b"silence"}), seconds=0.5)
    assert monotonic() - began < 3


def test_a_slow_answer_to_the_final_dot_is_waited_for() -> None:
    """The final dot has a limit of its own (RFC 5321, 4.5.3.2.6): past that of the steps before, its answer counts."""
    server = Server()
    server.dot_delay = 1.5
    smtp.send(BytesSpool(b"x\n"), TWO, server.address, 1, 20)
    server.stop()
    assert server.verbs[-1] == b"QUIT"


def test_the_limit_of_the_final_dot_does_not_stretch_the_steps_before() -> None:
    """A server that hangs before the final dot has the short limit."""
    assert "too long" in refused(Server({b"DATA": b"silence"}), seconds=0.5, done_seconds=60)


def test_a_final_dot_that_is_never_answered() -> None:
    """What is said tells that the message may be out, and what limit ended the wait; it was waited for till then."""
    server = Server({b".": b"silence"})
    began = time.monotonic()
    assert "did not answer the end of data within 2 s" in refused(server, seconds=1, done_seconds=2)
    assert time.monotonic() - began >= 2


def test_a_server_that_drips_has_a_time_limit() -> None:
    """A server that sends one octet at a time does not get around the time limit."""
    from time import monotonic

    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"2")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    began = monotonic()
    with pytest.raises(ReinjectError):
        smtp.send(BytesSpool(b"x"), TWO, f"127.0.0.1:{listener.getsockname()[1]}", 0.5)
    assert monotonic() - began < 3
    stop.set()
    thread.join(5)
    listener.close()


@pytest.mark.parametrize("reply", [b"nonsense", b"25", b"", b"x" * 100_000])
def test_a_server_that_does_not_speak_smtp(reply: bytes) -> None:
    """What is no reply is an error, and nothing was sent."""
    server = Server({b"MAIL": reply})
    assert "SMTP server" in refused(server)
    assert server.data == b""


def test_a_server_that_answers_before_the_end_of_data() -> None:
    """A reply that comes before the end of data is no answer to it: the message does not count as taken."""
    server = Server({b"DATA": b"354 go\r\n250 ok"})
    assert "before its end" in refused(server)


def test_a_reply_of_several_lines() -> None:
    """A reply ends with its last line, however many it has."""
    assert sent(b"x\n", MAIL=b"250-one\r\n250-two\r\n250 three").accepted


def test_nobody_listens() -> None:
    """Without a server the error names it."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(ReinjectError, match=address):
        smtp.send(BytesSpool(b"x"), TWO, address, 5)


@pytest.mark.parametrize(
    ("envelope", "data", "asked"),
    [
        (TWO, b"x\n", False),
        (TWO, "Subject: grüße\n\n".encode(), False),
        (TWO.replace(sender="jürgen@example.org".encode()), b"x\n", True),
        (TWO.replace(recipients=("jürgen@example.org".encode(),)), b"x\n", True),
    ],
    ids=["ascii", "header", "sender", "recipient"],
)
def test_smtputf8_only_for_addresses(envelope: Envelope, data: bytes, asked: bool) -> None:
    """SMTPUTF8 is asked for when an address needs it, never for a header's sake."""
    assert (b"SMTPUTF8" in sent(data, envelope).commands[2]) is asked


@pytest.mark.parametrize(("data", "asked"), [(b"plain\n", False), (b"\xff\n", True)])
def test_8bitmime(data: bytes, asked: bool) -> None:
    """BODY=8BITMIME is declared for 8-bit content."""
    assert (b"BODY=8BITMIME" in sent(data).commands[2]) is asked


def test_what_is_not_offered_is_not_used() -> None:
    """Without SIZE, 8BITMIME and XFORWARD none of them is used, and the message goes out all the same."""
    server = sent(b"\xff\n", EHLO=b"250 mx.example.org")
    assert server.verbs[1] == b"MAIL"
    assert server.commands[1] == b"MAIL FROM:<a@example.org>\r\n"


def test_size_is_declared() -> None:
    """SIZE says how large the message is, so that a refusal comes early."""
    assert b" SIZE=11" in sent(b"A: b\n\nbody\n").commands[2]


def test_xforward() -> None:
    """What is known of the client is told, encoded as xtext."""
    known = TWO.replace(client="2001:db8::1", helo="a b+c", queue_id="4F2A")
    server = sent(b"x\n", known)
    assert server.commands[1] == b"XFORWARD ADDR=IPV6:2001:db8::1 HELO=a+20b+2Bc IDENT=4F2A\r\n"


def test_a_refused_xforward_does_not_matter() -> None:
    """Without XFORWARD only the log would be poorer."""
    assert sent(b"x\n", XFORWARD=b"550 not you").accepted


@pytest.mark.parametrize("address", [b"a@b>\r\nRCPT TO:<evil@x", b"a\0b@c", b"a\nb@c"])
def test_no_commands_hide_in_addresses(address: bytes) -> None:
    """An address with control characters never reaches the server."""
    for envelope in (TWO.replace(sender=address), TWO.replace(recipients=(address,))):
        with pytest.raises(ReinjectError, match="control"):
            smtp.send(BytesSpool(b"x"), envelope, "127.0.0.1:1", 1)


def test_a_real_server_takes_it() -> None:
    """Aiosmtpd takes a message as it was meant, 8-bit octets, dots and all."""
    controller_module = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
    taken: list[Any] = []

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
            taken.append(envelope)
            return "250 ok"

    controller = controller_module.Controller(Handler(), hostname="127.0.0.1", port=0, decode_data=False)
    listener = socket.create_server(("127.0.0.1", 0))
    controller.port = listener.getsockname()[1]
    listener.close()
    controller.start()
    try:
        smtp.send(BytesSpool(b"A: b\n\n.\n\xff\n"), TWO, f"127.0.0.1:{controller.port}", 10)
    finally:
        controller.stop()
    (envelope,) = taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("a@example.org", ["b@example.net", "c@example.net"])
    assert envelope.content == b"A: b\r\n\r\n.\r\n\xff\r\n"
