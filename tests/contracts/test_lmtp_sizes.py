"""pfilter-lmtp: memory does not grow with what a client sends, in any dimension."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.test_lmtp import Client
from tests.lib import support
from tests.lib.support import Gateway, crlf

MEMORY = 46_000  # kB at the peak: 40 MB, and what a machine, a Python and coverage.py make different
MB = 1 << 20
HEAD = b"Subject: x\n\n"
PASSED = b"250 2.0.0 passed (no attachments)"


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    """Start a conversation."""
    made = Client(gateway)
    made.socket.settimeout(100)
    assert made.ask(b"LHLO x").startswith(b"250")
    yield made
    made.close()


def peak(client: Client) -> int:
    """Return the most memory that a process had so far, in kB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{client.process.pid}/status").read_text())
    assert found
    return int(found[1])


BODIES = {
    "100 MB of lines": b"A line of this long story.\n" * (100 * MB // 27),
    "100 MB in one line": b"x" * (100 * MB) + b"\n",
    "a line of 1 MB": b"x" * MB + b"\n",
    "a million empty lines": b"\n" * 1_000_000,
    "a million dots": b".\n" * 1_000_000,
    "dots without end": b"." * (10 * MB) + b"\n",
    "bare CR": b"\r" * (10 * MB) + b"x\n",
    "NUL": b"\0" * (10 * MB) + b"\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_any_form(client: Client, gateway: Gateway, name: str) -> None:
    """Whatever there is much of, it goes on as it came, and the process stays small."""
    data = HEAD + BODIES[name]
    assert client.envelope().startswith(b"354")
    wire = crlf(data).replace(b"\r\n.", b"\r\n..")
    client.say(wire + b".\r\n")
    assert client.reply() == PASSED
    assert peak(client) < MEMORY
    assert gateway.sent == data


def test_bare_lf_ends_no_line_and_no_message(client: Client, gateway: Gateway) -> None:
    """Ten million of them, with dots between: what follows is content until CRLF "." CRLF."""
    assert client.envelope().startswith(b"354")
    client.say(HEAD.replace(b"\n", b"\r\n") + b"\n.\n" * 3_000_000 + b"\r\n.\r\n")
    assert client.reply() == PASSED
    assert peak(client) < MEMORY
    assert gateway.sent.replace(b"\r\n", b"\n") == HEAD + b"\n.\n" * 3_000_000 + b"\n"


def test_100_mb_that_are_linked(client: Client, gateway: Gateway) -> None:
    """What is taken off is as little in memory."""
    data = support.message(
        support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.noise(MB) * 72, "a.bin"))
    )
    (said,) = client.send(data)
    assert said.startswith(b"250 2.0.0 1 linked")
    assert peak(client) < MEMORY
    assert len(gateway.sent) < 10_000


def test_1000_recipients_of_each_of_ten_messages(client: Client, gateway: Gateway) -> None:
    """Each of them is answered, each time."""
    recipients = [f"recipient-with-a-long-name-{number:04}@department.example.net" for number in range(1000)]
    for _ in range(10):
        assert client.send(support.message(support.part(b"Hi\n")), recipients) == [PASSED] * 1000
    assert peak(client) < MEMORY
    assert [argv[5:] for argv, _ in gateway.calls] == [recipients] * 10


def test_a_command_without_end(client: Client) -> None:
    """100 MB of a command are one error, and the next command is one."""
    for _ in range(100):
        client.say(b"x" * MB)
    assert client.ask(b"").startswith(b"500 5.5.2")
    assert client.ask(b"NOOP").startswith(b"250")
    assert peak(client) < MEMORY
