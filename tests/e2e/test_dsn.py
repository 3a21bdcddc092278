"""What a sender asks for by DSN (RFC 3461) gets through the filter: the next server is asked for it, or Postfix is."""

import pytest

from tests.e2e import mails
from tests.e2e.conftest import only
from tests.e2e.rig import READER, SENDER, Gate, wait

NOBODY = "bounce@example.net"
ENVID = "order+3D17"

pytestmark = only("lmtp")


def reports(gate: Gate) -> list[bytes]:
    """Wait until the queue is empty, and return the reports (RFC 3464) that arrived at the sender's."""
    found = [one for one in gate.settle() if one.sender == "" and one.recipients == [f"<{SENDER}>"]]
    return [one.raw for one in found if one.message.get_content_type() == "multipart/report"]


@pytest.mark.parametrize("data", [mails.letter(), mails.letter(mails.film())], ids=["passed", "linked"])
def test_what_the_next_server_is_asked_for(gate: Gate, data: bytes) -> None:
    """RET, ENVID, NOTIFY and ORCPT arrive as they were said; who was asked makes the report, nobody before him."""
    gate.send(
        data,
        mail_dsn=f"RET=HDRS ENVID={ENVID}",
        rcpt_dsn=f"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2B@{READER.partition('@')[2]}",
    )
    arrived = gate.delivered()
    assert {"RET=HDRS", f"ENVID={ENVID}"} <= set(arrived.mail.split())
    (parameters,) = arrived.parameters
    assert set(parameters.split()) == {"NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;first+2B@{READER.partition('@')[2]}"}
    assert reports(gate) == []


def test_nobody_is_to_be_told(gate: Gate) -> None:
    """NOTIFY=NEVER arrives; a recipient who fails makes no report."""
    gate.send(mails.letter(), recipients=[READER, NOBODY], rcpt_dsn="NOTIFY=NEVER")
    arrived = gate.delivered()
    assert arrived.recipients == [f"<{READER}>"]
    assert "NOTIFY=NEVER" in arrived.parameters[0].split()
    wait(lambda: f"to=<{NOBODY}>" in gate.instance.log() and "said the sink" in gate.instance.log(), "a refusal")
    assert reports(gate) == []


def test_what_is_told_of_a_failure(gate: Gate) -> None:
    """The report of a failure names the message as its sender did, and has what he wanted back of it."""
    gate.send(mails.letter(), recipients=[NOBODY], mail_dsn=f"RET=HDRS ENVID={ENVID}", rcpt_dsn="NOTIFY=FAILURE")
    (report,) = reports(gate)
    assert b"Original-Envelope-Id: order=17" in report
    assert b"text/rfc822-headers" in report


def test_nothing_was_asked_for(gate: Gate) -> None:
    """Then nothing is asked for, but to whom it was addressed at first; a failure is told of, as ever."""
    gate.send(mails.letter(), recipients=[READER, NOBODY])
    arrived = gate.delivered()
    assert "RET=" not in arrived.mail
    assert arrived.parameters == [f"ORCPT=rfc822;{READER}"]
    assert len(reports(gate)) == 1


def test_longer_than_allowed(gate: Gate) -> None:
    """What Postfix takes without a limit is no reason of ours to bounce a message."""
    gate.send(mails.letter(), mail_dsn=f"ENVID={'x' * 300}", rcpt_dsn=f"ORCPT=rfc822;{'y' * 600}@example.net")
    arrived = gate.delivered()
    assert f"ENVID={'x' * 300}" in arrived.mail.split()
    assert arrived.parameters == [f"ORCPT=rfc822;{'y' * 600}@example.net"]
