"""pfilter-lmtp: all that can be sent in one write, or octet by octet, and a client that is gone at any octet of it."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.contracts.test_lmtp import Client, stuffed
from tests.lib import support
from tests.lib.support import Gateway

DATA = support.message(support.part(b".Hello\n.\n..\n"))
CONTENT = b"A: b\n\n.x\n"
ENVELOPE = b"MAIL FROM:<s@example.org> SIZE=9\r\nRCPT TO:<r@example.net>\r\nDATA\r\n"
BEFORE = b"LHLO x\r\nXFORWARD ADDR=192.0.2.1 IDENT=4F2A\r\n" + ENVELOPE
WHOLE = BEFORE + stuffed(CONTENT) + b"QUIT\r\n"
LAST = len(WHOLE) - len(b"QUIT\r\n")  # with so many octets there is a message
PASSED = b"250 2.0.0 passed (no attachments)"

Start = Callable[[], Client]


@pytest.fixture
def start(gateway: Gateway) -> Iterator[Start]:
    """Return a function that starts a conversation."""
    clients: list[Client] = []

    def make() -> Client:
        clients.append(Client(gateway))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def replies(client: Client) -> list[bytes]:
    """Return all replies until the connection ends."""
    return list(iter(client.reply, b""))


THREE = [250, 250, *[250, 250, 354, 250] * 3, 221]


@pytest.mark.parametrize("single", [False, True], ids=["one write", "octet by octet"])
def test_three_messages_however_they_are_written(start: Start, gateway: Gateway, single: bool) -> None:
    """Nobody has to wait for a reply (RFC 2920), not even at the end of a message."""
    octets = BEFORE + stuffed(DATA) + (ENVELOPE + stuffed(DATA)) * 2 + b"QUIT\r\n"
    client = start()
    if single:
        for at in range(len(octets)):
            client.say(octets[at : at + 1])
    else:
        client.say(octets)
    assert [int(reply[:3]) for reply in replies(client)] == THREE
    assert [stdin for _, stdin in gateway.calls] == [DATA] * 3
    assert client.process.wait(30) == 0


@pytest.mark.parametrize("part", range(6))
def test_hung_up_at_every_octet(start: Start, gateway: Gateway, part: int) -> None:
    """Before the last octet of a message nothing is sent on, from then on once or not at all; the process ends."""
    for at in range(part, len(WHOLE) + 1, 6):
        client = start()
        client.say(WHOLE[:at])
        if at % 2:
            client.socket.shutdown(socket.SHUT_WR)
            said = replies(client)
            told = said.count(PASSED)
        else:
            client.lines.close()
            client.socket.close()
            told = 0
        client.process.wait(30)
        sent = len(gateway.calls)
        assert sent <= (at >= LAST), (at, sent)
        assert told <= sent, at
        if sent:
            assert gateway.calls[0][1] == CONTENT
            for path in gateway.calls_folder.glob("*/*"):
                path.unlink()
            for path in gateway.calls_folder.iterdir():
                path.rmdir()


@pytest.mark.parametrize("at", range(1, 34, 4))
def test_gone_while_it_is_answered(start: Start, gateway: Gateway, at: int) -> None:
    """A client that is gone once the message is sent on: it was sent once, and the process ends."""
    client = start()
    client.say(BEFORE)
    while not client.reply().startswith(b"354"):
        pass
    client.say(stuffed(CONTENT))
    with contextlib.suppress(OSError):
        assert client.lines.read(at) == PASSED[:at]
    client.lines.close()
    client.socket.close()
    client.process.wait(30)
    assert [stdin for _, stdin in gateway.calls] == [CONTENT]


ORDER: list[tuple[bytes, int]] = [
    *((b"MAIL FROM:<s@example.org>", 503), (b"RCPT TO:<r@example.net>", 503), (b"DATA", 503), (b"HELO x", 500)),
    *((b"LHLO", 501), (b"LHLO x", 250), (b"RCPT TO:<r@example.net>", 503), (b"DATA", 503), (b"NOOP", 250)),
    *((b"MAIL FROM:<s@example.org>", 250), (b"MAIL FROM:<s@example.org>", 503), (b"XFORWARD ADDR=192.0.2.1", 503)),
    *((b"DATA", 503), (b"RCPT TO:<>", 501), (b"RCPT TO:<r@example.net>", 250), (b"RSET", 250), (b"DATA", 503)),
    *((b"XFORWARD ADDR=192.0.2.1", 250), (b"MAIL FROM:<s@example.org>", 250), (b"RCPT TO:<r@example.net>", 250)),
    *((b"DATA x", 501), (b"VRFY r", 500), (b"NOOP", 250), (b"DATA", 354)),
]


def test_commands_in_each_order(start: Start, gateway: Gateway) -> None:
    """What is out of order is answered, and what comes next, in order, is served; the message is of the last MAIL."""
    client = start()
    assert [(line, int(client.ask(line)[:3])) for line, _ in ORDER] == ORDER
    client.say(stuffed(CONTENT))
    assert client.reply() == PASSED
    assert client.ask(b"RCPT TO:<r@example.net>").startswith(b"503")
    assert client.ask(b"QUIT") == b"221 2.0.0 Bye"
    assert client.ended() == 0
    assert [stdin for _, stdin in gateway.calls] == [CONTENT]
