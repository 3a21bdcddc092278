"""`pfilter quarantine`: what was kept is shown, released once, deleted."""

import json
from pathlib import Path

import pytest

from pfilter.message.model import Envelope
from pfilter.store import kept
from tests.lib import support
from tests.lib.command import pfilter, without_traceback
from tests.lib.smtp_server import Server
from tests.lib.support import NOW, BytesSpool, Gateway, attachment, multipart, noise, part

DATA = support.message(multipart("mixed", part(b"Hello\n"), attachment(noise(900_000))), "X-Odd: \x1b[31mred\n")
ENVELOPE = Envelope(sender=b"a@example.org", recipients=(b"b@example.net", b"c@example.net"), queue_id="4F2A")


def keep(gateway: Gateway, folder: str = kept.QUARANTINE, envelope: Envelope = ENVELOPE) -> str:
    """Keep a message."""
    return kept.keep(str(gateway.store), folder, BytesSpool(DATA), envelope, "virus X", NOW)


def run(gateway: Gateway, *arguments: str) -> str:
    """Run a command that succeeds; return what it prints."""
    done = pfilter("quarantine", *arguments, config=str(gateway.config))
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def test_list(gateway: Gateway) -> None:
    """Both folders are shown, for people and for programs; nothing is not an error."""
    assert run(gateway, "list") == "0 messages, 0 bytes\n"
    name, other = keep(gateway), keep(gateway, kept.TROUBLE, ENVELOPE.replace(queue_id="5F2A", sender=b""))
    shown = run(gateway, "list")
    assert name in shown
    assert "from a@example.org: virus X" in shown
    assert "from <>: virus X" in shown
    found = json.loads(run(gateway, "list", "--json"))
    assert {one["name"]: one["folder"] for one in found} == {name: "quarantine", other: "trouble"}
    assert found[0]["recipients"] == ["b@example.net", "c@example.net"]


def test_show(gateway: Gateway) -> None:
    """What is known and the header, harmless on a terminal; with --whole the message, to the octet."""
    keep(gateway)
    shown = run(gateway, "show", "4F2A")
    assert "virus X" in shown
    assert "Subject: Figures" in shown
    assert "\x1b" not in shown
    done = pfilter("quarantine", "show", "4F2A", "--whole", config=str(gateway.config))
    assert done.stdout == DATA


@pytest.mark.parametrize("folder", kept.FOLDERS)
def test_release_sends_the_original_once(gateway: Gateway, folder: str) -> None:
    """The message goes out as it was received, to its recipients, past the filter; then it is gone, and logged."""
    name = keep(gateway, folder)
    assert "b@example.net, c@example.net" in run(gateway, "release", name)
    ((argv, data),) = gateway.calls
    assert data == DATA
    assert argv[-5:] == ["-f", "a@example.org", "--", "b@example.net", "c@example.net"]
    assert kept.entries(str(gateway.store)) == []
    assert json.loads(gateway.log.read_text())["event"] == "released"
    done = pfilter("quarantine", "release", name, config=str(gateway.config))
    assert "not a message kept here" in without_traceback(done, 1)
    assert len(gateway.calls) == 1


def test_release_elsewhere(gateway: Gateway) -> None:
    """The administrator can have it sent to somebody else, from somebody else."""
    keep(gateway)
    run(gateway, "release", "4F2A", "--recipient", "it@example.org", "--sender", "<>")
    ((argv, _),) = gateway.calls
    assert argv[-4:] == ["-f", "", "--", "it@example.org"]


def test_a_release_names_who_is_left_out(gateway: Gateway) -> None:
    """A recipient whose address the server does not take is named; the message went out, so it is gone here."""
    server = Server({b"RCPT TO:<b@example.net>": b"501 5.1.3 Bad recipient address syntax"})
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    keep(gateway)
    done = pfilter("quarantine", "release", "4F2A", config=str(gateway.config))
    server.stop()
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith(b" to c@example.net")
    assert b"not to b@example.net: 501 5.1.3 Bad recipient address syntax" in done.stderr
    assert kept.entries(str(gateway.store)) == []


def test_a_release_that_fails_keeps_the_message(gateway: Gateway) -> None:
    """What Postfix does not take stays in quarantine."""
    keep(gateway)
    gateway.stub("echo no room; exit 75")
    done = pfilter("quarantine", "release", "4F2A", config=str(gateway.config))
    assert "no room" in without_traceback(done, 1)
    assert len(kept.entries(str(gateway.store))) == 1


def test_release_without_recipients_asks_for_some(gateway: Gateway) -> None:
    """A message of which nothing is known but its content needs --recipient."""
    name = keep(gateway)
    (gateway.store / "quarantine" / f"{name}.json").unlink()
    done = pfilter("quarantine", "release", "4F2A", config=str(gateway.config))
    assert "--recipient" in without_traceback(done, 2)


def test_delete(gateway: Gateway) -> None:
    """A deleted message is gone, and that is logged."""
    name = keep(gateway)
    assert run(gateway, "delete", "4F2A") == f"deleted {name}\n"
    assert kept.entries(str(gateway.store)) == []
    assert json.loads(gateway.log.read_text())["event"] == "deleted"


def test_expire_removes_what_is_old(gateway: Gateway) -> None:
    """`pfilter expire` clears quarantine and trouble folder by [quarantine] keep."""
    gateway.configure(quarantine='keep = "30d"')
    name = keep(gateway)  # of 2027
    path = Path(gateway.store / "quarantine" / f"{name}.json")
    path.write_text(path.read_text().replace(str(NOW), "1000000000"))
    young = kept.keep(str(gateway.store), kept.TROUBLE, BytesSpool(b"x"), ENVELOPE, "", NOW)
    done = pfilter("expire", config=str(gateway.config))
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{name}.eml" in done.stdout.decode()
    assert [one.name for one in kept.entries(str(gateway.store))] == [young]
