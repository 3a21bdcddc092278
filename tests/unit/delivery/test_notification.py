"""The mail to the sender: what it is, who gets it, and that its failure harms nobody."""

from email.header import decode_header, make_header
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from pfilter.delivery import notification
from pfilter.message.model import Envelope
from pfilter.notices import texts
from pfilter.store.record import Download, Link
from tests.lib import support
from tests.lib.support import BASE_URL, ENVELOPE, NOW, scanned

OURS: dict[str, dict[str, Any]] = {"policy": {"own_domains": ["example.org"]}, "notify": {"sender": True}}
DOWNLOAD = Download(
    id="a" * 32,
    url=f"{BASE_URL}/{'a' * 32}/",
    links=(Link(name="a.bin", size=1000, sha256="0" * 64, url=f"{BASE_URL}/{'a' * 32}/files/a.bin"),),
    until=NOW,
)


def why_not(fields: str = "", sender: bytes = b"ann@example.org", **sections: dict[str, Any]) -> str:
    """Return why a sender is not told about a message with these fields."""
    data = support.message(support.part(b"x"), fields)
    settings = support.policy(**{**OURS, **sections})
    return notification.why_not(scanned(data), Envelope(sender=sender, recipients=(b"x@y",)), settings)


@pytest.mark.parametrize(
    ("fields", "sender", "reason"),
    [
        ("", b"ann@example.org", ""),
        ("Auto-Submitted: no\n", b"ann@example.org", ""),
        ("Precedence: first-class\n", b"ann@example.org", ""),
        ("", b"", "null sender"),
        ("", b"ann@elsewhere.example", "sender is not ours"),
        ("List-Id: <x.example.org>\n", b"ann@example.org", "list mail"),
        ("List-Unsubscribe: <mailto:x@example.org>\n", b"ann@example.org", "list mail"),
        ("Precedence: bulk\n", b"ann@example.org", "bulk mail"),
        ("Precedence: List (digest)\n", b"ann@example.org", "bulk mail"),
        ("Precedence: junk\n", b"ann@example.org", "bulk mail"),
        ("Auto-Submitted: auto-generated\n", b"ann@example.org", "automatic mail"),
        ("Auto-Submitted: auto-replied; owner-email=x\n", b"ann@example.org", "automatic mail"),
    ],
)
def test_who_is_told(fields: str, sender: bytes, reason: str) -> None:
    """Only our own senders, and never about list, bulk or automatic mail."""
    assert why_not(fields, sender) == reason


def test_it_can_be_switched_off() -> None:
    """With notify.sender = false nobody is told."""
    assert why_not(notify={"sender": False}) == "notify.sender = false"


def composed(
    subject: str = "Figures", fields: str = "", sender: bytes = b"ann@example.org", **sections: object
) -> bytes:
    """Return the notification about a message."""
    data = support.message(support.part(b"x"), fields)
    settings = support.policy(**{**OURS, **sections})  # type: ignore[arg-type]
    return notification.compose(scanned(data), ENVELOPE.replace(sender=sender), DOWNLOAD, subject, settings)


def test_the_notification_is_an_automatic_reply() -> None:
    """It is marked as RFC 3834 wants it, answers the message, and is dated."""
    found = support.parsed(composed())
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["In-Reply-To"] == found["References"] == "<1@example.org>"
    assert found["To"] == "<ann@example.org>"
    assert found["From"] == "postmaster@example.org"
    assert parsedate_to_datetime(found["Date"]).tzinfo
    assert found["Message-ID"].endswith("@example.org>")
    assert found["MIME-Version"] == "1.0"
    assert support.defects(found) == []


def test_the_notification_says_it_in_the_promised_words() -> None:
    """It says that nothing need be done, and lists the files, the date and the page."""
    text = support.text_of(support.parsed(composed()))
    assert "Your attachment has been replaced with a link; no further action required." in text
    for word in ("Figures", "a.bin", "1 kB", "15 January 2027", DOWNLOAD.url):
        assert word in text


def test_two_notifications_have_different_ids() -> None:
    """Each notification has a Message-ID of its own."""
    assert support.parsed(composed())["Message-ID"] != support.parsed(composed())["Message-ID"]


def test_from_can_be_configured() -> None:
    """notify.from is the author."""
    assert support.parsed(composed(notify={"sender": True, "from": "it@example.org"}))["From"] == "it@example.org"


def test_a_message_without_id_is_not_answered() -> None:
    """Without a Message-ID there is no In-Reply-To."""
    data = b"Subject: x\n\nbody\n"
    made = notification.compose(scanned(data), ENVELOPE, DOWNLOAD, "x", support.policy(**OURS))
    assert support.parsed(made)["In-Reply-To"] is None


@pytest.mark.parametrize("subject", ["Grüße 日本語", "x" * 2000, "a\r\nBcc: evil@example.org\r\n\r\nbody"])
def test_hostile_subjects(subject: str) -> None:
    """No subject adds a field, a line or undeclared octets to the notification."""
    made = composed(subject)
    found = support.parsed(made)
    assert found["Bcc"] is None
    assert made.isascii()
    assert max(map(len, made.split(b"\n"))) <= 998
    assert support.defects(found) == []


def test_a_hostile_message_id_adds_no_field() -> None:
    """A folded Message-ID stays one field."""
    data = b"Message-ID: <a\n\tBcc: x@y>\nSubject: x\n\nbody\n"
    made = notification.compose(scanned(data), ENVELOPE, DOWNLOAD, "x", support.policy(**OURS))
    assert support.parsed(made)["Bcc"] is None


def test_a_failing_notification_is_an_event(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the notification can't be sent the message is delivered all the same, and the log says so."""
    from pfilter.base.errors import ReinjectError
    from pfilter.delivery import reinject

    def refuse(*_: object) -> None:
        raise ReinjectError("no")

    monkeypatch.setattr(reinject, "send", refuse)
    data = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 100)))
    result = support.process(data, support.link_everything(store, **OURS), may_notify=True)
    assert result.outcome.linked == 1
    assert ("warning", "sender not notified") in [(level, name) for level, name, _ in result.log.events]


@pytest.mark.parametrize(
    ("subject", "shown"),
    [("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n", "Grüße"), ("Subject: a\n\tb\n", "a\tb"), ("", "(no subject)")],
)
def test_once_a_message_to_its_sender(store: Path, monkeypatch: pytest.MonkeyPatch, subject: str, shown: str) -> None:
    """One notification, with the null sender, to the envelope sender, showing the subject as people read it."""
    from pfilter.delivery import reinject

    sent: list[tuple[bytes, Envelope]] = []
    monkeypatch.setattr(reinject, "send", lambda mail, envelope, *_: sent.append((support.content(mail), envelope)))
    files = [support.attachment(b"x" * 100, "a.bin"), support.attachment(b"y" * 100, "b.bin")]
    data = subject.encode("ascii") + b"MIME-Version: 1.0\n" + support.multipart("mixed", support.part(b"Hi\n"), *files)
    support.process(data, support.link_everything(store, **OURS), may_notify=True)
    ((mail, envelope),) = sent
    assert (envelope.sender, envelope.recipients) == (b"", (b"sender@example.org",))
    assert shown.replace("\t", " ") in support.text_of(support.parsed(mail))


def test_nobody_is_notified_of_what_was_only_zipped(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip alone is no news."""
    from pfilter.delivery import reinject

    sent: list[object] = []
    monkeypatch.setattr(reinject, "send", lambda *arguments: sent.append(arguments))
    data = support.message(
        support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.table(), "a.csv"))
    )
    result = support.process(data, support.zip_everything(store, **OURS), may_notify=True)
    assert (result.outcome.zipped, sent) == (1, [])


@pytest.mark.parametrize(
    ("organisation", "name"),
    [
        ("Example Ltd", "Example Ltd mail service"),
        ("Büro & Co", "Büro & Co mail service"),
        ('A "B" \\', 'A "B" \\ mail service'),
        ("x, y", "x, y mail service"),
    ],
)
def test_it_comes_from_the_mail_service_of_the_organisation(organisation: str, name: str) -> None:
    """Who reads it knows who speaks: the organisation's name stands before the address."""
    found = support.parsed(composed(notice={"organisation": organisation}))
    author, address = parseaddr(str(found["From"]))
    assert (str(make_header(decode_header(author))), address) == (name, "postmaster@example.org")
    given = composed(notice={"organisation": organisation}, notify={"sender": True, "from": "IT <it@example.org>"})
    assert support.parsed(given)["From"] == "IT <it@example.org>"


def test_the_subject_is_that_of_the_message() -> None:
    """By it a sender knows at once which of his messages it is about; without one it says what was done."""
    assert support.parsed(composed("The bridge at last"))["Subject"] == "Sent as links: The bridge at last"
    assert support.parsed(composed(""))["Subject"] == "Your attachments have been replaced with links"


def test_one_attachment_is_one() -> None:
    """One link, or links."""
    two = DOWNLOAD.replace(links=DOWNLOAD.links * 2)
    one, more = (texts.notification(made, "ann@example.org", "x", support.policy()).text for made in (DOWNLOAD, two))
    assert "Your attachment has been replaced with a link;" in one
    assert "Your attachments have been replaced with links;" in more
