"""Both doors agree: of a message in wire form (LMTP) comes what comes of it with LF line ends (pipe), by the octet."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfilter import pipeline
from pfilter.base.errors import PfilterError
from pfilter.base.spool import READ, Spool, as_received, finished
from pfilter.config.settings import Settings
from pfilter.decision.plan import Outcome
from pfilter.delivery import sendmail, smtp
from pfilter.lmtp.protocol import Complete, Content, Session
from pfilter.message import header
from pfilter.message.model import Envelope
from tests.laws.test_corpus import SOURCES
from tests.lib import generate, support
from tests.lib.smtp_server import Server
from tests.lib.support import BytesSpool, attachment, message, multipart, part

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
SENDER = support.ENVELOPE
BOUNCE = SENDER.replace(sender=b"")


def passage(spool: Spool, policy: Settings, envelope: Envelope, store: Path, size_limit: int) -> "dict[str, Any]":
    """Return what came of a message: the result with LF line ends, what was said of it, what is new in the store."""
    delivered: list[Spool] = []
    results: list[bytes] = []
    log = support.RecordingLog()

    def deliver(shares: "Sequence[pipeline.Share]", *_: object) -> "Sequence[pipeline.Share]":
        (share,) = shares
        result = share.spool
        results.append(b"".join(result.lf_windows(0, result.size)))
        delivered.append(result)
        if result.wire:
            octets = support.content(result)
            assert result.wire.lines == octets.count(b"\n") == octets.count(b"\r\n")
            assert result.wire.ascii == octets.isascii()
            assert result.wire.dotted or not (octets.startswith(b".") or b"\n." in octets)
        return shares

    context = pipeline.Context(
        deliver=deliver, size_limit=lambda: size_limit, workspace=lambda: str(store), log=log, may_notify=False
    )
    before = stored(store)
    try:
        outcome: Outcome | str = pipeline.process(spool, envelope, policy, context)
    except PfilterError as error:
        outcome = str(error)
    for _, _, fields in log.events:
        fields.pop("seconds", None)
    files = {name: octets for name, octets in stored(store).items() if before.get(name) != octets}
    return {"results": results, "outcome": outcome, "events": log.events, "files": files}


def stored(store: Path) -> dict[str, bytes]:
    """Return the files of a store, by name."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def agree(
    data: bytes,
    stores: "tuple[Path, Path]",
    sections: "Mapping[str, Mapping[str, Any]]",
    envelope: Envelope = SENDER,
    *,
    size_limit: int = 0,
    window: int = 1 << 20,
) -> "dict[str, Any]":
    """Assert that both doors make the same of a message; return that."""
    told = []
    for store, spool in zip(stores, (BytesSpool(data), support.in_wire_form(data, window)), strict=True):
        with mock.patch("time.time", return_value=support.NOW):
            told.append(passage(spool, support.policy(store, **sections), envelope, store, size_limit))
    by_pipe, by_lmtp = told
    for key, value in by_pipe.items():
        assert by_lmtp[key] == value, key
    return by_pipe


LINKED: "dict[str, dict[str, Any]]" = {"link": {"part_limit": 0}, "compress": {"enabled": False}}
ZIPPED: "dict[str, dict[str, Any]]" = {
    "link": {"enabled": False},
    "compress": {"min_size": 1, "min_gain": "0%", "skip": []},
}
HELD: "dict[str, dict[str, Any]]" = {"policy": {"own_domains": ["*"], "ambiguous": "quarantine"}, **LINKED}
WAYS = {
    "linked": (LINKED, SENDER),
    "zipped": (ZIPPED, SENDER),
    "as it is by default": ({}, SENDER),
    "stripped": (LINKED, BOUNCE),
    "quarantined where ambiguous": (HELD, SENDER),
}
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def stores(tmp_path: Path, no_sync: None) -> "tuple[Path, Path]":
    """Return a store for each door, with the same key."""
    made = (tmp_path / "pipe", tmp_path / "lmtp")
    for path in made:
        path.mkdir()
        (path / "secret").write_bytes(support.SECRET)
        os.chmod(path / "secret", 0o600)
    return made


def clean(data: bytes) -> bytes:
    """Return a message as pipe(8) hands it over where no CR is in it but those of line ends."""
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"")
    return text if text.endswith(b"\n") else text + b"\n"


def received(wire: bytes, pieces: int) -> Spool:
    """Return a message that came by LMTP, in pieces of so many octets, dots doubled and the end included."""
    session = Session(b"here")
    session.receive(b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
    session.next_event()
    session.go_ahead()
    contents = []
    for start in range(0, len(wire), pieces):
        session.receive(wire[start : start + pieces])
        while event := session.next_event():
            if isinstance(event, Content):
                contents.append(event.octets)
    assert isinstance(event, Complete) or session.is_complete
    return as_received(finished(contents, support.no_workspace), session.wire, support.no_workspace)


def on_the_wire(data: bytes) -> bytes:
    """Return a message with LF line ends as it is sent: CRLF, dots doubled (RFC 5321, 4.5.2)."""
    lines = data.split(b"\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


TEXT_WITH_DOTS = part(b".\n..x\n")
PASSING = {
    "text": b"A: b\n\nbody\n",
    "dots at the start and at the end": b".A: b\n\n.\n",
    "dots alone": b".\n..\n...\n\n.\n.\n",
    "dots in a header": message(TEXT_WITH_DOTS, "X-Dots: a\n .\n ..\n"),
    "dots in base64 and quoted-printable": message(
        multipart(
            "mixed", TEXT_WITH_DOTS, part(b"...=\n.\n", encoding="quoted-printable"), part(b".\n", encoding="base64")
        )
    ),
    "dots about where reads end": b"A: b\n\n"
    + b"".join(b"x" * size + b"\n.\n" for size in range(READ - 40, READ + 20, 9)),
    "octets": b"A: b\n\n" + bytes(octet for octet in range(256) if octet != 13) + b"\n.\0\n",
}


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 1000, READ])
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_leaves_as_it_was_received(name: str, pieces: int) -> None:
    """On the way out a message that passes has the octets that it had on its way in, its end included."""
    wire = on_the_wire(PASSING[name])
    if pieces < 1000 < len(wire):
        pieces *= 997  # all borders of reads move along
    server = Server()
    smtp.send(received(wire + b".\r\n", pieces), SENDER, server.address, 30)
    server.stop()
    assert server.accepted
    assert server.data == wire


@relaxed
@given(data=generate.messages(), pieces=st.sampled_from([1, 2, 7, 64, READ]))
def test_through_both_doors(data: bytes, pieces: int, stores: "tuple[Path, Path]") -> None:
    """What comes by LMTP, in whatever pieces, becomes what it becomes by the pipe, with bare CR too."""
    text = data.replace(b"\r\n", b"\n")
    text = text if text.endswith(b"\n") else text + b"\n"
    wire = b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in text.split(b"\n")[:-1])
    policies = [support.policy(store, **LINKED) for store in stores]
    with mock.patch("time.time", return_value=support.NOW):
        spools = (BytesSpool(text), received(wire + b".\r\n", pieces))
        one, other = (
            passage(spool, policy, SENDER, store, 0)
            for spool, policy, store in zip(spools, policies, stores, strict=True)
        )
    assert one == other


def test_sendmail_is_given_lf(tmp_path: Path) -> None:
    """sendmail(1) gets a message with LF line ends, as from any program, whatever it does about others."""
    program = tmp_path / "sendmail"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/said\n")
    program.chmod(0o755)
    policy = support.policy(tmp_path, reinject={"method": "sendmail", "sendmail": str(program)})
    sendmail.send(support.in_wire_form(b"A: b\n\n.\n..\n"), SENDER, policy, None)
    assert (tmp_path / "said").read_bytes() == b"A: b\n\n.\n..\n"


@ways
@relaxed
@given(data=generate.messages(), window=st.sampled_from([1 << 20, 64, 7]))
def test_generated_mail(way: str, data: bytes, window: int, stores: "tuple[Path, Path]") -> None:
    """Of a generated message both doors make the same: result, events, links, stored files."""
    agree(clean(data), stores, *WAYS[way], window=window)


@ways
@relaxed
@given(data=generate.damaged(generate.messages()))
def test_damaged_mail(way: str, data: bytes, stores: "tuple[Path, Path]") -> None:
    """Of a damaged message both doors make the same."""
    agree(clean(data), stores, *WAYS[way])


@ways
@pytest.mark.corpus
@pytest.mark.skipif(not support.CORPUS.is_dir(), reason="the corpus of messages (../shared/corpus) is not here")
@pytest.mark.parametrize("source", SOURCES)
def test_corpus(way: str, source: str, stores: "tuple[Path, Path]") -> None:
    """Of each message of the corpus both doors make the same."""
    different = []
    for path in sorted((support.CORPUS / source).rglob("*")):
        if not path.is_file() or not path.stat().st_size:
            continue
        try:
            agree(clean(path.read_bytes()), stores, *WAYS[way])
        except AssertionError as error:
            different.append(f"{path.name}: {str(error).splitlines()[:1]}")
    assert different == []


@ways
@pytest.mark.parametrize(
    "path", sorted(path for path in support.SMALL_CORPUS.iterdir() if path.suffix == ".eml"), ids=lambda path: path.stem
)
def test_small_corpus(way: str, path: Path, stores: "tuple[Path, Path]") -> None:
    """Of each message of the small corpus both doors make the same."""
    agree(clean(path.read_bytes()), stores, *WAYS[way])


TEXT = part(b"Hello\n")
LINES = b"".join(b".line %d\n" % number for number in range(60))
WIDE = "Gr\u00fc\u00dfe.\n.\n..\n".encode()
NASTY = {
    "a text attached in 7bit": multipart("mixed", TEXT, part(LINES, disposition="attachment; filename=a.txt")),
    "a text attached in 8bit": multipart(
        "mixed",
        TEXT,
        part(WIDE, "text/plain; charset=utf-8", encoding="8bit", disposition="attachment; filename=a.txt"),
    ),
    "a text attached in quoted-printable": multipart(
        "mixed",
        TEXT,
        part(
            b"one=\n two=20\n.three =\n=2E\n" * 30 + b"\n",
            encoding="quoted-printable",
            disposition="attachment; filename=a.txt",
        ),
    ),
    "a text in base64 with CRLF inside": multipart(
        "mixed", TEXT, attachment(b"one\r\ntwo\r\n" * 30, "a.txt", "text/plain")
    ),
    "a message attached": multipart("mixed", TEXT, part(message(TEXT), "message/rfc822", disposition="attachment")),
    "bodies that end in many ways": multipart(
        "mixed",
        multipart(
            "alternative",
            part(b"Hello =\n=\nagain\n\n-- \nme\n\n\n", encoding="quoted-printable"),
            part(
                b"<html><body>=\n<p>Hello</p>\n\n</body>\n\n</html>\n\n",
                "text/html; charset=utf-8",
                encoding="quoted-printable",
            ),
            boundary="i",
        ),
        attachment(b"x" * 99),
    ),
    "HTML in 8bit with octets behind the body": multipart(
        "mixed",
        part(b"<html><body>\n<p>Hello</p>\n\n</body>\n\n\n</html>\n\n\n", "text/html; charset=utf-8", encoding="8bit"),
        attachment(b"x" * 99),
    ),
    "HTML in base64": multipart(
        "mixed",
        part(
            support.encoded(b"<html><body>\n<p>Hello</p>\n\n</body>\n\n\n</html>\n\n\n" * 1),
            "text/html; charset=utf-8",
            encoding="base64",
        ),
        attachment(b"x" * 99),
    ),
    "a body of dots": multipart("mixed", part(b".\n..\n.\n"), attachment(b"x" * 99)),
    "a charset that can't hold the notice": multipart(
        "mixed", part(b"caf\xe9\n\n.\n", "text/plain; charset=iso-8859-1", encoding="8bit"), attachment(b"x" * 99)
    ),
    "a file alone": attachment(b"x" * 99),
    "a part without any body": multipart("mixed", part(b"")[:-1], attachment(b"x" * 99)),
    "lines of 998 octets": multipart("mixed", part(b"y" * 998 + b"\n" + b"z" * 997 + b"\n"), attachment(b"x" * 99)),
    "a long tail of quoted-printable": multipart(
        "mixed", part(b"=\n" * 2000 + b"end =\n", encoding="quoted-printable"), attachment(b"x" * 99)
    ),
    "base64 in short lines": multipart(
        "mixed",
        part(b"\n".join([b"SGVsbG8g", b"SGVs", b"bG8KCg=="] * 1 + [b""]) + b"\n", encoding="base64"),
        attachment(b"x" * 99),
    ),
    "blanks behind a delimiter": multipart("mixed", TEXT, attachment(b"x" * 99)).replace(
        b"--b\n", b"--b" + b" " * 78 + b"\n", 1
    ),
    "more blanks behind a delimiter": multipart("mixed", TEXT, attachment(b"x" * 99)).replace(
        b"--b\n", b"--b" + b" " * 79 + b"\n", 1
    ),
}


@ways
@pytest.mark.parametrize("name", NASTY)
def test_nasty_mail(way: str, name: str, stores: "tuple[Path, Path]") -> None:
    """Line ends that are part of files, and places of edits between them, are the same by both doors."""
    made = agree(clean(message(NASTY[name])), stores, *WAYS[way])
    assert made["results"]


@pytest.mark.parametrize("name", [name for name in NASTY if "blanks" not in name])
def test_what_is_nasty_is_linked(name: str, stores: "tuple[Path, Path]") -> None:
    """What is compared has files that are linked."""
    assert agree(clean(message(NASTY[name])), stores, LINKED)["outcome"].linked


def test_an_id_is_what_it_was(stores: "tuple[Path, Path]") -> None:
    """A message with LF line ends gets the links that it got before there was another door."""
    made = agree(message(multipart("mixed", TEXT, attachment(b"x" * 99))), stores, LINKED)
    ids = {Path(name).stem for name in made["files"] if name.startswith("records/") and name.endswith(".json")}
    assert ids == {"ufiiug3qywm7r3isuhiss67g6kk7budv"}


WHOLE = clean(message(multipart("mixed", TEXT, attachment(support.noise(3000)), attachment(support.table(900)))))


@pytest.mark.parametrize("off", [-40, -1, 0, 1, 40])
def test_limits_of_sizes(off: int, stores: "tuple[Path, Path]") -> None:
    """Near a limit of sizes the decision is the same, whatever the limit is of."""
    body = len(support.encoded(support.noise(3000)))
    for size in (3000, body, len(WHOLE)):
        agree(WHOLE, stores, {"link": {"part_limit": size + off}, "compress": {"min_size": size + off}})
        agree(WHOLE, stores, {"link": {"bandwidth_limit": size + off, "min_size": 0}})
        agree(WHOLE, stores, {"link": {"bandwidth_limit": 2 * (size + off), "min_size": size + off}})
        agree(WHOLE, stores, ZIPPED, size_limit=size + off)


@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
def test_limits_of_headers(off: int, stores: "tuple[Path, Path]") -> None:
    """A header at the limit of its size is within it, or over it, by either door."""
    fields = "".join(f"X-{number}: value\n" for number in range(1500))
    data = message(multipart("mixed", TEXT, attachment(b"x" * 99)), fields)
    size = data.index(b"\n\n") + 1
    made = agree(data, stores, {**LINKED, "limits": {"header": size + off}})
    assert made["outcome"].linked == (off >= 0)


@pytest.mark.parametrize("limit", [100, 5000, 8191, 8192, 8193, 40000])
@pytest.mark.parametrize("size", [10, 4000, 8190, 8191, 8192, 8193, 8200, 9000, 40000])
def test_header_blocks(size: int, limit: int) -> None:
    """A header block read in wire form has the same fields and defects, and its ranges are where they stand."""
    data = (b"A: b\n c\nD: e\n" * (size // 13 + 1))[:size].rstrip(b"\n") + b"\n\nbody\n"
    as_pipe, wire = BytesSpool(data), support.in_wire_form(data)
    one = header.read_block(as_pipe, 0, as_pipe.size, limit, lambda _: False)
    other = header.read_block(wire, 0, wire.size, limit, lambda _: False)
    assert (one.defect, one.over_limit, one.octets) == (other.defect, other.over_limit, other.octets)
    assert [(field.name, field.value) for field in one.fields] == [(field.name, field.value) for field in other.fields]
    for found in (other.range, *(field.range for field in other.fields)):
        assert found.end - found.start == len(wire.read(found.start, found.end))
    assert [as_pipe.read(f.range.start, f.range.end) for f in one.fields] == [
        wire.read(f.range.start, f.range.end).replace(b"\r\n", b"\n") for f in other.fields
    ]
