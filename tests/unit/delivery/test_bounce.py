"""The report about recipients who were refused for their addresses: what it is, and what nobody can make of it."""

import email
import email.policy

import pytest

from pfilter.base.errors import ReinjectError
from pfilter.delivery import bounce
from pfilter.message.model import Envelope, Refused
from tests.lib import support
from tests.lib.support import ENVELOPE, BytesSpool, RecordingLog

BAD = Refused(
    address=b"-evil@example.net",
    status="5.1.3",
    said="501 5.1.3 Bad recipient address syntax",
    server="mail.example.org",
)
MESSAGE = support.message(support.part(b"Hello\n"))


def composed(*refused: Refused, data: bytes = MESSAGE, envelope: Envelope = ENVELOPE) -> bytes:
    """Return the report."""
    return bounce.compose(refused or (BAD,), BytesSpool(data), envelope.replace(queue_id="4F2A"))


def test_it_is_a_delivery_status_notification() -> None:
    """A multipart/report of text, status and header (RFC 3464, RFC 6522), marked as automatic."""
    found = support.parsed(composed())
    assert found.get_content_type() == "multipart/report"
    assert found.get_param("report-type") == "delivery-status"
    assert found["Auto-Submitted"] == "auto-replied"
    assert found["From"] == "MAILER-DAEMON@mail.example.org (Mail Delivery System)"
    assert found["To"] == "<sender@example.org>"
    assert found["Date"]
    assert found["Message-ID"].endswith("@mail.example.org>")
    assert found["MIME-Version"] == "1.0"
    assert support.defects(found) == []
    parts = support.children(found)
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]


def test_the_status_of_each_recipient() -> None:
    """Programs learn who did not get it, that it is for good, why, and who said so."""
    other = BAD.replace(address=b"b@example.net", status="5.1.1", said="550 5.1.1 no such user")
    _, status, _ = support.children(support.parsed(composed(BAD, other)))
    about, first, second = support.children(status)
    assert about["Reporting-MTA"] == "dns; mail.example.org"
    assert about["X-Postfix-Queue-ID"] == "4F2A"
    assert dict(first.items()) == {
        "Final-Recipient": "rfc822; -evil@example.net",
        "Action": "failed",
        "Status": "5.1.3",
        "Remote-MTA": "dns; mail.example.org",
        "Diagnostic-Code": "smtp; 501 5.1.3 Bad recipient address syntax",
    }
    assert (second["Final-Recipient"], second["Status"]) == ("rfc822; b@example.net", "5.1.1")


def test_people_read_who_and_why() -> None:
    """The text names each recipient and the reply, and says that the others got it."""
    text = support.text_of(support.leaves(support.parsed(composed()))[0])
    assert "<-evil@example.net>: 501 5.1.3 Bad recipient address syntax" in text
    assert "all others" in text


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_the_header_comes_back(eol: bytes) -> None:
    """The header of the message is returned, its body is not."""
    returned = support.children(support.parsed(composed(data=MESSAGE.replace(b"\n", eol))))[2].get_payload()
    assert isinstance(returned, str)
    header = email.message_from_string(returned)
    assert header["Subject"] == "Figures"
    assert header["Message-ID"] == "<1@example.org>"
    assert "Hello" not in returned


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\nbody only\n",
        b"Subject: x",
        b"Subject: " + b"x" * 200_000 + b"\n\nbody\n",
        b"X: y\n" * 50_000 + b"\nbody\n",
        b"Subject: gr\xfc\xdfe\n\nbody\n",
        b"Subject: a\rb\0c\n\nbody\n",
        b"--x\n--x--\n\nbody\n",
    ],
    ids=["empty", "no header", "no end", "long line", "long", "8-bit", "controls", "delimiters"],
)
def test_whatever_the_header_is(data: bytes) -> None:
    """Any header comes back in bounded length, and the report stays a sound one of three parts."""
    made = composed(data=data)
    found = support.parsed(made)
    assert len(support.children(found)) == 3
    assert support.defects(found) == []
    assert len(made) < 100_000
    assert b"body" not in made.partition(b"rfc822-headers")[2]
    assert not {b"\r", b"\0"} & {made[at : at + 1] for at in range(len(made))}
    if not made.isascii():
        assert found["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize(
    "said", ["501 " + "x" * 5000, "550 5.1.1 grüße", "550 a\r\nBcc: evil@example.org", "550 \x1b[1m"]
)
@pytest.mark.parametrize("server", ["mail.example.org", "", "a b\r\nBcc: evil@example.org", "ü"])
def test_hostile_servers(said: str, server: str) -> None:
    """Nothing that a server says adds a field, a control or a line over the limit."""
    made = composed(BAD.replace(said=said, server=server))
    found = support.parsed(made)
    assert found["Bcc"] is None
    assert all(part["Bcc"] is None for part in support.children(support.children(found)[1]))
    assert max(map(len, made.split(b"\n"))) <= 998
    assert b"\x1b" not in made
    assert b"@localhost" in made or b"@mail.example.org" in made or b"MAILER-DAEMON@" in made


def test_addresses_in_utf_8() -> None:
    """An address that is not ASCII makes it an internationalised report (RFC 6533)."""
    made = composed(BAD.replace(address="jürgen@example.net".encode()))
    found = support.parsed(made)
    types = [part.get_content_type() for part in support.children(found)]
    assert types == ["text/plain", "message/global-delivery-status", "message/global-headers"]
    assert "Final-Recipient: utf-8; jürgen@example.net".encode() in made
    assert found["Content-Transfer-Encoding"] == "8bit"


def test_it_is_sent_to_the_envelope_sender_from_the_null_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the way that results go back; the event says how many recipients it is about."""
    from pfilter.delivery import reinject

    sent: list[Envelope] = []
    monkeypatch.setattr(reinject, "send", lambda _, envelope, *__: sent.append(envelope))
    log = RecordingLog()
    bounce.tell((BAD,), BytesSpool(MESSAGE), ENVELOPE, support.policy(), log)
    assert [(one.sender, one.recipients) for one in sent] == [(b"", (b"sender@example.org",))]
    ((level, name, fields),) = log.events
    assert (level, name, fields["recipients"]) == ("warning", "recipient refused", 1)


@pytest.mark.parametrize("error", [ReinjectError("no"), OSError(28, "full"), MemoryError(), ValueError("odd")])
def test_a_report_that_fails_is_an_event(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is sent: nothing raises any more, and the log names the number of recipients."""
    from pfilter.delivery import reinject

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(reinject, "send", refuse)
    log = RecordingLog()
    bounce.tell((BAD, BAD), BytesSpool(MESSAGE), ENVELOPE, support.policy(), log)
    level, name, fields = log.events[-1]
    assert (level, name, fields["recipients"]) == ("error", "refusal not reported", 2)
    assert fields["refused"] == " ".join([BAD.address.decode()] * 2)


def test_the_null_sender_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail of the null sender has nobody to report to: the log has it, as an error."""
    from pfilter.delivery import reinject

    monkeypatch.setattr(reinject, "send", lambda *_: pytest.fail("a report about a report"))
    log = RecordingLog()
    bounce.tell((BAD,), BytesSpool(MESSAGE), ENVELOPE.replace(sender=b""), support.policy(), log)
    assert [name for _, name, _ in log.events] == ["recipient refused"]
