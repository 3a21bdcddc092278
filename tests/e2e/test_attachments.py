"""The rules at work: what becomes a link, what becomes a zip, what is taken off, and who is told."""

import io
import json
import os
import time
import zipfile

import pytest

from tests.e2e import mails
from tests.e2e.conftest import PIPES, only
from tests.e2e.rig import READER, SENDER, Gate
from tests.lib.support import NOTICE, attachment, message, mode, multipart, noise, part

WEEK = 7 * 86400


def unzipped(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def told_date(seconds: int) -> str:
    """Return a date as readers are told it."""
    when = time.localtime(seconds)
    return f"{time.strftime('%A', when)}, {when.tm_mday} {time.strftime('%B %Y', when)}"


def test_big_part_becomes_a_link(gate: Gate) -> None:
    before = int(time.time())
    queue_id = gate.send(mails.letter(mails.film()))
    got = gate.delivered()

    assert got.recipients == [f"<{READER}>"]
    assert got.files == {}
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert mails.TEXT in got.text.replace("\r\n", "\n")
    for body in (got.text, got.html):
        assert body.count(NOTICE) == 1
    assert got.raw.count(NOTICE.encode()) == 2
    assert got.html.index(NOTICE) < got.html.index("</body>")

    (record,) = gate.records
    assert before <= record["created"] <= time.time()
    assert record["created"] + WEEK <= record["until"] < record["created"] + WEEK + 25 * 3600
    assert time.strftime("%H:%M:%S", time.localtime(record["until"])) == "23:59:59"
    assert (record["sender"], record["recipients"], record["queue_id"]) == (SENDER, 1, queue_id)
    assert told_date(record["until"]) in got.text
    assert told_date(record["until"]) in got.html
    page = gate.open(f"https://files.example.org/d/{record['id']}/").decode()
    assert told_date(record["until"]) in page
    assert SENDER in page
    assert READER not in page
    assert [path.name for path in gate.blobs] == [record["files"][0]["sha256"]]
    assert mode(gate.store / "records") == 0o700
    assert mode(gate.store / "blobs") == 0o700
    assert mode(gate.store / "secret") == 0o600

    assert gate.line(queue_id).startswith("1 linked, 1.2 MB -> ")
    assert gate.event(queue_id)["done"] == gate.line(queue_id)
    assert [event["event"] for event in gate.events()] == ["part size", "message"]
    assert record["id"] not in gate.events_file.read_text()
    assert record["id"] not in gate.instance.log()


def test_sender_is_told_once(gate: Gate) -> None:
    gate.send(mails.letter(mails.film("one.mp4"), attachment(mails.FILM[::-1], "two.mp4")))
    got = gate.delivered()
    told = gate.notification()
    assert told
    assert told.mail.startswith("<>")
    assert told.message["Auto-Submitted"] == "auto-replied"
    assert told.message["In-Reply-To"] == "<1@example.org>"
    assert told.message["From"] == "postmaster@example.org"
    assert "Your attachments have been replaced with links; no further action required." in told.text
    assert gate.linked(told) == gate.linked(got) == {"one.mp4": mails.FILM, "two.mp4": mails.FILM[::-1]}
    assert len(gate.at_sink()) == 2


def test_compressible_part_becomes_a_zip(gate: Gate) -> None:
    queue_id = gate.send(mails.letter(mails.table()))
    again = gate.send(mails.letter(mails.table()))
    first, second = gate.settle()
    assert list(first.files) == ["list.csv.zip"]
    assert unzipped(first.files["list.csv.zip"]) == {"list.csv": mails.TABLE}
    assert second.content == first.content
    assert NOTICE not in first.raw.decode("ascii")
    assert first.text.replace("\r\n", "\n") == mails.TEXT
    assert gate.notification() is None
    assert gate.records == []
    for one in (queue_id, again):
        assert gate.line(one).startswith("1 zipped, ")
    assert [event["event"] for event in gate.events()] == ["compress", "message"] * 2


def test_link_and_zip(gate: Gate) -> None:
    queue_id = gate.send(mails.letter(mails.film(), mails.table(), attachment(noise(2000), "small.bin")))
    got = gate.delivered()
    assert list(got.files) == ["list.csv.zip", "small.bin"]
    assert unzipped(got.files["list.csv.zip"]) == {"list.csv": mails.TABLE}
    assert got.files["small.bin"] == noise(2000)
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert gate.line(queue_id).startswith("1 linked, 1 zipped, ")
    assert gate.notification()


def test_too_big_even_as_a_zip(gate: Gate) -> None:
    """The original is stored, not the zip."""
    data = noise(850_000) + b"\0" * 3_000_000
    gate.send(mails.letter(attachment(data, "disk.img")))
    got = gate.delivered()
    assert got.files == {}
    assert gate.linked(got) == {"disk.img": data}


def test_one_by_zip_under_the_limit(gate: Gate) -> None:
    data = mails.TABLE * 20
    assert len(data) > 800 << 10
    gate.send(mails.letter(attachment(data, "long.csv")))
    got = gate.delivered()
    assert unzipped(got.files["long.csv.zip"]) == {"long.csv": data}
    assert gate.records == []


def test_fifteen_recipients_over_the_bandwidth_limit(gate: Gate) -> None:
    larger, smaller = noise(100_000, 2), noise(50_000, 3)
    data = mails.letter(attachment(smaller, "smaller.bin"), attachment(larger, "larger.bin"))
    recipients = [f"reader{number}@example{number % 3}.net" for number in range(15)]
    queue_id = gate.send(data, recipients=recipients)
    got = gate.delivered()
    assert sorted(got.recipients) == sorted(f"<{address}>" for address in recipients)
    assert got.files == {"smaller.bin": smaller}
    assert gate.linked(got) == {"larger.bin": larger}
    assert len(got.raw) * 15 <= 1300 << 10
    assert [event["event"] for event in gate.events()] == ["bandwidth", "message"]
    assert gate.event(queue_id)["recipients"] == 15
    assert gate.records[0]["recipients"] == 15

    gate.forget()
    gate.send(data)
    assert gate.delivered().files == {"smaller.bin": smaller, "larger.bin": larger}


def test_120_recipients_in_one_run(gate: Gate) -> None:
    recipients = [f"reader{number}@example{number % 7}.net" for number in range(120)]
    queue_id = gate.send(mails.letter(mails.film()), recipients=recipients)
    got = gate.delivered()
    assert sorted(got.recipients) == sorted(f"<{address}>" for address in recipients)
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert gate.event(queue_id)["recipients"] == 120
    lines = gate.filter_lines(queue_id)
    assert len(lines) == 120
    assert len({line.partition("(delivered")[2] for line in lines}) == 1
    assert len(gate.records) == 1
    assert gate.notification()


def test_null_sender_loses_its_attachments(gate: Gate) -> None:
    data = mails.letter(attachment(noise(300), "small.bin"), mails.film('a <b>"c".mp4'.replace('"', '\\"')))
    queue_id = gate.send(data, sender="")
    got = gate.delivered(sender="")
    assert len(gate.at_sink()) == 1
    assert got.files == {}
    for body in (got.text, got.html):
        assert "Please do not send this message again." in body
        assert "small.bin" in body
        assert "<1@example.org>" in body.replace("&lt;", "<").replace("&gt;", ">")
    assert "<b>_c_" not in got.html
    (kept,) = (gate.store / "trouble").glob("*.eml")
    assert kept.suffix == ".eml"
    assert queue_id in kept.name
    assert mode(kept) == 0o600
    assert mode(kept.parent) == 0o700
    original = kept.read_bytes()
    assert original.startswith(b"Received: from client.example.org")
    assert original.endswith(data)
    assert gate.line(queue_id).startswith("2 stripped, ")
    assert [event["event"] for event in gate.events()] == ["unknown sender", "unknown sender", "message"]
    assert gate.event(queue_id)["original"] == kept.stem
    assert gate.records == []


def test_null_sender_may_pass(gate: Gate) -> None:
    gate.configure(policy={"null_sender": "pass"})
    gate.send(mails.letter(mails.film()), sender="")
    assert gate.delivered(sender="").files == {"film.mp4": mails.FILM}


@only(*PIPES)  # LMTP does not tell who has logged in
def test_sasl_user_of_a_foreign_domain(gate: Gate) -> None:
    """Who logs in is ours, whatever address they write under; but notifications stay at home."""
    foreign = "alice@foreign.example.com"
    gate.send(mails.letter(mails.film()), sender=foreign, xclient={"LOGIN": "alice", "ADDR": "198.51.100.7"})
    got = gate.delivered(sender=foreign)
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert gate.notification(foreign) is None


@only(*PIPES)
def test_some_recipients_exempt(gate: Gate) -> None:
    gate.configure(policy={"exempt_recipients": ["@archive.example"]})
    queue_id = gate.send(mails.letter(mails.film()), recipients=(READER, "a@archive.example"))
    got = gate.delivered()
    assert sorted(got.recipients) == ["<a@archive.example>", f"<{READER}>"]
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert "1 of 2 recipients are exempt" in gate.event(queue_id)["remarks"]


@only("lmtp")
def test_some_recipients_exempt_and_told_apart(gate: Gate) -> None:
    """By LMTP who is exempt gets the original, the others the filtered message, and Postfix logs which is which."""
    gate.configure(policy={"exempt_recipients": ["@archive.example"]})
    queue_id = gate.send(mails.letter(mails.film()), recipients=(READER, "a@archive.example"))
    got = {mail.recipients[0]: mail for mail in gate.settle() if mail.sender == SENDER}
    assert sorted(got) == ["<a@archive.example>", f"<{READER}>"]
    assert gate.linked(got[f"<{READER}>"]) == {"film.mp4": mails.FILM}
    assert got["<a@archive.example>"].files == {"film.mp4": mails.FILM}
    linked, passed = (event for event in gate.events("message") if event["queue_id"] == queue_id)
    assert (linked["reason"], passed["reason"]) == ("attachments", "exempt recipients")
    assert linked["recipients"] == passed["recipients"] == 1


def test_own_dkim_signature_breaks_and_is_told(gate: Gate) -> None:
    queue_id = gate.send(mails.letter(mails.film(), fields=mails.dkim("example.org")))
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert mails.dkim("example.org").replace("\n", "\r\n").encode() in got.raw
    assert "DKIM" in gate.event(queue_id)["remarks"]


def test_big_file_beside_an_invitation(gate: Gate) -> None:
    forms = multipart("alternative", mails.plain(), mails.html(), mails.INVITATION, boundary="forms")
    gate.send(mails.letter(mails.film(), mails.CALENDAR_FILE, body=forms))
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert mails.INVITATION.replace(b"\n", b"\r\n") in got.raw
    assert mails.CALENDAR_FILE.replace(b"\n", b"\r\n") in got.raw


def test_big_file_beside_an_inline_image(gate: Gate) -> None:
    shown = mails.image(mails.TABLE)
    body = multipart("related", mails.html(mails.SHOWING), shown, boundary="shown")
    gate.send(mails.letter(mails.film(), body=multipart("alternative", mails.plain(), body, boundary="forms")))
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert shown.replace(b"\n", b"\r\n") in got.raw
    assert got.html.count(NOTICE) == 1


def test_unreferenced_image_is_an_attachment(gate: Gate) -> None:
    gate.send(mails.letter(mails.image(mails.FILM)))
    assert gate.linked(gate.delivered()) == {"logo.bmp": mails.FILM}


def test_big_forwarded_message(gate: Gate) -> None:
    inner = mails.letter(mails.film(), mails.table()).replace(b"outer", b"inner")
    gate.send(mails.letter(part(inner, 'message/rfc822; name="Fwd.eml"', disposition="attachment")))
    got = gate.delivered()
    assert gate.linked(got) == {"Fwd.eml": inner}
    assert got.files == {}
    assert mails.TEXT in got.text.replace("\r\n", "\n")


def test_same_names_are_told_apart(gate: Gate) -> None:
    other = mails.FILM[::-1]
    gate.send(mails.letter(mails.film(), attachment(other, "film.mp4")))
    assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM, "film-2.mp4": other}


@pytest.mark.parametrize(
    "fields",
    [
        "List-Id: <list.example.org>\n", "Precedence: bulk\n", "Precedence: list\n",
        "Auto-Submitted: auto-generated\n", "Auto-Submitted: auto-replied; owner-email=x\n",
    ],
)  # fmt: skip
def test_machines_are_not_told(gate: Gate, fields: str) -> None:
    gate.send(mails.letter(mails.film(), fields=fields))
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert gate.notification() is None
    assert len(gate.at_sink()) == 1


def test_not_told_where_not_wanted(gate: Gate) -> None:
    gate.configure(notify={"sender": False})
    gate.send(mails.letter(mails.film()))
    assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
    assert len(gate.at_sink()) == 1


@pytest.mark.parametrize(("setting", "value"), [("name", b"pfilter"), ("version", b"pfilter 0.1.0")])
def test_trace_header(gate: Gate, setting: str, value: bytes) -> None:
    gate.configure(policy={"trace_header": setting}, notify={"sender": False})
    gate.send(mails.letter(mails.film()))
    changed = gate.delivered()
    assert changed.raw.count(b"X-Content-Filter") == 1
    assert b"\r\nX-Content-Filter: " + value + b"\r\n" in changed.raw
    gate.forget()
    gate.send(message(mails.both()))
    assert b"X-Content-Filter" not in gate.delivered().raw


def test_one_recipient_refuses_afterwards(gate: Gate) -> None:
    """What happens behind the filter is Postfix's: each recipient gets it once, the sender a report."""
    gate.send(mails.letter(mails.film()), recipients=(READER, "bounce@example.net"))
    got = gate.delivered()
    assert got.recipients == [f"<{READER}>"]
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    about = [one.message.get_content_type() for one in gate.at_sink() if one.sender == ""]
    assert sorted(about) == ["multipart/report", "text/plain"]


def test_log_that_cannot_be_written(gate: Gate) -> None:
    for target in ("syslog", "file:/nonexistent/folder/log"):
        gate.configure(log={"to": target})
        queue_id = gate.send(mails.letter(mails.film()))
        assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
        assert gate.line(queue_id).startswith("1 linked, ")
        gate.forget()


def test_who_sends_much_is_told_in_few_mails(gate: Gate) -> None:
    """Five are told at once; the others in one mail, sent by the next message's run when the hour is over."""
    gate.configure(notify={"per_hour": None})  # the default
    for number in range(8):
        gate.send(mails.letter(attachment(mails.FILM, f"film-{number}.mp4")))
    told = [one for one in gate.settle() if one.sender == ""]
    assert len(told) == 5
    kept = gate.store / "notices"
    entries = json.loads(kept.read_text())
    for entry in entries.values():
        entry["since"] -= 3600
        entry["due"] -= 3600
    kept.write_text(json.dumps(entries))
    os.utime(kept, (0, 0))
    gate.forget()
    queue_id = gate.send(mails.letter())
    summary = gate.notification()
    assert summary
    assert gate.line(queue_id) == "passed (no attachments)"
    text = summary.text
    here = [number for number in range(8) if f"film-{number}.mp4" in text]
    assert len(here) == 3


@pytest.mark.parametrize("own", ["straße.example", "xn--strae-oqa.example"])
def test_domain_in_another_script(gate: Gate, own: str) -> None:
    """Both forms of a domain are ours, whichever one the configuration has."""
    gate.configure(policy={"own_domains": [own]}, notify={"sender": False})
    for sender in ("ann@straße.example", "ann@xn--strae-oqa.example"):
        queue_id = gate.send(mails.letter(mails.film()), sender)
        gate.settle()
        assert gate.line(queue_id).startswith("1 linked")
