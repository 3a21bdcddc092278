"""Messages that are kept whole: found again, released as they were, gone in time."""

from pathlib import Path

import pytest

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.message.model import Envelope
from pfilter.store import kept
from tests.lib.support import NOW, BytesSpool, mode

DAY = 86400
ENVELOPE = Envelope(
    sender=b"a\xff@example.org", recipients=(b"b@example.net", b"c@example.net"), queue_id="4F2A", client="192.0.2.7",
    helo="h", sasl_user="ann",
)  # fmt: skip


def keep(store: Path, data: bytes = b"message", envelope: Envelope = ENVELOPE, now: float = NOW, **where: str) -> str:
    """Keep a message."""
    return kept.keep(str(store), where.get("folder", kept.QUARANTINE), BytesSpool(data), envelope, "virus X", now)


def test_a_kept_message_is_found_as_it_was(store: Path) -> None:
    """Octets, envelope and reason come back, by the whole name, the queue id, or a part of either."""
    name = keep(store)
    assert name.startswith("20270115T080000Z-4F2A-")
    for given in (name, "4F2A", name[:12]):
        one = kept.find(str(store), given)
        assert (one.name, one.envelope, one.reason, one.created) == (name, ENVELOPE, "virus X", NOW)
        spool = kept.content(str(store), one)
        assert spool.read(0, spool.size) == b"message"


@pytest.mark.parametrize("given", ["<1@x.example>", "1@x.example", "<1@x.example> 4F2A", "4F2A <1@x.example>"])
def test_a_message_is_found_by_what_a_reader_was_told(store: Path, given: str) -> None:
    """The Message-ID, folded or not, the queue id, or both, as the notice names them."""
    name = keep(store, b"Subject: x\nMessage-ID:\n <1@x.example>\n\nMessage-ID: <2@x.example>\n")
    keep(store, b"Message-ID: <2@x.example>\n\n", ENVELOPE.replace(queue_id="5F2B"))
    assert kept.find(str(store), given).name == name


@pytest.mark.parametrize("given", ["", " ", "<1@x.example> 5F2B", "x.example", "<@>", "4F"])
def test_what_is_not_meant_is_not_found(store: Path, given: str) -> None:
    """All words count, and only whole Message-IDs."""
    keep(store, b"Message-ID: <1@x.example>\n\n")
    with pytest.raises(StoreError, match="not a message kept here"):
        kept.find(str(store), given)


def test_a_message_tried_again_is_kept_once(store: Path) -> None:
    """The same message of the same queue id is one file; another is another."""
    assert keep(store) == keep(store, now=NOW + 5) != keep(store, b"other")
    assert len(kept.entries(str(store))) == 2


def test_a_message_kept_by_a_killed_try_is_made_durable(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that was killed before the name of what it kept was durable leaves that to the next, which syncs it."""
    synced: list[str] = []
    sync = durable.sync_directory

    def seen(path: str) -> None:
        synced.append(path)
        sync(path)

    monkeypatch.setattr(durable, "sync_directory", seen)
    keep(store)
    calls = len(synced)
    for killed_at in range(1, calls + 1):
        envelope = ENVELOPE.replace(queue_id=f"Q{killed_at}")
        synced.clear()

        def killing(path: str, last: int = killed_at) -> None:
            synced.append(path)
            if len(synced) == last:
                raise KeyboardInterrupt
            sync(path)

        with monkeypatch.context() as patched:
            patched.setattr(durable, "sync_directory", killing)
            try:
                keep(store, envelope=envelope)
            except KeyboardInterrupt:
                pass
        synced.clear()
        keep(store, envelope=envelope)
        assert synced[-1] == str(store / "quarantine")


def test_each_run_of_a_message_keeps_its_recipients(store: Path) -> None:
    """Postfix hands a message with many recipients over in several runs: nobody's is forgotten."""
    other = ENVELOPE.replace(recipients=(b"d@example.net",))
    assert keep(store) != keep(store, envelope=other)
    found = {address for one in kept.entries(str(store)) for address in one.envelope.recipients}
    assert found == {b"b@example.net", b"c@example.net", b"d@example.net"}


def test_nobody_else_can_read_it(store: Path) -> None:
    """Directory and files are private."""
    keep(store)
    assert mode(store / "quarantine") == 0o700
    assert {mode(path) for path in (store / "quarantine").iterdir()} == {0o600}


@pytest.mark.parametrize("queue_id", ["../../x", "", "a b", "\u65e5"])
def test_a_queue_id_is_no_path(store: Path, queue_id: str) -> None:
    """Whatever is given as queue id, the message lies in its folder."""
    name = keep(store, envelope=ENVELOPE.replace(queue_id=queue_id))
    assert {path.name for path in (store / "quarantine").iterdir()} == {f"{name}.eml", f"{name}.json"}
    assert kept.find(str(store), name).name == name


@pytest.mark.parametrize("given", ["", "4F", "nothing", "T080000Z"])
def test_what_is_no_name_is_refused(store: Path, given: str) -> None:
    """Too little of a name, none at all, or a part of two names, is an error that says how to see them."""
    keep(store)
    keep(store, b"other", ENVELOPE.replace(queue_id="5F2A"))
    with pytest.raises(StoreError, match="quarantine list"):
        kept.find(str(store), given)


def test_both_folders_are_shown_oldest_first(store: Path) -> None:
    """The trouble folder is treated like the quarantine."""
    late = keep(store, b"late", now=NOW + 9)
    early = keep(store, b"early", folder=kept.TROUBLE)
    assert [(one.name, one.folder) for one in kept.entries(str(store))] == [(early, "trouble"), (late, "quarantine")]


def test_expiry(store: Path) -> None:
    """What is old goes with what is known of it; what is young stays; a dry run removes nothing."""
    old, young = keep(store), keep(store, b"young", now=NOW + DAY)
    for dry_run in (True, False):
        gone = kept.expire(str(store), NOW + 30 * DAY, 30 * DAY, dry_run=dry_run)
        assert [one.name for one in gone] == [old]
        assert (store / "quarantine" / f"{old}.eml").exists() == dry_run
    assert {path.stem for path in (store / "quarantine").iterdir()} == {young}


@pytest.mark.parametrize("damage", [None, b"", b"{", b"[]", b"{}", b"null"])
def test_without_its_envelope_a_message_is_still_there(store: Path, damage: bytes | None) -> None:
    """A message of an earlier version, or one whose description is damaged, is shown, and expires by its name."""
    name = keep(store)
    about = store / "quarantine" / f"{name}.json"
    about.unlink() if damage is None else about.write_bytes(damage)
    (one,) = kept.entries(str(store))
    assert (one.created, one.envelope.recipients) == (NOW, ())
    assert kept.expire(str(store), NOW + DAY, DAY) == [one]
    assert list((store / "quarantine").iterdir()) == []


def test_a_description_without_message_goes_in_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two files leaves nothing for ever."""

    def crash(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(durable, "copy_spool", crash)
    with pytest.raises(OSError, match="power cut"):
        keep(store)
    monkeypatch.undo()
    (left,) = (store / "quarantine").iterdir()
    assert kept.entries(str(store)) == []
    kept.expire(str(store), left.stat().st_mtime + DAY - 1, DAY)
    assert left.exists()
    kept.expire(str(store), left.stat().st_mtime + DAY + 1, DAY)
    assert not left.exists()


def test_a_folder_of_somebody_elses_is_refused(store: Path, tmp_path: Path) -> None:
    """Nothing is written through a symbolic link, nor where others may write."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (store / "quarantine").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="not a directory"):
        keep(store)
    (store / "quarantine").unlink()
    (store / "quarantine").mkdir()
    (store / "quarantine").chmod(0o777)
    with pytest.raises(StoreError, match="written by others"):
        keep(store)
    assert list(elsewhere.iterdir()) == []
