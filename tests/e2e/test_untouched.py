"""What is not meant to change arrives byte for byte as it does without a filter, in both layouts."""

from typing import Any

import pytest

from tests.e2e import mails
from tests.e2e.arrived import Arrived
from tests.e2e.rig import READER, SENDER, Gate
from tests.lib.support import attachment, message, multipart, noise

FOREIGN = "someone@foreign.example.com"


def passes(
    gate: Gate, data: bytes, sender: str = SENDER, recipients: tuple[str, ...] = (READER,), **options: Any
) -> Arrived:
    """Send a message past the filter and through it; return what came through, once it is known to be the same."""
    gate.send_unfiltered(data, sender, recipients, **options)
    queue_id = gate.send(data, sender, recipients, **options)
    found = sorted((one for one in gate.settle() if one.sender == sender), key=lambda one: one.hops)
    assert len(found) == 2
    past, through = found
    assert through.hops == past.hops + 1
    assert through.content == past.content
    assert through.recipients == past.recipients
    assert gate.filter_lines(queue_id)
    for line in gate.filter_lines(queue_id):
        assert "status=sent (250 2.0.0 passed" in line or "status=sent (delivered via pfilter service (passed" in line
    assert gate.at_sink() == gate.settle()
    assert len(gate.at_sink()) == 2
    return through


def reason(gate: Gate) -> str:
    """Return why the one message that went through passed."""
    events = gate.events("message")
    assert len(events) == 1
    assert events[0]["level"] == "debug"
    assert str(events[0]["done"]).startswith("passed")
    return str(events[0]["reason"])


@pytest.mark.parametrize("name", mails.UNTOUCHED)
def test_passes_as_it_came(gate: Gate, name: str) -> None:
    data, why = mails.UNTOUCHED[name]
    passes(gate, data)
    assert why in reason(gate)
    assert gate.records == []
    assert gate.blobs == []


# (sender, recipients, XCLIENT, policy, reason)
ENVELOPES = {
    "foreign sender": (FOREIGN, (READER,), {}, {}, "foreign sender"),
    "exempt sender": (SENDER, (READER,), {}, {"exempt_senders": [SENDER]}, "exempt sender"),
    "exempt sender domain": (
        "a@sub.example.org",
        (READER,),
        {},
        {"own_domains": [".example.org"], "exempt_senders": ["@.example.org"]},
        "exempt sender",
    ),
    "exempt SASL user": (SENDER, (READER,), {"LOGIN": "robot"}, {"exempt_sasl_users": ["robot"]}, "exempt SASL user"),
    "exempt network": (
        SENDER,
        (READER,),
        {"ADDR": "192.0.2.77"},
        {"exempt_networks": ["192.0.2.0/24"]},
        "exempt network",
    ),
    "exempt recipients": (
        SENDER,
        ("a@archive.example", "b@archive.example"),
        {},
        {"exempt_recipients": ["@archive.example"]},
        "exempt recipients",
    ),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_envelope_lets_pass(gate: Gate, name: str) -> None:
    sender, recipients, xclient, policy, why = ENVELOPES[name]
    if "LOGIN" in xclient and gate.layout == "lmtp":
        pytest.skip("LMTP does not tell who has logged in, and `check` warns")
    gate.configure(policy=policy)
    passes(gate, mails.letter(mails.film(), mails.table()), sender, recipients, xclient=xclient)
    assert reason(gate) == why
    assert gate.records == []


def test_exemptions_are_for_those_they_name(gate: Gate) -> None:
    gate.configure(
        policy={
            "exempt_senders": ["other@example.org"],
            "exempt_sasl_users": ["robot"],
            "exempt_networks": ["192.0.2.0/24"],
            "exempt_recipients": ["@archive.example"],
        }
    )
    queue_id = gate.send(mails.letter(mails.film()), xclient={"LOGIN": "human", "ADDR": "198.51.100.7"})
    assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
    assert gate.line(queue_id).startswith("1 linked")


def test_real_report(gate: Gate) -> None:
    """A report made by Postfix itself about a message with an attachment."""
    data = mails.letter(attachment(mails.TABLE[:30_000], "list.csv"))
    gate.send_unfiltered(data, recipients=("bounce@example.net",))
    (report,) = gate.settle()
    assert report.sender == ""
    assert report.message.get_content_type() == "multipart/report"
    assert b"list.csv" in report.raw
    gate.forget()
    through = passes(gate, report.raw, sender="", recipients=(SENDER,), raw=True)
    assert through.content == report.content
    assert not (gate.store / "trouble").exists()


def test_read_receipt(gate: Gate) -> None:
    receipt = multipart(
        "report; report-type=disposition-notification",
        mails.plain(),
        b"Content-Type: message/disposition-notification\n\nReporting-UA: x\nDisposition: manual-action\n",
        attachment(noise(50_000), "original.bin"),
    )
    passes(gate, message(receipt), sender="")
    assert reason(gate) in ("no attachments", "report")


def test_null_sender_without_attachment(gate: Gate) -> None:
    passes(gate, message(mails.both()), sender="")


def test_observe_changes_nothing(gate: Gate) -> None:
    gate.configure(policy={"mode": "observe"})
    through = passes(gate, mails.letter(mails.film(), mails.table()))
    assert through.files == {"film.mp4": mails.FILM, "list.csv": mails.TABLE}
    (event,) = gate.events("message")
    assert event["done"] == "passed (observe: would link 1, zip 1)"
    assert [event["event"] for event in gate.events()] == ["part size", "compress", "message"]
    assert gate.records == []
    assert gate.blobs == []


def test_observed_null_sender_keeps_its_attachment(gate: Gate) -> None:
    gate.configure(policy={"mode": "observe"})
    passes(gate, mails.letter(mails.film()), sender="")
    assert not (gate.store / "trouble").exists()


def test_links_disabled(gate: Gate) -> None:
    gate.configure(link={"enabled": False}, compress={"enabled": False}, store={"base_url": None})
    passes(gate, mails.letter(mails.film(), mails.table()))
