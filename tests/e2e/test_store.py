"""Many at once: identical messages, clean-up beside running traffic, an administrator's commands as root."""

import subprocess
import threading
import time

from tests.e2e import mails
from tests.e2e.rig import SENDER, Gate, wait
from tests.lib.support import attachment, noise


def run(gate: Gate, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as root, as administrators do."""
    command = str(gate.instance.current / "bin" / "pfilter")
    argv = [command, *arguments, "--config", str(gate.instance.config)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_same_message_twice_at_once(gate: Gate) -> None:
    """The same octets on stdin, by two processes at once: sent twice, with one link."""
    data = b"Received: from client\n" + mails.letter(mails.film())
    both = [gate.pipe(data) for _ in range(2)]
    for process in both:
        said, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
        assert said.startswith(b"1 linked, ")
        assert said.count(b"\n") == 1
    first, second = (one for one in gate.settle() if one.sender == SENDER)
    assert gate.linked(first) == gate.linked(second) == {"film.mp4": mails.FILM}
    (record,) = gate.records
    assert record["id"] in first.text
    assert record["id"] in second.text
    assert len(gate.blobs) == 1


def test_same_attachment_many_times_at_once(gate: Gate) -> None:
    """Each message has a link of its own; the content is stored once, whoever comes first."""
    ids = [gate.send(mails.letter(mails.film())) for _ in range(10)]
    got = [one for one in gate.settle() if one.sender == SENDER]
    assert len(got) == len(ids)
    for one in got:
        assert gate.linked(one) == {"film.mp4": mails.FILM}
    assert sorted(record["queue_id"] for record in gate.records) == sorted(ids)
    assert len({record["id"] for record in gate.records}) == len(ids)
    (blob,) = gate.blobs
    assert blob.stat().st_nlink == 1 + len(ids)
    assert list((gate.store / "tmp").iterdir()) == []


def test_clean_up_beside_traffic(gate: Gate) -> None:
    """What has expired goes, what is promised stays, also where both are the same content."""
    gate.configure(store={"keep": "1s", "grace": "0s", "tombstone": "0s"}, notify={"sender": False})
    for _ in range(5):
        gate.send(mails.letter(mails.film()))
    gate.settle()
    gone = {record["id"] for record in gate.records}
    last = max(record["until"] for record in gate.records)
    assert len(gone) == 5
    gate.configure(store={"keep": "7d", "grace": "0s", "tombstone": "0s"}, notify={"sender": False})
    gate.send(mails.letter(mails.film()))
    gate.forget()
    wait(lambda: time.time() >= last + 1, "the links to expire")

    stop = threading.Event()
    runs: list[subprocess.CompletedProcess[str]] = []

    def clean_up() -> None:
        while not stop.is_set():
            runs.append(run(gate, "expire"))

    cleaners = [threading.Thread(target=clean_up) for _ in range(2)]
    try:
        for cleaner in cleaners:
            cleaner.start()
        for number in range(20):
            gate.send(mails.letter(mails.film(), attachment(noise(850_000, number), "own.bin")))
        got = gate.settle()
    finally:
        stop.set()
        for cleaner in cleaners:
            cleaner.join()
    assert len(got) == 20
    assert [done for done in runs if done.returncode or done.stderr] == []
    assert sum(done.stdout.count("removed download") for done in runs) == 5
    for one in got:
        linked = gate.linked(one)
        assert linked["film.mp4"] == mails.FILM
        assert list(linked) == ["film.mp4", "own.bin"]
    assert not gone & {record["id"] for record in gate.records}
    assert sorted(path.name for path in (gate.store / "downloads").glob("*/")) == sorted(r["id"] for r in gate.records)
    assert len(gate.blobs) == 21
    assert max(blob.stat().st_nlink for blob in gate.blobs) == 1 + 1 + 20  # the film: stored once, and never anew


def test_expired_content_goes_with_its_last_link(gate: Gate) -> None:
    gate.configure(store={"keep": "1s", "grace": "0s"})
    gate.send(mails.letter(mails.film()))
    gate.settle()
    (record,) = gate.records
    wait(lambda: time.time() >= record["until"], "the link to expire")
    tried = run(gate, "expire", "--dry-run")
    assert f"would remove download {record['id'][:8]}\n" in tried.stdout
    assert len(gate.records) == len(gate.blobs) == 1
    done = run(gate, "expire")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == tried.stdout.replace("would remove", "removed").replace("would free", "freed")
    assert [record["files"] for record in gate.records] == [[]]
    assert gate.blobs == []
    assert [path.name for path in (gate.store / "downloads" / record["id"]).iterdir()] == ["index.html"]
    # Nothing of root's is left that would hold up the next message.
    gate.forget()
    gate.configure()
    gate.send(mails.letter(mails.film()))
    assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
    assert {path.stat().st_uid for path in gate.store.rglob("*")} == {gate.store.stat().st_uid}


def test_revoke_by_what_the_log_shows(gate: Gate) -> None:
    queue_id = gate.send(mails.letter(mails.film()))
    gate.send(mails.letter(attachment(noise(850_000, 5), "other.bin")))
    gate.settle()
    done = run(gate, "downloads", "revoke", gate.event(queue_id)["download"])
    assert (done.returncode, done.stderr) == (0, "")
    (left,) = [record for record in gate.records if not record["ended"]]
    assert left["files"][0]["name"] == "other.bin"
    assert len(gate.blobs) == 1


def test_check_is_content_as_root(gate: Gate) -> None:
    done = run(gate, "check")
    # The way back by SMTP is there; sendmail(1) is looked for outside of the instance's world.
    assert "error" not in [line.split()[0] for line in done.stdout.splitlines() if "sendmail" not in line], done.stdout
    assert (gate.store / "tmp").stat().st_uid == gate.store.stat().st_uid
