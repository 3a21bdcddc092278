"""Viruses and ambiguous mail, through the pipeline and the door for Postfix, with a real clamd."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path

import pytest

from pfilter.store import kept
from tests.lib import support
from tests.lib.clamd_server import EICAR, SIGNATURE, Clamd, found
from tests.lib.support import Gateway, attachment, multipart, noise, part

PLAIN = support.message(part(b"Hello\n"))
BIG = support.message(multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin")))
AMBIGUOUS = support.message(
    multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin")), "Content-Type: text/plain\n"
)


def zipped(data: bytes) -> bytes:
    """Return a zip of a file."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.com", data)
    return made.getvalue()


def infected(kind: str) -> bytes:
    """Return a message with the test virus in it."""
    if kind == "attachment":
        return support.message(multipart("mixed", part(b"Hello\n"), attachment(EICAR, "a.com")))
    if kind == "zip":
        return support.message(multipart("mixed", part(b"Hello\n"), attachment(zipped(EICAR), "a.zip")))
    if kind == "forwarded":
        inner = infected("attachment").replace(b"=_0", b"=_inner").replace(b"=_1", b"=_inner1")
        forwarded = b"Content-Type: message/rfc822\n\n" + inner
        return support.message(multipart("mixed", part(b"See below\n"), forwarded))
    if kind == "large":  # the message is over the stream's limit, the part is not
        files = [attachment(noise(3 << 20), f"{n}.bin") for n in range(3)]
        return support.message(
            multipart("mixed", part(b"Hello\n"), *files, attachment(EICAR + noise(4 << 20), "a.com"))
        )
    return support.message(part(EICAR))


def configure(gateway: Gateway, socket: str, clamav: str = "", **sections: str) -> None:
    """Write a configuration with clamd in it."""
    gateway.configure(clamav=f'socket = "{socket}"\n{clamav}', **sections)


def events(gateway: Gateway) -> list[str]:
    """Return the names of the events that were logged."""
    return [json.loads(line)["event"] for line in gateway.log.read_text().splitlines()]


def in_quarantine(gateway: Gateway) -> list[kept.KeptMessage]:
    """Return what is in quarantine."""
    return [one for one in kept.entries(str(gateway.store)) if one.folder == kept.QUARANTINE]


@pytest.mark.parametrize("kind", ["attachment", "zip", "forwarded", "large", "body"])
@pytest.mark.parametrize("sender", ["sender@example.org", "stranger@elsewhere.example", ""])
def test_an_infected_message_goes_to_quarantine(gateway: Gateway, scanner: str, kind: str, sender: str) -> None:
    """Wherever the virus is and whoever sent it: nothing is sent, nothing stored for the web, the original is kept."""
    configure(gateway, scanner)
    data = infected(kind)
    ended = gateway.pipe(data, sender=sender)
    assert (ended.status, ended.stdout) == (0, f"quarantined (virus {SIGNATURE}.UNOFFICIAL)\n".encode())
    assert gateway.calls == []
    (one,) = in_quarantine(gateway)
    assert (gateway.store / "quarantine" / f"{one.name}.eml").read_bytes() == data
    assert one.envelope.sender == sender.encode()
    assert one.envelope.recipients == (b"reader@example.net",)
    assert not (gateway.store / "downloads").exists()
    assert events(gateway) == ["virus", "quarantined"]


@pytest.mark.parametrize("fields", ["", "DKIM-Signature: v=1; d=elsewhere.example; b=x\n"])
def test_clean_mail_goes_its_way(gateway: Gateway, scanner: str, fields: str) -> None:
    """Clean mail is filtered as ever, signed mail passes."""
    configure(gateway, scanner)
    data = support.message(multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin")), fields)
    assert gateway.pipe(data).line.startswith("passed" if fields else "1 linked")
    assert len(gateway.calls) == 1


def test_signed_and_exempt_mail_is_scanned_too(gateway: Gateway, scanner: str) -> None:
    """A signature or an exemption does not let a virus through."""
    configure(gateway, scanner, policy='exempt_senders = ["sender@example.org"]')
    data = support.message(multipart("signed", part(b"Hi\n"), attachment(EICAR, "a.com")))
    assert gateway.pipe(data).line.startswith("quarantined")
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("clamav", "fate", "then"),
    [("", "be put into quarantine", "quarantine"), ('on_infected = "reject"', "be put into quarantine", "quarantine")],
)
def test_explain_takes_clamd_into_account(gateway: Gateway, scanner: str, clamav: str, fate: str, then: str) -> None:
    """What explain says would happen is what happens: clamd goes before all rules."""
    configure(gateway, scanner, clamav)
    command = [sys.executable, "-P", "-m", "pfilter.cli", "explain", "--config", str(gateway.config)]
    for options in ([], ["--json"]):
        done = subprocess.run(
            [*command, *options],
            input=infected("zip"),
            capture_output=True,
            timeout=60,
            check=True,
            cwd=support.PROJECT,
        )
        if options:
            told = json.loads(done.stdout)["virus_scan"]
            assert told == {"status": "infected", "reason": f"{SIGNATURE}.UNOFFICIAL", "then": then}
        else:
            assert f"The message would {fate}: {SIGNATURE}.UNOFFICIAL." in done.stdout.decode()
    assert in_quarantine(gateway) == []


def test_explain_says_that_clamd_could_not_be_asked(gateway: Gateway, tmp_path: Path) -> None:
    """Without an answer it says that mail would wait, as it would."""
    configure(gateway, str(tmp_path / "none"))
    command = [sys.executable, "-P", "-m", "pfilter.cli", "explain", "--config", str(gateway.config)]
    done = subprocess.run(command, input=PLAIN, capture_output=True, timeout=60, check=True, cwd=support.PROJECT)
    assert "could not be asked" in done.stdout.decode()
    assert "The message would wait in the queue: " in done.stdout.decode()


def test_refused_by_choice(gateway: Gateway, scanner: str) -> None:
    """With on_infected = reject a sender who has logged in gets a bounce; anybody else's may be forged."""
    configure(gateway, scanner, 'on_infected = "reject"')
    ended = gateway.pipe(infected("zip"), ["--sasl=ann", *gateway.argv()])  # sender@example.org
    assert ended.status == 69
    assert ended.line == f"5.7.1 pfilter: the message contains a virus: {SIGNATURE}.UNOFFICIAL"
    assert in_quarantine(gateway) == []
    assert events(gateway) == ["virus", "refused"]
    assert gateway.pipe(infected("zip")).line.startswith("quarantined")
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("own", "sender"),
    [("example.org", "victim@elsewhere.example"), ("example.org", ""), ("*", "sender@example.org")],
    ids=["foreign sender", "null sender", "every domain"],
)
def test_no_virus_is_returned_to_a_stranger(gateway: Gateway, scanner: str, own: str, sender: str) -> None:
    """Whoever has logged in: a bounce carries the virus to the sender's address, which must be known to be ours."""
    configure(gateway, scanner, 'on_infected = "reject"', policy=f'own_domains = ["{own}"]')
    ended = gateway.pipe(infected("zip"), ["--sasl=ann", *gateway.argv(sender=sender)])
    assert (ended.status, ended.line) == (0, f"quarantined (virus {SIGNATURE}.UNOFFICIAL)")
    assert len(in_quarantine(gateway)) == 1
    assert gateway.calls == []


@pytest.mark.parametrize(("on_error", "status"), [("pass", 0), ("defer", 75)])
def test_many_slow_answers_do_not_pass_the_deadline(
    gateway: Gateway, tmp_path: Path, on_error: str, status: int
) -> None:
    """Answers that are each in time, but not together, are what on_error is for."""
    asked = []

    def slow(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            asked.append(1)
            with connection:
                connection.settimeout(10)
                stream = b""
                while not stream.endswith(bytes(4)) and (more := connection.recv(1 << 16)):
                    stream += more
                time.sleep(0.4)
                with contextlib.suppress(OSError):  # nobody waits any more
                    connection.sendall(b"stream: OK\0")

    files = [attachment(bytes([65 + n]) * 100, f"{n}.txt") for n in range(20)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "clamd"))
        listener.listen()
        threading.Thread(target=slow, args=(listener,), daemon=True).start()
        configure(
            gateway, str(tmp_path / "clamd"), f'on_error = "{on_error}"\ntimeout = "30s"',
            policy='own_domains = ["example.org"]\ndeadline = "5s"',
            reinject=f'sendmail = "{gateway.sendmail}"\ntimeout = "1s"',
        )  # fmt: skip
        ended = gateway.pipe(support.message(multipart("mixed", part(b"Hello\n"), *files)))
        listener.shutdown(socket.SHUT_RDWR)
    assert ended.status == status
    assert len(gateway.calls) == (status == 0)
    assert 1 < len(asked) < 20
    assert "too long" in gateway.log.read_text()


@pytest.mark.parametrize(("on_error", "status"), [("defer", 75), ("pass", 0)])
def test_no_clamd(gateway: Gateway, tmp_path: Path, on_error: str, status: int) -> None:
    """Without an answer mail waits, or passes where that is wanted."""
    configure(gateway, str(tmp_path / "none"), f'on_error = "{on_error}"')
    ended = gateway.pipe(PLAIN)
    assert ended.status == status
    assert len(gateway.calls) == (status == 0)
    assert "not scanned" in events(gateway)


@pytest.mark.parametrize(
    ("choice", "line"),
    [("pass-unlinked", "passed"), ("pass", "2 linked"), ("quarantine", "quarantined (not scanned for viruses: part 2")],
)
def test_over_the_limits(gateway: Gateway, tmp_path: Path, choice: str, line: str) -> None:
    """What is too large for clamd would be so for ever: it never waits; by default it goes out as it is."""
    if not found():
        pytest.skip("no clamd here: apt-get install clamav-daemon")
    small = Clamd(tmp_path / "clamd", stream="1M")
    files = (attachment(noise(2 << 20), "a.bin"), attachment(noise(900_000), "b.bin"))
    data = support.message(multipart("mixed", part(b"Hello\n"), *files))
    try:
        configure(gateway, small.socket, f'on_unscanned = "{choice}"')
        ended = gateway.pipe(data)
    finally:
        small.stop()
    assert ended.status == 0
    assert ended.line.startswith(line)
    if choice == "pass-unlinked":
        assert gateway.sent == data
    assert len(gateway.calls) == (choice != "quarantine")


def test_ambiguous_mail_over_the_limits_is_ambiguous(gateway: Gateway, tmp_path: Path) -> None:
    """What clamd could not take is not let through where ambiguous mail is kept."""
    if not found():
        pytest.skip("no clamd here: apt-get install clamav-daemon")
    small = Clamd(tmp_path / "clamd", stream="1M")
    try:
        configure(gateway, small.socket, policy='ambiguous = "quarantine"')
        ended = gateway.pipe(AMBIGUOUS + noise(2 << 20))
    finally:
        small.stop()
    assert ended.line.startswith("quarantined (ambiguous: ")
    assert gateway.calls == []


def test_a_message_over_the_limit_is_scanned_in_parts(gateway: Gateway, scanner: str) -> None:
    """A message larger than the stream may be, whose parts all could be scanned, is clean and becomes links."""
    files = [attachment(noise(5 << 20), f"{n}.bin") for n in range(3)]
    configure(gateway, scanner)
    assert gateway.pipe(support.message(multipart("mixed", part(b"Hello\n"), *files))).line.startswith("3 linked")


def test_no_room_for_the_quarantine_defers(gateway: Gateway, scanner: str) -> None:
    """An infected message that can't be kept is not thrown away."""
    configure(gateway, scanner, store=f'path = "{gateway.store}"\nmin_free = "8 EiB"'.replace("8 EiB", "900000 TiB"))
    ended = gateway.pipe(infected("attachment"))
    assert ended.status == 75
    assert "quarantine" in ended.line
    assert gateway.calls == []


def test_observing_changes_nothing(gateway: Gateway, scanner: str) -> None:
    """With mode = observe a virus is an event, and no more."""
    configure(gateway, scanner, policy='mode = "observe"')
    assert gateway.pipe(infected("attachment")).status == 0
    assert gateway.sent == infected("attachment")
    assert events(gateway)[0] == "virus"


def test_the_administrator_is_told_once_in_a_while(gateway: Gateway, scanner: str) -> None:
    """One mail an interval, from the null sender, without anything of the message in it."""
    configure(gateway, scanner, notify='admin = "it@example.org"\nadmin_interval = "1h"')
    for number in range(3):
        assert gateway.pipe(infected("attachment") + b"%d" % number).status == 0
    assert len(in_quarantine(gateway)) == 3
    ((argv, data),) = gateway.calls
    assert argv[-4:] == ["-f", "", "--", "it@example.org"]
    mail = message_from_bytes(data, policy=policy.default)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["To"].addresses[0].addr_spec == "it@example.org"
    text = mail.get_content()
    assert SIGNATURE in text
    assert "sender@example.org" in text
    assert sum(one.name in text for one in in_quarantine(gateway)) == 1
    told = gateway.store / "quarantine" / ".told"
    os.utime(told, (1, 1))
    gateway.pipe(infected("zip"))
    assert len(gateway.calls) == 2


def test_a_mail_to_the_administrator_that_fails_harms_nobody(gateway: Gateway, scanner: str) -> None:
    """The message is in quarantine, whatever becomes of the mail about it."""
    configure(gateway, scanner, notify='admin = "it@example.org"')
    gateway.stub("exit 1")
    assert gateway.pipe(infected("attachment")).status == 0
    assert events(gateway)[-1] == "administrator not notified"
    gateway.stub("")
    gateway.pipe(infected("zip"))
    assert len(gateway.calls) == 2  # it was not told before


@pytest.mark.parametrize(
    ("choice", "status", "line"),
    [("pass", 0, "passed"), ("defer", 75, "4.3.0 pfilter: ambiguous: "), ("quarantine", 0, "quarantined (ambiguous: ")],
)
def test_ambiguous_mail(gateway: Gateway, choice: str, status: int, line: str) -> None:
    """Mail about which programs would disagree passes, waits, or is kept, as is wanted; sound mail goes its way."""
    gateway.configure(policy=f'ambiguous = "{choice}"')
    ended = gateway.pipe(AMBIGUOUS)
    assert ended.status == status
    assert ended.line.startswith(line)
    assert len(gateway.calls) == (choice == "pass")
    assert len(in_quarantine(gateway)) == (choice == "quarantine")
    assert gateway.pipe(BIG).line.startswith("1 linked")
