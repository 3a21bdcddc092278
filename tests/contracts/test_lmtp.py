"""pfilter-lmtp as spawn(8) runs it: what it answers, what then has been sent, and that nothing stays."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pfilter.base.errors import UsageError
from pfilter.lmtp import door
from tests.lib import support
from tests.lib.smtp_server import Server
from tests.lib.support import BASE_URL, PROJECT, Gateway, crlf

LAUNCHER = PROJECT / "pfilter" / "lmtp_launcher.py"
PLAIN = support.message(support.part(b"Hello\n"))
BIG = support.message(
    support.multipart("mixed", support.part(b"Hello\n"), support.attachment(support.noise(900_000), "a.bin"))
)
READER = "reader@example.net"


def stuffed(data: bytes) -> bytes:
    """Return a message as a client sends it, with its end."""
    wire = crlf(data)
    wire = (b"." if wire.startswith(b".") else b"") + wire.replace(b"\r\n.", b"\r\n..")
    return wire + b".\r\n"


class Client:
    """A conversation with a process that was started as by spawn(8): one socket as all three descriptors."""

    def __init__(self, gateway: Gateway, *arguments: str, launcher: "Sequence[str]" = (), code: str = "") -> None:
        self.gateway = gateway
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", *(launcher or (["-c", code, str(LAUNCHER)] if code else [str(LAUNCHER)]))]
        with theirs:
            command += arguments or [f"--config={gateway.config}"]
            socket_of_all = theirs.fileno()
            self.process = subprocess.Popen(
                command,
                stdin=socket_of_all,
                stdout=socket_of_all,
                stderr=socket_of_all,
                env=gateway.environment,
            )
        ours.settimeout(30)
        self.socket = ours
        self.lines = ours.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> bytes:
        """Return the next reply, its lines joined, b"" at the end."""
        said = b""
        while line := self.lines.readline():
            said += line
            if line[3:4] != b"-":
                break
        return said.rstrip(b"\r\n")

    def say(self, octets: bytes) -> None:
        """Send octets."""
        self.socket.sendall(octets)

    def ask(self, line: bytes) -> bytes:
        """Send a command, return the reply."""
        self.say(line + b"\r\n")
        return self.reply()

    def envelope(
        self, recipients: "Sequence[str]" = (READER,), sender: str = "sender@example.org", ident: str = "4F2A"
    ) -> bytes:
        """Send all up to DATA in one write, return the reply to that."""
        lines = [f"XFORWARD ADDR=192.0.2.1 IDENT={ident}", f"MAIL FROM:<{sender}> SIZE=1"]
        lines += [f"RCPT TO:<{recipient}>" for recipient in recipients]
        self.say("".join(f"{line}\r\n" for line in [*lines, "DATA"]).encode())
        for _ in lines:
            assert self.reply().startswith(b"250 ")
        return self.reply()

    def send(self, data: bytes = PLAIN, recipients: "Sequence[str]" = (READER,), **named: str) -> "list[bytes]":
        """Send a message, return the replies to its end."""
        if not self.lhlo:
            self.lhlo = self.ask(b"LHLO here")
        said = self.envelope(recipients, **named)
        if not said.startswith(b"354"):
            return [said]
        self.say(stuffed(data))
        return [self.reply() for _ in recipients]

    lhlo = b""

    def ended(self) -> int:
        """Wait until the process has ended, return its status; nothing more was said."""
        with contextlib.suppress(ConnectionResetError):  # what we said last was not read
            assert self.lines.read() == b""
        return self.process.wait(30)

    def close(self) -> None:
        """Hang up, and end the process if it does not do so by itself."""
        with contextlib.suppress(OSError):
            self.lines.close()
        self.socket.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


Start = Callable[..., Client]


def hooked(code: str) -> str:
    """Return a program that is the door, but for what some code changes in it first."""
    return (
        "import sys, os, signal\nimport pfilter.lmtp.door\nfrom pfilter import pipeline\n"
        f"from pfilter.delivery import reinject\n{code}\n"
        "heard, said = os.dup(0), os.dup(1)\n"
        "sys.exit(pfilter.lmtp.door.main([a.encode() for a in sys.argv[2:]], heard, said, sys.argv[1]))"
    )


@pytest.fixture
def start(gateway: Gateway) -> Iterator[Start]:
    """Return a function that starts a conversation."""
    clients: list[Client] = []

    def make(*arguments: str, **named: object) -> Client:
        clients.append(Client(gateway, *arguments, **named))  # type: ignore[arg-type]
        return clients[-1]

    yield make
    for client in clients:
        client.close()


class Recorder(Server):
    """An SMTP server that keeps what each transaction had: recipients, and content."""

    def __init__(self, replies: "dict[bytes, bytes | None] | None" = None, dot: "Sequence[bytes | None]" = ()) -> None:
        self.taken: list[tuple[list[str], bytes]] = []
        self.dots = list(dot)  # what is said to the end of one message after the other; then 250
        super().__init__(replies, sessions=1000)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            super()._serve()

    def _read_data(self, lines: "Iterator[bytes]") -> None:
        content = []
        for line in lines:
            if line == b".\r\n":
                break
            content.append(line)
        else:
            return  # they have hung up
        self.messages.append(b"".join(content))
        begun = max(at for at, verb in enumerate(self.verbs) if verb == b"MAIL")
        named = [line[9:-3].decode() for line in self.commands[begun:] if line.startswith(b"RCPT TO:<")]
        self.replies[b"."] = said = self.dots.pop(0) if self.dots else b"250 ok"
        if said and said.startswith(b"250"):
            self.taken.append((named, b"".join(content).replace(b"\r\n", b"\n")))

    def stop(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def recorder(gateway: Gateway) -> Iterator[Callable[..., Recorder]]:
    """Return a function that lets the way back lead to a server that records."""
    made: list[Recorder] = []

    def make(*given: object, **sections: str) -> Recorder:
        made.append(Recorder(*given))  # type: ignore[arg-type]
        policy = sections.pop("policy", 'exempt_recipients = ["@archive.example"]')
        gateway.configure(policy=policy, reinject=f'method = "smtp"\nsmtp = "{made[-1].address}"', **sections)
        return made[-1]

    yield make
    for one in made:
        one.stop()


def starts(said: "list[bytes]", *wanted: bytes) -> bool:
    """Whether each reply begins as wanted."""
    return len(said) == len(wanted) and all(map(bytes.startswith, said, wanted))


def events(gateway: Gateway, name: str) -> "list[str]":
    """Return the events of a name."""
    text = gateway.log.read_text() if gateway.log.exists() else ""
    return [line for line in text.splitlines() if f'"event":"{name}"' in line.replace('": "', '":"')]


# --- Sent


def test_a_message_that_needs_nothing(start: Start, gateway: Gateway) -> None:
    """It goes back byte for byte, with its envelope, and the reply says why it passed."""
    assert start().send() == [b"250 2.0.0 passed (no attachments)"]
    ((argv, stdin),) = gateway.calls
    assert argv == ["-G", "-i", "-f", "sender@example.org", "--", READER]
    assert stdin == PLAIN


def test_many_messages_in_one_process(start: Start, gateway: Gateway) -> None:
    """Each has its own envelope, its own replies, its own event."""
    client = start()
    for number in range(20):
        recipients = [f"r{n}-{number}@example.net" for n in range(number % 3 + 1)]
        data = BIG if number % 5 == 4 else PLAIN
        said = client.send(data, recipients, sender=f"s{number}@example.org", ident=f"Q{number}")
        assert said == [said[0]] * len(recipients)
        assert said[0].startswith(b"250 2.0.0 1 linked, 1.2 MB -> " if data is BIG else b"250 2.0.0 passed")
    assert [argv[3] for argv, _ in gateway.calls] == [f"s{n}@example.org" for n in range(20)]
    assert client.ask(b"QUIT") == b"221 2.0.0 Bye"  # what is logged is logged after the replies
    assert client.ended() == 0
    assert [re.findall(r'"queue_id": "(\w+)"', line)[0] for line in events(gateway, "message")] == [
        f"Q{n}" for n in range(20)
    ]


def test_the_same_links_as_by_the_pipe(start: Start, gateway: Gateway) -> None:
    """What arrives by either door leaves the same, octet for octet, and an attempt by the other finds its files."""
    gateway.pipe(BIG)
    start().send(BIG)
    (_, first), (_, second) = gateway.calls
    assert first == second
    assert support.addresses(first.decode("ascii"))[0].startswith(BASE_URL)
    assert len(list((gateway.store / "records").iterdir())) == 1


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b".\n", b"\n.\n.\n", b"..\n", b"\0\n", b"\xff\xfe\n"),
        *(b"x" * 1_000_000 + b"\n", b"bare\rcr\n", b"From here\n", b"\n" * 1_000_000),
    ],
    ids=["empty", "dot", "dots", "two dots", "nul", "8-bit", "long line", "bare cr", "From", "empty lines"],
)
def test_odd_bodies_arrive_as_they_are(start: Start, gateway: Gateway, body: bytes) -> None:
    """Whatever is in a body, it goes on octet for octet."""
    data = b"Subject: x\n\n" + body
    assert start().send(data) == [b"250 2.0.0 passed (no attachments)"]
    assert gateway.sent == data


def test_a_large_message_takes_little_memory(start: Start, gateway: Gateway) -> None:
    """100 MB become a link, and the process is no larger than by small ones; nor is anything left of them."""
    client = start()
    client.send()
    data = support.message(
        support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.noise(1 << 20) * 72))
    )
    assert len(data) > 100_000_000
    assert client.send(data)[0].startswith(b"250 2.0.0 1 linked, 102 MB -> ")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{client.process.pid}/status").read_text())
    assert peak
    assert int(peak[1]) < 60_000
    assert list((gateway.store / "tmp").iterdir()) == []


def test_1000_recipients(start: Start, gateway: Gateway) -> None:
    """Each has his reply, and there is one reinjection."""
    recipients = [f"r{number}@example.net" for number in range(1000)]
    assert start().send(PLAIN, recipients) == [b"250 2.0.0 passed (no attachments)"] * 1000
    ((argv, _),) = gateway.calls
    assert argv[5:] == recipients


def test_the_way_back_by_smtp(start: Start, recorder: Callable[..., Recorder]) -> None:
    """By SMTP it is one transaction, with client and queue id of the front."""
    server = recorder()
    client = start()
    assert client.send(PLAIN, ["a@example.net", "b@example.net"]) == [b"250 2.0.0 passed (no attachments)"] * 2
    client.ask(b"QUIT")
    client.ended()
    assert server.taken == [(["a@example.net", "b@example.net"], PLAIN)]
    assert server.commands[1] == b"XFORWARD ADDR=192.0.2.1 IDENT=4F2A\r\n"
    assert server.verbs == [b"EHLO", b"XFORWARD", b"MAIL", b"RCPT", b"RCPT", b"DATA", b"QUIT"]


# --- Not sent, or not to all


def test_one_recipient_has_no_address(start: Start, gateway: Gateway, recorder: Callable[..., Recorder]) -> None:
    """He is refused for good, the others get the message: each is told his own."""
    server = recorder({b"RCPT TO:<b@example.net>": b"501 5.1.3 Bad recipient address syntax"})
    client = start()
    first, second, third = client.send(PLAIN, ["a@example.net", "b@example.net", "c@example.net"])
    client.ask(b"QUIT")  # what is logged is logged after the replies
    assert len(server.taken) == 1  # Postfix makes the report: nobody is told twice
    assert first == third == b"250 2.0.0 passed (no attachments)"
    assert second == (b"550 5.1.3 pfilter: SMTP server refused the recipient: 501 5.1.3 Bad recipient address syntax")
    assert len(events(gateway, "recipient refused")) == 1


def test_all_recipients_have_no_address(start: Start, recorder: Callable[..., Recorder]) -> None:
    """Then all are refused, as Postfix would have done."""
    recorder({b"RCPT": b"501 5.1.3 Bad recipient address syntax"})
    said = start().send(PLAIN, ["a@example.net", "b@example.net"])
    assert [line[:9] for line in said] == [b"550 5.1.3"] * 2


@pytest.mark.parametrize("code", [b"451 4.3.0 later", b"550 5.7.1 never", None])
@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
def test_any_other_refusal_means_later(
    start: Start, recorder: Callable[..., Recorder], verb: bytes, code: "bytes | None"
) -> None:
    """A relay that is broken bounces nothing: all are told to come again, and the next message goes its way."""
    broken = recorder({verb: code}, [code] if verb == b"." else [])
    client = start()
    said = client.send(PLAIN, ["a@example.net", "b@example.net"])
    assert starts(said, *[b"451 4.3.0 pfilter: SMTP server" if code else b"451 4.3.0 pfilter: "] * 2)
    assert broken.taken == []
    other = recorder()  # and the configuration names it
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert len(other.taken) == 1


def test_sendmail_fails(start: Start, gateway: Gateway) -> None:
    """It is 4xx, with the reason, in the event too; then it works again, in the same process."""
    gateway.stub("echo broken >&2; exit 75")
    client = start()
    (said,) = client.send()
    assert said.startswith(b"451 4.3.0 pfilter: ")
    assert b"broken" in said
    assert len(events(gateway, "failed")) == 1
    gateway.stub("")
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]


def test_policy_refuses(start: Start, gateway: Gateway) -> None:
    """What the configuration wants to be refused is 550; what it wants to wait, 451."""
    ambiguous = support.message(b"Content-Type: a/b\nContent-Type: c/d\n\nx\n")
    gateway.configure(policy='ambiguous = "defer"')
    client = start()
    (said,) = client.send(ambiguous)
    assert said.startswith(b"451 4.3.0 pfilter: ambiguous")
    gateway.configure(policy='ambiguous = "quarantine"')
    (said,) = client.send(ambiguous)
    assert said.startswith(b"250 2.0.0 quarantined (ambiguous")
    assert gateway.calls == []


def test_a_broken_configuration_puts_off_until_it_is_mended(start: Start, gateway: Gateway) -> None:
    """It is looked at for each message: 451 4.3.5 with the sentence while it is broken; the process lives on."""
    client = start()
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    good = gateway.config.read_text()
    for _ in range(2):
        gateway.config.write_text(good + "[policy\n")
        (said,) = client.send()
        assert said.startswith(b"451 4.3.5 pfilter: ")
        assert b"pfilter.toml" in said
    gateway.config.unlink()
    (said,) = client.send()
    assert said.startswith(b"451 4.3.5 pfilter: ")
    gateway.config.write_text(good.replace('"example.org"', '"example.com"'))
    assert client.send() == [b"250 2.0.0 passed (not our sender)"]
    gateway.config.write_text(good)
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]


def test_an_old_configuration_is_kept_and_a_changed_one_seen(start: Start, gateway: Gateway) -> None:
    """What has been kept for many messages counts no longer than the file has not changed."""
    client = start()
    good = gateway.config.read_text()
    time.sleep(2.2)
    for _ in range(3):
        assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    gateway.config.write_text(good.replace('"example.org"', '"example.com"'))
    assert client.send() == [b"250 2.0.0 passed (not our sender)"]


def test_authenticated(start: Start, gateway: Gateway) -> None:
    """Where all clients have logged in, every sender is ours, as the log says; without, a foreign one is foreign."""
    for arguments, says in (((), b"not our sender"), (("--authenticated",), b"no attachments")):
        client = start(f"--config={gateway.config}", *arguments)
        assert client.send(sender="x@example.com") == [b"250 2.0.0 passed (%s)" % says]
        client.ask(b"QUIT")
        client.ended()
    foreign, ours = events(gateway, "message")
    assert "sasl_user" not in foreign
    assert '"sasl_user": "(authenticated)"' in ours


def test_no_message(start: Start, gateway: Gateway) -> None:
    """No octets are no message."""
    (said,) = start().send(b"")
    assert said.startswith(b"451 4.3.0 pfilter: ")
    assert gateway.calls == []


def test_no_room_for_the_message(start: Start, gateway: Gateway) -> None:
    """A message that can't be written down is read to its end all the same, and put off."""
    code = hooked(
        "from pfilter.base import spool\n"
        "def full(fd, data): raise OSError(28, 'No space left on device')\n"
        "write = spool.write_all\n"
        "def some(fd, data):\n    if len(data) > 1000: full(fd, data)\n    write(fd, data)\n"
        "spool.write_all = some\n"
    )
    client = start(code=code)
    for data in (BIG * 3, b"A: b\n\n" + b"x" * 2000 + b"\n"):
        (said,) = client.send(data)
        assert said == b"451 4.3.0 pfilter: No space left on device"
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]


# --- Some are exempt

EXEMPT = "all@archive.example"
MIXED = ("a@example.net", EXEMPT, "b@example.net")
OTHERS = ["a@example.net", "b@example.net"]
LINKED = b"250 2.0.0 1 linked, 1.2 MB -> "
PASSED = b"250 2.0.0 passed (exempt recipients)"


def test_who_is_exempt_gets_the_original(start: Start, gateway: Gateway, recorder: Callable[..., Recorder]) -> None:
    """The others get the filtered message, each group in a transaction of its own, and each is told his own."""
    server = recorder()
    client = start()
    assert starts(client.send(BIG, MIXED), LINKED, PASSED, LINKED)
    assert client.ask(b"QUIT").startswith(b"221")
    client.ended()
    (first, filtered), (second, original) = server.taken
    assert (first, second) == (OTHERS, [EXEMPT])
    assert BASE_URL.encode() in filtered
    assert original == BIG
    linked, passed = events(gateway, "message")
    assert '"recipients": 2' in linked
    assert "exempt" not in linked  # nobody among these is
    assert '"recipients": 1' in passed
    assert '"level": "debug"' in passed
    assert '"reason": "exempt recipients"' in passed


@pytest.mark.parametrize(
    "data", [PLAIN, support.message(support.multipart("mixed", support.attachment(b"x", "a.bin")))]
)
def test_what_passes_for_all_is_sent_once(start: Start, recorder: Callable[..., Recorder], data: bytes) -> None:
    """Where the filter has nothing to do all get the same, in one transaction."""
    server = recorder()
    said = start().send(data, MIXED)
    assert said == [said[0]] * 3
    assert [named for named, _ in server.taken] == [list(MIXED)]


def test_the_pipe_filters_for_all(gateway: Gateway) -> None:
    """One exit status says one thing: there all get the filtered message, and the log says that some are exempt."""
    gateway.configure(policy='exempt_recipients = ["@archive.example"]')
    gateway.pipe(BIG, recipients=MIXED)
    assert BASE_URL.encode() in gateway.sent
    (line,) = events(gateway, "message")
    assert "1 of 3 recipients are exempt, filtered for all" in line


def test_the_bandwidth_rule_counts_who_gets_the_filtered_message(
    start: Start, recorder: Callable[..., Recorder]
) -> None:
    """Those who get the original are none of them."""
    data = support.message(
        support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.noise(200_000), "a.bin"))
    )
    server = recorder((), link='part_limit = "10 MB"\nbandwidth_limit = "900 kB"\nmin_size = "10 kB"')
    client = start()
    client.send(data, ("a@example.net", "b@example.net", "c@archive.example", "d@archive.example"))
    assert [len(named) for named, _ in server.taken] == [4]  # 2 times 270 kB
    client.send(data, ("a@example.net", "b@example.net", "c@example.net", "d@example.net", EXEMPT))
    assert [len(named) for named, _ in server.taken] == [4, 4, 1]  # 4 times


@pytest.mark.parametrize(
    ("dots", "said", "again", "names"),
    [
        ([b"451 4.3.0 no"], (b"451 4.3.0", PASSED, b"451 4.3.0"), OTHERS, [[EXEMPT], OTHERS]),
        ([b"250 ok", b"550 5.7.1 no"], (LINKED, b"451 4.3.0", LINKED), [EXEMPT], [OTHERS, [EXEMPT]]),
    ],
    ids=["the filtered", "the original"],
)
def test_what_fails_for_one_group_is_tried_again_for_it_alone(
    start: Start,
    gateway: Gateway,
    recorder: Callable[..., Recorder],
    dots: "list[bytes]",
    said: "tuple[bytes, ...]",
    again: "list[str]",
    names: "list[list[str]]",
) -> None:
    """The others got it, and are told so; the second try finds the same links, and nothing is sent twice."""
    server = recorder({}, dots)
    client = start()
    assert starts(client.send(BIG, MIXED), *said)
    client.ask(b"NOOP")
    (failure,) = events(gateway, "failed")
    assert f'"recipients": {len(again)}' in failure
    assert starts(client.send(BIG, again), *(b"250" for _ in again))
    assert [named for named, _ in server.taken] == names
    client.send(BIG, OTHERS)
    first, second = (support.addresses(data.decode()) for named, data in server.taken if named == OTHERS)
    assert first == second != []
    assert len(list((gateway.store / "records").iterdir())) == 1


def test_both_groups_fail(start: Start, gateway: Gateway, recorder: Callable[..., Recorder]) -> None:
    """Then each is told why, and nobody has it."""
    server = recorder({}, [b"451 4.3.0 one", b"451 4.3.0 other"])
    said = start().send(BIG, MIXED)
    assert [line[-5:] for line in said] == [b"0 one", b"other", b"0 one"]
    assert server.taken == []


def test_no_room_in_the_store_is_nothing_to_who_is_exempt(
    start: Start, gateway: Gateway, recorder: Callable[..., Recorder]
) -> None:
    """What can't be filtered waits; the original goes to whom it is meant for."""
    server = recorder((), store='min_free = "1000 TB"\non_full = "defer"')
    assert starts(start().send(BIG, MIXED), b"451 4.3.0", PASSED, b"451 4.3.0")
    assert server.taken == [([EXEMPT], BIG)]


def test_a_bug_in_the_filter_is_nothing_to_who_is_exempt(start: Start, recorder: Callable[..., Recorder]) -> None:
    """Nor is one, or no memory; the process ends then."""
    server = recorder()
    client = start(code=hooked("def bug(*_): raise ValueError('a bug')\npipeline._change = bug"))
    assert starts(client.send(BIG, MIXED), b"451 4.3.0 pfilter: ValueError", PASSED, b"451 4.3.0")
    assert server.taken == [([EXEMPT], BIG)]
    assert client.ended() != 0


BETWEEN = """
send = reinject.send
sent = []
def sending(*given):
    if sent:
        {}
    sent.append(send(*given))
    return sent[-1]
reinject.send = sending
"""


@pytest.mark.parametrize(
    ("what", "taken"),
    [
        ("raise MemoryError", 1),
        ("raise ValueError('a bug')", 1),
        ("raise OSError(5, 'Input/output error')", 1),
        ("from pfilter.base.errors import DeadlineError; raise DeadlineError('late')", 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", 2),
        ("os.kill(os.getpid(), signal.SIGALRM)", 2),
    ],
)
def test_what_happens_between_two_deliveries(
    start: Start, recorder: Callable[..., Recorder], what: str, taken: int
) -> None:
    """Who got it is told 250, and nobody is who did not."""
    server = recorder()
    client = start(code=hooked(BETWEEN.format(what)))
    said = client.send(BIG, MIXED)
    assert starts(said, LINKED, PASSED if taken == 2 else b"451 4.3.0", LINKED)
    assert len(server.taken) == taken


def test_stopped_before_the_first_delivery(start: Start, recorder: Callable[..., Recorder]) -> None:
    """Then there is no second one either: all are told to come again."""
    server = recorder()
    once = "def once(self, done=[]):\n    if not done: done.append(1) or os.kill(os.getpid(), signal.SIGTERM)\n"
    client = start(code=hooked(once + "pfilter.lmtp.door._Door.refuse_gone = once"))
    assert starts(client.send(BIG, MIXED), *[b"451 4.3.0 pfilter: stopped by signal 15"] * 3)
    assert server.taken == []


def test_no_time_for_the_second_delivery(start: Start, recorder: Callable[..., Recorder]) -> None:
    """Where the first took all of it the second waits, and the first is answered all the same, and told about."""
    server = recorder((), policy='exempt_recipients = ["@archive.example"]\ndeadline = "30s"')
    late = "pfilter.run.monotonic = lambda: time.monotonic() + (60 if sent else 0)\nimport time"
    client = start(code=hooked(BETWEEN.format("pass") + late))
    assert starts(client.send(BIG, MIXED), LINKED, b"451 4.3.0 pfilter: no time left", LINKED)
    assert len(server.taken) == 1


def test_the_client_is_gone_between_two_deliveries(
    start: Start, gateway: Gateway, recorder: Callable[..., Recorder]
) -> None:
    """Postfix tries all again: what was not sent yet is not sent."""
    server = recorder()
    code = BETWEEN.format("pass") + (
        "def taking(*given):\n    sent.append(send(*given))\n"
        "    while len(sent) == 1 and not os.path.exists(sys.argv[2][9:] + '.gone'): pass\n    return sent[-1]\n"
        "reinject.send = taking\n"
    )
    client = start(code=hooked(code))
    client.ask(b"LHLO here")
    assert client.envelope(MIXED).startswith(b"354")
    client.say(stuffed(BIG))
    while not server.taken:
        time.sleep(0.02)
    client.lines.close()
    client.socket.close()
    Path(f"{gateway.config}.gone").touch()
    client.process.wait(30)
    assert [named for named, _ in server.taken] == [OTHERS]


def test_quarantine_is_for_all(start: Start, gateway: Gateway, recorder: Callable[..., Recorder]) -> None:
    """What goes to quarantine does so once, with all recipients: 250 for each, whoever is exempt."""
    server = recorder(())
    ambiguous = support.message(b"Content-Type: a/b\nContent-Type: c/d\n\nx\n")
    gateway.configure(policy='ambiguous = "quarantine"\nexempt_recipients = ["@archive.example"]')
    assert starts(start().send(ambiguous, MIXED), *[b"250 2.0.0 quarantined"] * 3)
    assert server.taken == []
    (entry,) = (gateway.store / "quarantine").glob("*.json")
    assert all(address in entry.read_text() for address in MIXED)


def test_the_sender_is_told_behind_the_reply(start: Start, gateway: Gateway, recorder: Callable[..., Recorder]) -> None:
    """When both groups have been tried, and all are answered, and once."""
    server = recorder((), notify="sender = true")
    client = start()
    assert starts(client.send(BIG, MIXED), LINKED, PASSED, LINKED)
    client.ask(b"QUIT")
    client.ended()
    assert [named for named, _ in server.taken] == [OTHERS, [EXEMPT], ["sender@example.org"]]


@pytest.mark.parametrize(
    ("said", "recipients", "wanted"),
    [
        ({"b": b"450 4.2.0 busy"}, "abc", (b"250", b"451 4.2.0 pfilter: ", b"250")),
        ({"b": b"550 5.1.1 unknown"}, "abc", (b"250", b"550 5.1.1 pfilter: ", b"250")),
        ({"b": b"550 5.7.1 never"}, "abc", (b"250", b"451 4.7.1 pfilter: ", b"250")),
        ({"a": b"450 4.2.0 x", "c": b"550 5.1.1 y"}, "abc", (b"451 4.2.0", b"250", b"550 5.1.1")),
        ({"a": [b"452 4.5.3 x", b"550 5.1.1 y"]}, "aba", (b"451 4.5.3", b"250", b"550 5.1.1")),
        ({"a": [b"250 ok", b"452 4.5.3 x"]}, "aba", (b"250", b"250", b"451 4.5.3")),
    ],
    ids=["for now", "address", "policy", "two", "named twice", "the second of two"],
)
def test_a_refusal_is_the_recipients_own(
    start: Start,
    gateway: Gateway,
    recorder: Callable[..., Recorder],
    said: "dict[str, Any]",
    recipients: str,
    wanted: "tuple[bytes, ...]",
) -> None:
    """4xx stays with him; 5xx becomes 4xx, but where it is about the address: and that in the order of recipients."""
    server = recorder({f"RCPT TO:<{letter}@example.net>".encode(): reply for letter, reply in said.items()})
    named = [f"{letter}@example.net" for letter in recipients]
    client = start()
    assert starts(client.send(PLAIN, named), *wanted)
    assert client.ask(b"NOOP").startswith(b"250")
    assert len(server.taken) == 1
    (event,) = events(gateway, "recipient refused")
    assert f'"recipients": {sum(not one.startswith(b"250") for one in wanted)}' in event


def test_addresses_of_one_group_are_refused(start: Start, recorder: Callable[..., Recorder]) -> None:
    """Others got it, so that Postfix may bounce them; where others have to come again, so have they."""
    server = recorder({b"RCPT TO:<all@archive.example>": b"550 5.1.1 unknown"})
    client = start()
    assert starts(client.send(BIG, MIXED), LINKED, b"550 5.1.1 pfilter: ", LINKED)
    server.dots = [b"451 4.3.0 no"]
    assert starts(client.send(BIG, MIXED), b"451 4.3.0", b"451 4.1.1", b"451 4.3.0")


# --- Interrupted


@pytest.mark.parametrize("at", [0, 1, 50, 100, -6, -5, -4, -3, -2, -1])
def test_the_client_hangs_up_within_a_message(start: Start, gateway: Gateway, at: int) -> None:
    """Nothing is sent of a message without its last octet, and the process ends."""
    client = start()
    client.ask(b"LHLO here")
    assert client.envelope().startswith(b"354")
    client.say(stuffed(PLAIN)[:at])
    client.socket.shutdown(socket.SHUT_WR)
    assert client.ended() == 0
    assert gateway.calls == []


@pytest.mark.parametrize("octets", [b"", b"LH", b"LHLO x\r\n", b"LHLO x\r\nMAIL FROM:<>\r\n"], ids=repr)
def test_the_client_hangs_up_between_messages(start: Start, octets: bytes) -> None:
    """Then there is nothing more to do."""
    client = start()
    client.say(octets)
    client.socket.shutdown(socket.SHUT_WR)
    client.lines.read()
    assert client.process.wait(30) == 0


def test_the_client_is_gone_before_the_reinjection(start: Start, gateway: Gateway) -> None:
    """Postfix tries again what was cut off: it is not sent on."""
    client = start()
    client.ask(b"LHLO here")
    assert client.envelope().startswith(b"354")
    os.kill(client.process.pid, signal.SIGSTOP)
    client.say(stuffed(PLAIN))
    client.lines.close()
    client.socket.close()
    os.kill(client.process.pid, signal.SIGCONT)
    client.process.wait(30)
    assert gateway.calls == []


def test_what_was_sent_is_never_taken_back(start: Start, gateway: Gateway) -> None:
    """Whatever breaks once sendmail has it, the answer is 250: here the event and the notification."""
    code = hooked("def tell(*_, **__): raise MemoryError\npipeline._tell = tell\n")
    client = start(code=code)
    assert client.send(BIG)[0].startswith(b"250 2.0.0 1 linked")
    assert client.ended() != 0  # something may be torn
    assert len(gateway.calls) == 1
    assert len(events(gateway, "failed after delivery")) == 1


def test_no_memory_to_say_who_was_refused(start: Start, gateway: Gateway) -> None:
    """Then all come again, rather than that one is told 250 who neither got it nor hears of it."""
    code = hooked(
        "from pfilter.message.model import Refused\n"
        "one = Refused(address=b'a@example.net', status='5.1.3', said='501 no', server='mx')\n"
        "reinject.send = lambda *_: (one,)\n"
        "def fails(*_): raise MemoryError\n"
        "pfilter.lmtp.answers.refused = fails\n"
    )
    client = start(code=code)
    assert client.send(PLAIN, ("a@example.net", "b@example.net")) == [b"451 4.3.0 pfilter: MemoryError: "] * 2
    assert client.ended() != 0


def test_a_bug_puts_the_message_off_and_ends_the_process(start: Start, gateway: Gateway) -> None:
    """What is not one of our errors may have left anything behind."""
    code = hooked("def scan(*_): raise ValueError('a bug')\npipeline.scan = scan\n")
    client = start(code=code)
    assert client.send() == [b"451 4.3.0 pfilter: ValueError: a bug"]
    assert client.ended() != 0
    assert gateway.calls == []


def test_a_message_that_exhausts_memory(start: Start, gateway: Gateway) -> None:
    """It is put off and named in the log, and takes its process with it; the next message has another."""
    client = start(code=hooked("def scan(*_): bytearray(2 << 30)\npipeline.scan = scan"))
    (said,) = client.send(ident="Q1")
    assert said.startswith(b"451 4.3.0 pfilter: MemoryError")
    assert client.ended() != 0
    (event,) = events(gateway, "failed")
    assert '"queue_id": "Q1"' in event
    assert gateway.calls == []
    assert start().send() == [b"250 2.0.0 passed (no attachments)"]


def test_a_message_that_exhausts_the_processor(start: Start, gateway: Gateway) -> None:
    """Where not even an alarm gets through the limit kills the process: nothing was said, so that Postfix keeps it."""
    endless = "sum(map(abs, __import__('itertools').repeat(1)))"
    hook = f"import pfilter.run\npipeline.scan = lambda *_: {endless}\npfilter.run.processor_seconds = lambda _: 1"
    client = start(code=hooked(hook))
    assert client.send(ident="Q1") == [b""]
    assert client.ended() == -signal.SIGXCPU
    assert gateway.calls == []


def test_processor_time_is_each_messages_own(start: Start) -> None:
    """What one used up is not missing for the next."""
    burn = "end = time.process_time() + 0.6\n    while time.process_time() < end: pass\n    return scan(*given)"
    hook = f"import pfilter.run, time\nscan = pipeline.scan\ndef scanning(*given):\n    {burn}\n"
    hook += "pipeline.scan = scanning\npfilter.run.processor_seconds = lambda _: 1"
    client = start(code=hooked(hook))
    for _ in range(5):
        assert client.send() == [b"250 2.0.0 passed (no attachments)"]


def test_sigterm_between_messages(start: Start) -> None:
    """It ends, and says so."""
    client = start()
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    client.ask(b"NOOP")
    client.process.send_signal(signal.SIGTERM)
    assert client.reply().startswith(b"421 4.3.2 ")
    assert client.ended() == 0


def test_sigterm_within_a_message(start: Start, gateway: Gateway) -> None:
    """Before anything was sent it puts the message off."""
    client = start()
    client.ask(b"LHLO here")
    assert client.envelope().startswith(b"354")
    client.say(stuffed(PLAIN)[:-3])
    client.process.send_signal(signal.SIGTERM)
    assert client.reply().startswith(b"421 4.3.0 pfilter: stopped by signal 15")
    assert client.ended() != 0
    assert gateway.calls == []


def test_sigterm_while_it_is_sent(start: Start, gateway: Gateway) -> None:
    """The reinjection is never broken off."""
    called = gateway.root / "called"
    gateway.stub(f"touch {called}; sleep 1")
    client = start()
    client.ask(b"LHLO here")
    assert client.envelope().startswith(b"354")
    client.say(stuffed(PLAIN))
    while not called.exists():
        time.sleep(0.02)
    client.process.send_signal(signal.SIGTERM)
    assert client.reply() == b"250 2.0.0 passed (no attachments)"
    assert len(gateway.calls) == 1


def test_sigterm_behind_the_answer(start: Start, gateway: Gateway, tmp_path: Path) -> None:
    """While the log is written it is not lost: the process ends then."""
    code = hooked(
        "tell = pipeline._tell\n"
        "def telling(*given, **named):\n    os.kill(os.getpid(), signal.SIGTERM)\n    tell(*given, **named)\n"
        "pipeline._tell = telling\n"
    )
    client = start(code=code)
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert client.ended() == 0
    assert len(events(gateway, "message")) == 1


def test_what_comes_behind_the_answer_has_a_limit(start: Start, gateway: Gateway) -> None:
    """A log or a notification that hangs keeps nobody waiting: the process ends, and the message stays sent."""
    hook = "import pfilter.run, time\npfilter.run.AFTERWARDS = 1\npipeline._tell = lambda *_: time.sleep(300)"
    gateway.configure(reinject='timeout = "30s"\ndata_done_timeout = "60s"')
    client = start(code=hooked(hook))
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert client.ended() != 0
    assert len(events(gateway, "failed after delivery")) == 1


def test_the_deadline_of_a_message(start: Start, gateway: Gateway) -> None:
    """Each has its own; one who does not finish in time is told to come again, and nothing of it is sent."""
    gateway.configure(policy='deadline = "4s"', reinject='timeout = "1s"\ndata_done_timeout = "1s"')
    client = start()
    for _ in range(3):
        assert client.send() == [b"250 2.0.0 passed (no attachments)"]
        time.sleep(1.2)
    assert client.envelope().startswith(b"354")
    client.say(stuffed(PLAIN)[:-3])
    assert client.reply().startswith(b"421 4.3.0 pfilter: the deadline")
    client.ended()
    assert len(gateway.calls) == 3


# --- Ends by itself


@pytest.mark.parametrize(
    "limit", ["LIFETIME = 0", "MESSAGES = 1", "MEMORY_LIMIT = 1", "identity = iter(range(9)).__next__"]
)
def test_it_ends_between_messages(start: Start, gateway: Gateway, limit: str) -> None:
    """Old, busy enough, grown or of yesterday: it ends after the answer, never before."""
    name, _, value = limit.partition(" = ")
    value = f"lambda _, n={value}: n()" if name == "identity" else value
    code = hooked(
        "take = pfilter.lmtp.door._Door.take\n"
        "def taking(self, envelope):\n"
        f"    pfilter.lmtp.process.{name} = {value}\n    pfilter.lmtp.process.LOOK = 0\n"
        "    take(self, envelope)\n"
        "pfilter.lmtp.door._Door.take = taking\n"
    )
    client = start(code=code)
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert client.ended() == 0
    assert len(gateway.calls) == 1


def test_it_does_not_end_within_a_transaction(start: Start, gateway: Gateway) -> None:
    """Who has said MAIL may go on to the end of his message, however old the process is."""
    hook = (
        "import pfilter.lmtp.process, pfilter.lmtp.protocol as p\nmail = p.Session._verbs[b'MAIL']\n"
        "def old(*given):\n    pfilter.lmtp.process.LIFETIME = -1\n    return mail(*given)\n"
        "p.Session._verbs[b'MAIL'] = old"
    )
    client = start(code=hooked(hook))
    client.ask(b"LHLO here")
    assert client.ask(b"MAIL FROM:<a@example.org>").startswith(b"250")
    assert client.ask(b"RCPT TO:<b@example.net>").startswith(b"250")
    assert client.ask(b"DATA").startswith(b"354")
    client.say(stuffed(PLAIN))
    assert client.reply().startswith(b"250")
    assert client.ended() == 0
    assert len(gateway.calls) == 1


def test_another_version_is_noticed(start: Start, gateway: Gateway, tmp_path: Path) -> None:
    """When the link leads to another version, a process that waits ends: the next connection's is of that."""
    link = tmp_path / "current"
    link.symlink_to(LAUNCHER)
    client = start(launcher=[str(link)])
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    other = tmp_path / "other.py"
    other.write_bytes(LAUNCHER.read_bytes())
    new = tmp_path / "new"
    new.symlink_to(other)
    new.rename(link)
    assert client.ended() == 0


def test_who_was_told_that_all_is_well_may_go_on(start: Start, gateway: Gateway, tmp_path: Path) -> None:
    """Postfix probes a connection that it kept by RSET, and puts off the message if it is closed behind the 250."""
    program = tmp_path / "program"
    program.write_bytes(LAUNCHER.read_bytes())
    client = start(launcher=[str(program)])
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert client.ask(b"NOOP") == b"250 2.0.0 Ok"  # by now it waits
    program.write_bytes(LAUNCHER.read_bytes() + b"\n")
    assert client.ask(b"RSET") == b"250 2.0.0 Ok"
    assert client.send() == [b"250 2.0.0 passed (no attachments)"]
    assert client.ended() == 0
    assert len(gateway.calls) == 2


# --- Nothing stays


WATCHED = """
import gc, json, resource
take = pfilter.lmtp.door._Door.take
def taking(self, envelope):
    take(self, envelope)
    signals = (signal.SIGALRM, *pfilter.run.SIGNALS)
    limits = ("AS", "CORE", "NOFILE", "FSIZE", "DATA", "STACK")
    state = {
        "descriptors": [os.readlink(f) for f in map("/proc/self/fd/{}".format, range(1024)) if os.path.lexists(f)],
        "handlers": [getattr(of, "__name__", str(of)) for of in map(signal.getsignal, signals)],
        "timers": [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL)],
        "masked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "limits": [resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in limits],
        "cwd and umask": [os.getcwd(), os.umask(0o077)],
        "environment": sorted(os.environ),
        "objects": gc.get_freeze_count() + len(gc.get_objects()),
        "resident": pfilter.lmtp.process.resident(),
    }
    with open(sys.argv[2][9:] + ".state", "a") as stream:
        print(json.dumps(state), file=stream)
pfilter.lmtp.door._Door.take = taking
"""


class Scanner(threading.Thread):
    """What answers like clamd(8): whatever has the word VIRUS in it has a virus."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        path.chmod(0o777)

    def run(self) -> None:
        """Answer one connection after the other."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, connection.makefile("rb") as stream:
                    command = b""
                    while not command.endswith(b"\0"):
                        command += stream.read(1)
                    data = b""
                    while size := int.from_bytes(stream.read(4), "big"):
                        data += stream.read(size)
                    connection.sendall(b"stream: Test FOUND\0" if b"VIRUS" in data else b"stream: OK\0")


def test_nothing_stays_of_a_message(
    start: Start, gateway: Gateway, recorder: Callable[..., Recorder], tmp_path: Path
) -> None:
    """After hundreds of messages of all kinds a process is what it was after some.

    Descriptors, timers, handlers of signals, limits, objects and temporary files.
    """
    scanner = Scanner(tmp_path / "clamd")
    scanner.start()
    policy = 'exempt_recipients = ["@archive.example"]\nambiguous = "quarantine"'
    scan = f'[clamav]\nsocket = "{tmp_path / "clamd"}"\n'
    server = recorder({b"RCPT TO:<gone@example.net>": b"550 5.1.1 gone"}, policy=policy, notify="sender = true")
    good = gateway.config.read_text()
    table = support.attachment(support.table(), "a.csv", "text/csv")
    zipped = support.message(support.multipart("mixed", support.part(b"Hello\n"), table))
    client = start(code=hooked("import pfilter.run" + WATCHED))
    kinds: list[tuple[str, bytes, Sequence[str], str, bytes]] = [
        (good, PLAIN, [READER], "", b"250 2.0.0 passed"),
        (good, zipped, [READER], "", b"250 2.0.0 1 zipped"),
        (good, BIG, [READER], "", LINKED),
        (good, BIG, MIXED, "", LINKED),
        (good, BIG, [READER], "451 4.3.0 no", b"451 4.3.0"),
        (good, BIG, MIXED, "451 4.3.0 no", b"451 4.3.0"),
        (good, PLAIN, ["gone@example.net"], "", b"550 5.1.1"),
        (good, PLAIN, [READER, "gone@example.net"], "", b"250 2.0.0"),
        (good, b"", [READER], "", b"451 4.3.0"),
        (good, support.message(b"Content-Type: a/b\nContent-Type: c/d\n\nx\n"), [READER], "", b"250 2.0.0 quar"),
        (good.replace("[store]\n", "[store]\non_full = \"defer\"\n").replace("min_free = 0", 'min_free = "999 TB"'),
         BIG, [READER], "", b"451 4.3.0"),
        (good.replace("[reinject]\n", "[reinject]\nmax_size = 1\n"), zipped, [READER], "", b"250 2.0.0 1 zipped"),
        (good + scan, PLAIN + b"VIRUS\n", [READER], "", b"250 2.0.0 quarantined"),
        (good + scan, BIG, MIXED, "", LINKED),
        (good + "[policy\n", PLAIN, [READER], "", b"451 4.3.5"),
        (good.replace("example.org", "example.com", 1), PLAIN, [READER], "", b"250 2.0.0 passed (not our sender)"),
    ]  # fmt: skip
    rounds = 20
    for _ in range(rounds):
        for config, data, recipients, dot, wanted in kinds:
            assert client.ask(b"NOOP").startswith(b"250")  # what came behind the last answer is through
            gateway.config.write_text(config)
            server.dots = [dot.encode()] if dot else []
            said = client.send(data, recipients)
            assert said[0].startswith(wanted), (said, wanted)
    assert client.ask(b"QUIT").startswith(b"221")
    client.ended()
    states = [json.loads(line) for line in Path(f"{gateway.config}.state").read_text().splitlines()]
    assert len(states) == rounds * len(kinds)
    before, after = states[4 * len(kinds)], states[-len(kinds)]  # after the same message
    for state in (before, after):  # the way back is opened anew after an error: as many, but not the same
        state["descriptors"] = len(state["descriptors"])
    grown = after.pop("resident") - before.pop("resident")
    assert after == before
    assert grown < 2 << 20
    assert list((gateway.store / "tmp").iterdir()) == []


def test_a_log_that_could_not_be_written_is_tried_again(start: Start, gateway: Gateway) -> None:
    """What went wrong with one message's events is nothing to those of the next, nor is where they went."""
    away = gateway.root / "away" / "log"
    gateway.configure(log=f'to = "file:{away}"\nlevel = "debug"')
    client = start()
    for number in range(3):
        if number == 1:
            away.parent.mkdir(mode=0o777)
        if number == 2:
            gateway.configure()
        assert client.send(ident=f"Q{number}")[0].startswith(b"250")
        assert client.ask(b"NOOP").startswith(b"250")
    assert re.findall(r"Q\d", away.read_text()) == ["Q1"]
    assert re.findall(r"Q\d", gateway.log.read_text()) == ["Q2"]


# --- The launcher


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("raise ImportError('broken')", b"421 4.3.0 pfilter: ImportError: broken"),
        ("this is no Python", b"421 4.3.0 pfilter: SyntaxError: "),
        ("print('noise'); import os; os.write(2, b'noise'); raise SystemExit(3)", b"421 4.3.0 pfilter: SystemExit: 3"),
    ],
)
def test_a_broken_package(start: Start, tmp_path: Path, change: str, says: bytes) -> None:
    """The first that is said is 421, whatever the package says before, and it ends."""
    folder = tmp_path / "broken" / "pfilter"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "lmtp.py").write_text(change + "\n")
    code = f"import sys, runpy\nsys.path.insert(0, {str(folder.parent)!r})\n"
    code += f"runpy.run_path({str(LAUNCHER)!r}, run_name='__main__')"
    client = start(launcher=["-c", code])
    assert client.greeting.startswith(says)
    assert client.ended() != 0


def test_unknown_arguments(start: Start) -> None:
    """They are told before anything else."""
    client = start("--nonsense")
    assert client.greeting == (
        b"421 4.3.0 pfilter: UsageError: unknown argument '--nonsense'; see pfilter-lmtp(8) for master.cf's argv"
    )
    assert client.ended() != 0


@pytest.mark.parametrize("argument", [b"--config", b"--config=", b"--authenticated=1", b"x", b"--", b"-f"])
def test_arguments(argument: bytes) -> None:
    """There are two, and no others."""
    with pytest.raises(UsageError):
        door.parse([argument])
    assert door.parse([b"--config=/x", b"--authenticated"]) == door.Options(config="/x", authenticated=True)
