"""Recipients on the way back: more than strangers may name in one message, and addresses that smtpd does not take."""

from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.conftest import Make, only
from tests.e2e.rig import READER, SENDER, Gate, wait
from tests.lib.support import defects

LIST = "list@example.org"
BAD = "-evil@example.net"


def aliased(start: Make, layout: str, folder: Path, members: list[str], *options: str) -> Gate:
    """Return a gateway with an alias."""
    table = folder / f"alias-{layout}"
    table.write_text(f"{LIST} {' '.join(members)}\n")
    folder.chmod(0o755)
    table.chmod(0o644)
    words = [f"virtual_alias_maps=texthash:{table}", "virtual_alias_expansion_limit=5000", *options]
    return start(layout, *(argument for word in words for argument in ("-o", word)))


def addressed(gate: Gate, sender: str = SENDER) -> list[str]:
    """Wait until the queue is empty; return who got a sender's mail, one entry for each copy."""
    return sorted(one.strip("<>") for mail in gate.settle() if mail.sender == sender for one in mail.recipients)


@pytest.mark.parametrize("limit", ["", "smtpd_recipient_limit=100"], ids=["default", "low"])
def test_a_long_alias(limit: str, layout: str, start: Make, ground: Path) -> None:
    """An alias of 1,500 members reaches each of them once, whatever strangers may send."""
    members = [f"member{number}@example.net" for number in range(1500)]
    gate = aliased(start, layout, ground, members, *([limit] if limit else []))
    gate.configure(link={"enabled": False}, store={"base_url": None})
    gate.send(mails.letter(), recipients=[LIST])
    assert addressed(gate) == sorted(members)


def test_a_member_without_an_address(layout: str, start: Make, ground: Path) -> None:
    """The others get the message, once; its sender gets a report about that one; nothing waits."""
    gate = aliased(start, layout, ground, [READER, BAD, "b@example.net"])
    gate.send(mails.letter(mails.film()), recipients=[LIST])
    assert addressed(gate) == sorted([READER, "b@example.net"])
    reports = [one for one in gate.at_sink() if one.sender == "" and one.recipients == [f"<{SENDER}>"]]
    (report,) = [one for one in reports if one.message.get_content_type() == "multipart/report"]
    assert defects(report.message) == []
    assert f"Final-Recipient: rfc822; {BAD}".encode() in report.raw
    assert b"Action: failed" in report.raw
    assert b"Status: 5.1.3" in report.raw
    assert b"\r\nMessage-ID: " in report.raw.partition(b"rfc822-headers")[2] or b"message/rfc822" in report.raw
    assert report.message["Auto-Submitted"] == "auto-replied"
    assert "MAILER-DAEMON" in report.message["From"]
    assert len(reports) == 2  # and the mail about the link


@only("smtp", "lmtp")
def test_many_members_without_an_address(layout: str, start: Make, ground: Path) -> None:
    """Postfix hangs up on strangers who make many errors, not on us."""
    members = [READER, *(f"-evil{number}@example.net" for number in range(40))]
    gate = aliased(start, layout, ground, members, "smtpd_hard_error_limit=5")
    queue_id = gate.send(mails.letter(), recipients=[LIST])
    assert addressed(gate) == [READER]
    if layout == "lmtp":  # each is told his own, and Postfix makes one report of them all
        assert len([line for line in gate.filter_lines(queue_id) if "status=bounced" in line]) == 40
    else:
        assert any("40 of 41 recipients refused" in line for line in gate.filter_lines(queue_id))
    (event,) = gate.events("recipient refused")
    assert event["recipients"] == 40


@only("smtp", "lmtp")
def test_no_member_with_an_address(layout: str, start: Make, ground: Path) -> None:
    """Postfix bounces, with smtpd's own status."""
    gate = aliased(start, layout, ground, [BAD])
    queue_id = gate.send(mails.letter(), recipients=[LIST])

    def bounced() -> list[str]:
        return [line for line in gate.filter_lines(queue_id) if "status=bounced" in line]

    (line,) = wait(bounced, "a bounce")
    assert "dsn=5.1.3" in line
    assert addressed(gate) == []
    (report,) = [one for one in gate.at_sink() if one.sender == ""]
    assert b"Status: 5.1.3" in report.raw


@only("smtp", "lmtp")
def test_a_bad_member_of_mail_from_the_null_sender(layout: str, start: Make, ground: Path) -> None:
    """Nobody is told about mail that has no sender; the others get it."""
    gate = aliased(start, layout, ground, [READER, BAD])
    gate.send(mails.letter(), sender="", recipients=[LIST])
    assert addressed(gate, "") == [READER]
    assert len(gate.at_sink()) == 1
    assert gate.events("recipient refused")
