"""Who sends much is told of it in few mails: at once up to a limit, then of all the rest in one; nothing gets lost."""

import json
import multiprocessing
import os
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest

from pfilter import pipeline
from pfilter.base.errors import ReinjectError
from pfilter.config.settings import HELD_BACK
from pfilter.delivery import heldback, notification, reinject
from pfilter.message.model import Envelope
from tests.lib import support
from tests.lib.support import ENVELOPE, Processed, attachment, message, multipart, part
from tests.unit.notices.test_texts import download

OURS: dict[str, dict[str, Any]] = {
    "policy": {"own_domains": ["example.org"]},
    "notify": {"sender": True, "per_hour": 5},
}
PLAIN = message(part(b"Hello\n"))


class Post:
    """Postfix, as far as notifications go, and the clock."""

    def __init__(self, store: Path, patch: pytest.MonkeyPatch, **notifying: object) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.broken = False
        self.now = 1_800_000_000.0
        self.store = store
        self.policy = support.link_everything(store, **{**OURS, "notify": {**OURS["notify"], **notifying}})
        patch.setattr(reinject, "send", self._take)
        patch.setattr("time.time", lambda: self.now)
        patch.setattr(pipeline, "time", lambda: self.now)

    def _take(self, mail: object, envelope: Envelope, *_: object) -> None:
        if self.broken:
            raise ReinjectError("no")
        assert envelope.sender == b""
        self.sent.append((envelope.recipients[0].decode(), support.content(mail)))  # type: ignore[arg-type]

    def send(self, number: int, sender: str = "sender@example.org") -> Processed:
        """Send a message with one file of its own."""
        entity = multipart("mixed", part(b"Hi\n"), attachment(b"x%d" % number, f"file-{number}.bin"))
        data = message(entity, f"X-Number: {number}\n")
        return support.process(data, self.policy, ENVELOPE.replace(sender=sender.encode()), may_notify=True)

    def passing(self) -> Processed:
        """Send a message that needs nothing, as mail of anybody."""
        return support.process(PLAIN, self.policy, may_notify=True)

    def texts(self) -> list[str]:
        """Return what was said so far, mail by mail."""
        return [support.text_of(support.parsed(mail)) for _, mail in self.sent]


@pytest.fixture
def post(store: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Return Postfix and the clock."""
    return Post(store, monkeypatch)


def test_twenty_messages_are_six_mails(post: Post) -> None:
    """Of 20 messages in an hour 5 are told at once, and the other 15 in one mail when it is over: every file."""
    results = [post.send(number) for number in range(20)]
    assert all(one.outcome.linked == 1 for one in results)
    assert len(post.sent) == 5
    post.passing()
    assert len(post.sent) == 5
    post.now += heldback.HOUR
    post.passing()
    assert len(post.sent) == 6
    last = post.texts()[-1]
    assert [number for number in range(20) if f"file-{number}.bin" in last] == list(range(5, 20))
    assert last.count("https://") == 15
    post.now += 10 * heldback.HOUR
    post.passing()
    assert len(post.sent) == 6


def test_all_pages_are_told(post: Post) -> None:
    """Each download's page is told once, at once or later."""
    for number in range(12):
        post.send(number)
    post.now += heldback.HOUR
    post.passing()
    said = "\n".join(post.texts())
    pages = [f"/{page.name}/" for page in (post.store / "downloads").iterdir() if page.is_dir()]
    assert [said.count(page) for page in pages] == [1] * 12


def test_one_message_is_told_as_before(post: Post) -> None:
    """Who sends one is told at once, and nothing is held back."""
    post.send(1)
    assert ["file-1.bin" in text for text in post.texts()] == [True]
    assert json.loads((post.store / HELD_BACK).read_text())["sender@example.org"]["held"] == []


def test_each_sender_has_a_limit_of_his_own(post: Post) -> None:
    """One sender's many messages do not keep another from being told; the way an address is written is no matter."""
    for number in range(8):
        post.send(number, ("sender@example.org", "SENDER@Example.ORG")[number % 2])
    post.send(9, "ann@example.org")
    assert [to.lower() for to, _ in post.sent] == ["sender@example.org"] * 5 + ["ann@example.org"]


def test_the_next_hour_begins_anew(post: Post) -> None:
    """After an hour a sender is told at once again, and of what was held back."""
    for number in range(7):
        post.send(number)
    post.now += heldback.HOUR
    post.send(7)
    assert len(post.sent) == 7
    assert "file-7.bin" in post.texts()[5]
    assert ["file-5.bin" in post.texts()[6], "file-6.bin" in post.texts()[6]] == [True, True]


def test_what_could_not_be_sent_is_kept(post: Post) -> None:
    """Where the later mail can't be sent the log says so, and it is tried again, with all that came meanwhile."""
    for number in range(7):
        post.send(number)
    post.now += heldback.HOUR
    post.broken = True
    events = post.passing().log.events
    assert [name for level, name, _ in events if level == "warning"] == ["sender not notified"]
    assert [name for level, name, _ in post.passing().log.events if level == "warning"] == []
    post.broken = False
    post.now += heldback.RETRY
    post.passing()
    assert "file-5.bin" in post.texts()[-1]
    assert "file-6.bin" in post.texts()[-1]


def test_a_mail_is_not_endless(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """When very much is held back it is told before the hour is over, so that no mail and no file grows without end."""
    monkeypatch.setattr(heldback, "FOLD", 10)
    for number in range(36):
        post.send(number)
    assert len(post.sent) == 5 + 3
    assert sorted(text.count("https://") for text in post.texts()) == [1] * 5 + [10] * 3
    post.now += heldback.HOUR
    post.passing()
    assert post.texts()[-1].count("https://") == 1
    assert sum(text.count("https://") for text in post.texts()) == 36


def test_what_expires_is_not_told(post: Post) -> None:
    """When the links have expired nobody needs to know of them any more."""
    for number in range(7):
        post.send(number)
    post.now += post.policy.store_keep + 86400
    post.passing()
    assert len(post.sent) == 5


def test_no_limit(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With per_hour = 0 each message is told at once, and nothing is written."""
    post = Post(store, monkeypatch, per_hour=0)
    for number in range(8):
        post.send(number)
    assert len(post.sent) == 8
    assert not (store / HELD_BACK).exists()


def _damage(store: Path, how: str) -> None:
    path = store / HELD_BACK
    if how == "a directory":
        path.unlink()
        path.mkdir()
    elif how == "locked":
        lock = os.open(f"{path}.lock", os.O_RDWR)
        flock(lock, LOCK_EX)  # until the process ends
    elif how == "full":
        path.with_name(f"{path.name}.new").mkdir()
    else:
        path.write_text(how)


@pytest.mark.parametrize(
    "how", ["", "{", "[]", '{"sender@example.org": 1}', '{"a": {"held": [[]]}}', "a directory", "locked", "full"]
)
def test_what_cannot_be_kept_is_told_at_once(how: str, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file is damaged, busy or can't be written, the message is delivered and its sender told at once."""
    monkeypatch.setattr(heldback, "LOCK_PAUSE", 0)
    for number in range(6):
        post.send(number)
    assert len(post.sent) == 5
    _damage(post.store, how)
    assert post.send(7).outcome.linked == 1
    assert "file-7.bin" in post.texts()[-1]


def test_too_much_to_hold_back_is_told_at_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of very many files, and one more than the file may hold, are told at once."""
    for number in range(6):
        post.send(number)
    monkeypatch.setattr(heldback, "ITEM_LIMIT", 10)
    post.send(7)
    monkeypatch.undo()
    monkeypatch.setattr(reinject, "send", post._take)
    monkeypatch.setattr(heldback, "STATE_LIMIT", 10)
    post.send(8)
    assert ["file-7.bin" in text or "file-8.bin" in text for text in post.texts()[5:]] == [True, True]


def test_the_file_is_private(post: Post) -> None:
    """What tells links is readable by the filter alone."""
    for number in range(7):
        post.send(number)
    found = [path for path in post.store.iterdir() if path.name.startswith(HELD_BACK)]
    assert [support.mode(path) for path in found] == [0o600] * 2


def test_it_speaks_the_language_of_the_sender(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later mail is in the language of the sender's domain, is generated, and answers no message."""
    monkeypatch.setitem(OURS, "notice", {"languages": {"example.org": "de"}, "contact": "it@example.org"})
    post = Post(store, monkeypatch)
    for number in range(6):
        post.send(number)
    post.now += heldback.HOUR
    post.passing()
    found = support.parsed(post.sent[-1][1])
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["In-Reply-To"] is None
    assert found["To"] == "<sender@example.org>"
    text = support.text_of(found)
    assert "Es geht um eine Nachricht" in text
    assert "Fragen: it@example.org" in text
    assert support.defects(found) == []


def _admit(path: str, number: int) -> None:
    for count in range(20):
        found = download(f"{number}-{count}.bin")
        heldback.admit(path, "a@b", "a@b", "", found, 1, 1_000_000.0)


def test_many_at_once(tmp_path: Path) -> None:
    """However many processes hold back at once, none forgets what another did."""
    path = str(tmp_path / "notices")
    workers = [multiprocessing.get_context("fork").Process(target=_admit, args=(path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    held = json.loads((tmp_path / "notices").read_text())["a@b"]["held"]
    assert len({item[3][0][0] for item in held}) == len(held) == 79


# --- Who is not told


@pytest.mark.parametrize(
    ("address", "robot"),
    [
        ("no-reply@example.org", True),
        ("NoReply@example.org", True),
        ("no_reply+42@example.org", True),
        ("do-not-reply@example.org", True),
        ("donotreply@example.org", True),
        ("MAILER-DAEMON@example.org", True),
        ("bounces@example.org", True),
        ("bounce+ann=example.net@example.org", True),
        ("bounces-list-ann=example.net@example.org", True),
        ("ann@noreply.example.org", False),
        ("reply@example.org", False),
        ("bouncer@example.org", False),
        ("ann+no-reply@example.org", False),
        ("nora@example.org", False),
    ],
)
def test_robots_are_not_told(address: str, robot: bool) -> None:
    """Addresses that nobody reads, by the names they are known for, get no notifications."""
    settings = support.policy(policy={"own_domains": ["*"]}, notify={"sender": True})
    found = notification.why_not(support.scanned(PLAIN), Envelope(address.encode(), (b"x@y",)), settings)
    assert found == ("robot" if robot else "")


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        ("scanner@example.org", False),
        ("Scanner@example.org", False),
        ("x@robots.example.org", False),
        ("cron@example.org", False),
        ("cron@robots.example", False),
        ("acron@example.org", True),
        ("ann@example.org", True),
    ],
)
def test_who_is_never_told(sender: str, told: bool) -> None:
    """[notify] never has addresses and patterns of senders who are not told."""
    never = ["scanner@example.org", "@.example.org", "CRON@*"]
    settings = support.policy(policy={"own_domains": ["*"]}, notify={"sender": True, "never": never})
    found = notification.why_not(support.scanned(PLAIN), Envelope(sender.encode(), (b"x@y",)), settings)
    assert found == ("" if told else "notify.never")
