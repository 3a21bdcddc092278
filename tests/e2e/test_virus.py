"""The test virus through the real chain: Postfix, pfilter, clamd; and out of the quarantine again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.rig import READER, SENDER, Gate
from tests.lib import clamd_server
from tests.lib.clamd_server import SIGNATURE, Clamd
from tests.lib.support import attachment, multipart, part
from tests.unit.antivirus.test_screen import infected, zipped


@pytest.fixture(scope="module")
def clamd(ground: Path) -> Iterator[str]:
    """Return where a clamd listens that the filter's user reaches."""
    if not clamd_server.found():
        pytest.skip("no clamd here: apt-get install clamav-daemon")
    folder = ground / "clamd"
    folder.mkdir()
    folder.chmod(0o755)
    running = Clamd(folder)
    yield running.socket
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("kind", ["attachment", "zip", "forwarded"])
def test_a_virus_is_quarantined(gate: Gate, clamd: str, kind: str) -> None:
    """Nothing arrives, nobody gets a bounce, the administrator gets one mail, nothing is where the web server looks."""
    gate.configure(clamav={"socket": clamd}, notify={"admin": "it@example.org"})
    queue_id = gate.send(infected(kind))
    assert gate.line(queue_id) == f"quarantined (virus {SIGNATURE}.UNOFFICIAL)"
    (told,) = gate.settle()
    assert (told.sender, told.recipients) == ("", ["<it@example.org>"])
    assert not (gate.store / "downloads").exists()
    (kept,) = (gate.store / "quarantine").glob("*.eml")
    assert [event["original"] for event in gate.events("quarantined")] == [kept.stem]


def test_released_mail_arrives_once_and_as_it_was(gate: Gate, clamd: str) -> None:
    """A false alarm gets to its readers by one command, past the filter."""
    gate.configure(clamav={"socket": clamd})
    archive = zipped(clamd_server.EICAR)
    data = mails.letter(attachment(archive, "a.zip"))
    queue_id = gate.send(data)
    assert gate.line(queue_id).startswith("quarantined")
    command = str(gate.instance.current / "bin" / "pfilter")
    said = gate.instance.run(command, "quarantine", "release", queue_id, "--config", str(gate.instance.config))
    assert READER in said
    assert gate.delivered().files == {"a.zip": archive}
    assert list((gate.store / "quarantine").glob("*.eml")) == []


def test_a_virus_is_refused_where_that_is_wanted(gate: Gate, clamd: str) -> None:
    """Without a login there is no bounce, since anybody can write any sender: quarantine after all."""
    gate.configure(clamav={"socket": clamd, "on_infected": "reject"})
    queue_id = gate.send(infected("attachment"))
    assert gate.line(queue_id).startswith("quarantined")
    assert gate.settle() == []


def test_mail_waits_for_clamd(gate: Gate, clamd: str) -> None:
    """While clamd is away mail stays in the queue; it goes out when clamd is there."""
    gate.configure(clamav={"socket": f"{clamd}.gone"})
    queue_id = gate.send(mails.letter(mails.film()))
    gate.waits_in_queue(queue_id, "clamd at")
    gate.configure(clamav={"socket": clamd})
    (arrived,) = [one for one in gate.retry() if one.sender == SENDER]
    assert gate.linked(arrived) == {"film.mp4": mails.FILM}


def test_signed_mail_is_scanned(gate: Gate, clamd: str) -> None:
    """A signature keeps nobody from looking."""
    gate.configure(clamav={"socket": clamd})
    data = mails.letter(multipart("signed", part(b"Hi\n"), attachment(clamd_server.EICAR, "a.com"), boundary="s"))
    assert gate.line(gate.send(data)).startswith("quarantined")
    assert gate.settle() == []
