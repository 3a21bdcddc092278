"""The whole way of a message in this process: what goes out, what is stored, what is logged, in which order."""

import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pfilter import pipeline
from pfilter.base.errors import DeadlineError, PfilterError, StoreError
from pfilter.base.log import Log
from pfilter.base.text import human_size
from pfilter.config.settings import Settings
from pfilter.decision.plan import Outcome
from pfilter.message.model import Envelope
from pfilter.store import kept
from tests.lib import support
from tests.lib.support import (
    BASE_URL,
    ENVELOPE,
    NOTICE,
    Processed,
    attachment,
    crlf,
    link_everything,
    message,
    multipart,
    noise,
    part,
    process,
    table,
    zip_everything,
)

TEXT = part(b"Hello\n")
HTML = part(b"<p>Hello</p>\n", "text/html; charset=us-ascii")
ODD_HTML = part(b"<p>Hello</p>\n", "text/html; charset=x-odd")
FILE = attachment(noise(2000), "a.bin")
MIXED = message(multipart("mixed", TEXT, FILE))
NULL = ENVELOPE.replace(sender=b"")


def structure(data: bytes) -> object:
    """Return types, names and nesting of a message."""

    def of(tree: object) -> object:
        if tree.is_multipart():  # type: ignore[attr-defined]
            return [tree.get_content_subtype(), *map(of, tree.get_payload())]  # type: ignore[attr-defined]
        return tree.get_filename() or tree.get_content_subtype()  # type: ignore[attr-defined]

    return of(support.parsed(data))


def test_a_text_in_front_of_what_a_related_shows_is_an_insertion(store: Path) -> None:
    """Where a multipart/related has no place for the notice, its first part gets one around it, octets untouched."""
    data = multipart("related", ODD_HTML, part(b"x", "image/png"), FILE, boundary="8f-x")
    result = linked(data, store)
    assert [end - start for start, end, _ in result.edited if start != end] == [len(b"--8f-x\n" + FILE + b"\n")]
    assert result.output.count(ODD_HTML) == 1
    assert NOTICE in result.output.decode("ascii")


def test_what_a_related_names_as_its_root_stays_its_child(store: Path) -> None:
    """The multipart around the root of a multipart/related has the Content-ID that the parameter start names."""
    data = multipart("related", b"Content-ID:\n <r@x>\n" + ODD_HTML, FILE, boundary="8f-x")
    result = linked(data.replace(b"multipart/related;", b'multipart/related; start="<r@x>";'), store)
    first = support.children(support.parsed(result.output))[0]
    assert (first.get_content_type(), first["Content-ID"]) == ("multipart/mixed", "<r@x>")


def test_where_no_boundary_is_left_the_text_takes_the_place_of_the_file(store: Path) -> None:
    """A message that holds every boundary that could be written gets its notice where the file was."""
    taken = b"".join(b"%08x-pfilter\n" % zlib.crc32(b"%d" % number) for number in range(10))
    result = linked(multipart("related", ODD_HTML, FILE, epilogue=taken), store)
    assert structure(result.output) == ["related", "html", "plain"]


def linked(entity: bytes, store: Path, **sections: dict[str, object]) -> Processed:
    """Return a message with everything linked."""
    return process(message(entity), link_everything(store, **sections))


# --- What goes out


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        (multipart("mixed", TEXT, FILE), ["mixed", "plain"]),
        (multipart("mixed", FILE, TEXT, FILE, TEXT), ["mixed", "plain", "plain"]),
        (
            multipart("mixed", multipart("alternative", TEXT, HTML, boundary="i"), FILE),
            ["mixed", ["alternative", "plain", "html"]],
        ),
        (multipart("mixed", HTML, FILE), ["mixed", "html"]),
        (FILE, "plain"),
        (multipart("mixed", FILE), "plain"),
        (multipart("mixed", FILE, multipart("mixed", FILE, FILE, boundary="i")), "plain"),
        (multipart("mixed", TEXT, multipart("mixed", FILE, FILE, boundary="i")), ["mixed", "plain"]),
        (multipart("mixed", part(b"x", "image/png"), FILE), ["mixed", "plain", "png"]),
        (
            multipart("mixed", multipart("mixed", part(b"x", "image/png"), FILE, boundary="i"), FILE),
            ["mixed", "plain", ["mixed", "png"]],
        ),
        (multipart("related", HTML, FILE), ["related", "html"]),
        (
            multipart("related", ODD_HTML, FILE),
            ["related", ["mixed", "plain", "html"]],
        ),
        (
            multipart(
                "related",
                multipart("alternative", TEXT, ODD_HTML, boundary="i"),
                part(b"x", "image/png"),
                FILE,
            ),
            ["related", ["mixed", "plain", ["alternative", "plain", "html"]], "png"],
        ),
        (multipart("related", part(b"", "text/html; charset=x-odd"), FILE), ["related", ["mixed", "plain", "html"]]),
        (
            multipart("related", multipart("related", ODD_HTML, FILE, boundary="i"), part(b"x", "image/png")),
            ["related", ["mixed", "plain", ["related", "html"]], "png"],
        ),
        (multipart("mixed", part(b"!!", "text/plain", encoding="base64"), FILE), ["mixed", "plain", "plain"]),
        (
            multipart("alternative", TEXT, multipart("mixed", HTML, FILE, HTML, boundary="i")),
            ["alternative", "plain", ["mixed", "html", "html"]],
        ),
        (
            multipart("mixed", TEXT, part(b"Subject: in\n\nx\n", "message/rfc822", disposition="attachment")),
            ["mixed", "plain"],
        ),
        (multipart("digest", b"\nSubject: a\n\nx\n", attachment(b"x" * 99)), None),
    ],
    ids=[
        "mixed",
        "several",
        "alternative",
        "html",
        "root",
        "nothing left",
        "nested, nothing left",
        "inner emptied",
        "no text",
        "no text, nested",
        "beside a related",
        "beside a related of an unknown charset",
        "beside a related of forms of an unknown charset",
        "beside a related without content",
        "beside a related in a related",
        "undecodable text",
        "inside an alternative",
        "forwarded",
        "digest",
    ],
)
def test_structure_of_the_result(entity: bytes, expected: object, store: Path) -> None:
    """A linked part vanishes whole, no stub and no empty multipart is left, and the reader is told once."""
    result = linked(entity, store)
    if expected is not None:
        assert structure(result.output) == expected
    texts = [leaf for leaf in support.leaves(support.parsed(result.output)) if leaf.get_content_maintype() == "text"]
    told = [leaf for leaf in texts if NOTICE in support.text_of(leaf)]
    assert len({leaf.get_content_type() for leaf in told}) == len(told) >= 1
    assert support.defects(support.parsed(result.output)) == []


def test_text_and_html_both_tell_once(store: Path) -> None:
    """The notice is in both forms of the body, exactly once in each."""
    result = linked(multipart("mixed", multipart("alternative", TEXT, HTML, boundary="i"), FILE), store)
    texts = [support.text_of(leaf) for leaf in support.leaves(support.parsed(result.output))]
    assert [text.count(NOTICE) for text in texts] == [1, 1]


def test_several_files_are_one_notice(store: Path) -> None:
    """There is one notice, which names all files, however many there are."""
    files = [attachment(noise(100, n), name) for n, name in enumerate(["a.bin", "b.bin", "a.bin"])]
    text = support.text_of(support.leaves(support.parsed(linked(multipart("mixed", TEXT, *files), store).output))[0])
    assert text.count(NOTICE) == 1
    assert all(name in text for name in ("a.bin", "b.bin", "a-2.bin"))
    assert len(set(support.addresses(text))) == 1


def test_links_lead_to_the_files(store: Path) -> None:
    """The link of the HTML is a page, whose links are files of the store with the attachments' content and names."""
    files = {"a.bin": noise(500, 1), "résumé 2.pdf": noise(500, 2), "日本語.txt": noise(500, 3)}
    parts = [
        part(
            support.encoded(data),
            "application/octet-stream",
            encoding="base64",
            disposition=f'attachment; filename="{name}"',
        )
        for name, data in files.items()
    ]
    result = linked(multipart("mixed", HTML, *parts), store)
    from html import unescape
    from urllib.parse import unquote

    (url,) = support.addresses(support.text_of(support.leaves(support.parsed(result.output))[0]))
    folder = store / "downloads" / unescape(url).removeprefix(BASE_URL + "/")
    paths = [unquote(path) for path in re.findall(r'href="(files/[^"]*)"', (folder / "index.html").read_text())]
    assert {os.path.basename(path): (folder / path).read_bytes() for path in paths} == files


def test_the_page_is_there(store: Path) -> None:
    """The page of the download names the files and the envelope sender, and no author who is not ours."""
    data = MIXED.replace(b"Sender <sender@example.org>", b"The Boss <boss@example.com>")
    process(data, link_everything(store))
    (page,) = (store / "downloads").glob("*/index.html")
    text = page.read_text()
    assert "sender@example.org" in text
    assert "a.bin" in text
    assert not any(word in text for word in ("Boss", "boss@", "reader@"))


def test_the_original_is_stored_not_the_zip(store: Path) -> None:
    """What gains and is still too large is stored as the sender sent it."""
    data = message(multipart("mixed", TEXT, attachment(table(), "list.csv")))
    process(data, support.policy(store, link={"part_limit": 100}))
    (stored,) = (store / "downloads").glob("*/files/*")
    assert (stored.name, stored.read_bytes()) == ("list.csv", table())


@pytest.mark.parametrize("name", ["list.csv", "Übersicht 日本.csv", "x" * 120 + ".csv"])
def test_a_zip_in_place_of_the_file(name: str) -> None:
    """What gains becomes NAME.zip, with a name that mail clients read, without a notice."""
    entity = part(table(), "text/csv; charset=utf-8", disposition="attachment; filename=" + f'"{name}"')
    result = process(message(multipart("mixed", TEXT, entity)), zip_everything())
    body, zipped = support.leaves(support.parsed(result.output))
    assert zipped.get_filename() == f"{name}.zip"
    assert support.text_of(body) == "Hello\n"
    assert result.outcome.line().startswith("1 zipped, ")


def test_a_zip_loses_its_md5() -> None:
    """Content-MD5 of an edited part would be wrong."""
    entity = part(table(), "text/csv", disposition="attachment", fields="Content-MD5: x\nContent-ID: <1@x>\n")
    output = process(message(multipart("mixed", TEXT, entity)), zip_everything()).output
    assert b"Content-MD5" not in output
    assert b"Content-ID: <1@x>" in output


def test_crlf_messages_stay_crlf(store: Path) -> None:
    """What is written follows the message's own line ends: a CRLF message gets no bare LF."""
    data = crlf(message(multipart("mixed", TEXT, HTML, FILE, attachment(table(), "a.csv"))))
    settings = support.policy(store, link={"part_limit": 1990, "bandwidth_limit": "1 GiB"})
    for output in (
        process(data, link_everything(store)).output,
        process(data, zip_everything(store)).output,
        process(data, settings).output,
        process(data, link_everything(store), NULL).output,
    ):
        assert output != data
        assert b"\n" not in output.replace(b"\r\n", b"")


def test_unclosed_multipart_gets_its_close(store: Path) -> None:
    """Taking the last part of an unclosed multipart leaves it closed."""
    data = MIXED.removesuffix(b"--b--\n")
    output = process(data, link_everything(store)).output
    assert output.endswith(b"--b--\n")
    assert support.defects(support.parsed(output)) == []


def test_a_root_keeps_its_other_fields(store: Path) -> None:
    """A message that was the attachment keeps its fields, but those that described the file."""
    output = process(message(FILE, "X-Other: yes\n"), link_everything(store)).output
    tree = support.parsed(output)
    assert (tree["X-Other"], tree["Subject"]) == ("yes", "Figures")
    assert tree["Content-Disposition"] is None
    assert tree.get_content_type() == "text/plain"


@pytest.mark.parametrize(("setting", "line"), [("off", None), ("name", "pfilter"), ("version", "pfilter 0")])
def test_the_trace_header(setting: str, line: "str | None", store: Path) -> None:
    """X-Content-Filter is on changed messages alone, as configured."""
    settings = link_everything(store, policy={"trace_header": setting})
    found = support.parsed(process(MIXED, settings).output)["X-Content-Filter"]
    assert (found or "").startswith(line or "")
    assert (found is None) is (line is None)
    plain = message(TEXT)
    assert process(plain, settings).output == plain


def test_observe_changes_nothing_and_says_what_it_would_do(store: Path) -> None:
    """In observe mode all is decided and logged, nothing is changed and nothing stored."""
    result = process(MIXED, link_everything(store, policy={"mode": "observe"}))
    assert result.output == MIXED
    assert result.outcome.line() == "passed (observe: would link 1)"
    assert list(store.iterdir()) == []
    assert [fields["applied"] for _, name, fields in result.log.events if name == "part size"] == [False]


INSIDE_SIGNED = b"Subject: x\nMIME-Version: 1.0\n" + multipart("signed", TEXT, FILE, boundary="s")


@pytest.mark.parametrize(
    ("entity", "fields"),
    [
        (
            multipart("signed", multipart("mixed", TEXT, FILE, boundary="i"), part(b"x", "application/pgp-signature")),
            "",
        ),
        (multipart("encrypted", part(b"Version: 1\n", "application/pgp-encrypted"), FILE), ""),
        (multipart("mixed", multipart("signed", TEXT, FILE, boundary="i"), FILE), ""),
        (multipart("mixed", TEXT, FILE, part(INSIDE_SIGNED, "message/rfc822")), ""),
        (attachment(noise(2000), "smime.p7m", "application/pkcs7-mime"), ""),
        (attachment(noise(2000), "smime.p7m", "application/octet-stream"), ""),
        (multipart("mixed", part(b"-----BEGIN PGP SIGNED MESSAGE-----\n"), FILE), ""),
        (multipart("mixed", TEXT, FILE), "DKIM-Signature: v=1; d=elsewhere.example; b=x\n"),
        (multipart("mixed", TEXT, FILE), "ARC-Seal: i=1; d=elsewhere.example; b=x\n"),
    ],
    ids=["signed", "encrypted", "signed inside", "forwarded signed", "smime", "smime by name", "inline", "dkim", "arc"],
)
def test_signed_and_encrypted_mail_passes_byte_for_byte(entity: bytes, fields: str, store: Path) -> None:
    """What is signed or encrypted anywhere is never touched, from a sender or from none."""
    data = message(entity, fields)
    ours = {"policy": {"own_domains": ["example.org"]}}
    assert process(data, link_everything(store, **ours)).output == data
    assert process(data, link_everything(store, **ours), NULL).output == data


# --- The null sender


def test_null_sender_stripped(store: Path) -> None:
    """Attachments go, the note with names and reference comes, and the whole original is kept."""
    result = process(MIXED, link_everything(store), NULL.replace(queue_id="4F2A"))
    (leaf,) = support.leaves(support.parsed(result.output))
    text = support.text_of(leaf)
    assert text.startswith("Hello\n\n")
    assert all(word in text for word in ("a.bin", "<1@example.org> 4F2A", "Please do not send this message again"))
    assert kept.find(str(store), "<1@example.org> 4F2A").folder == kept.TROUBLE
    (original,) = (store / "trouble").glob("*.eml")
    assert original.read_bytes() == MIXED
    assert "-4F2A-" in original.name
    assert support.mode(original) == 0o600
    assert not (store / "downloads").exists()


def test_a_retry_keeps_one_original(store: Path) -> None:
    """A message that is tried again is kept once."""
    for _ in range(2):
        process(MIXED, link_everything(store), NULL)
    assert len(list((store / "trouble").glob("*.eml"))) == 1


def test_reports_pass_byte_for_byte(store: Path) -> None:
    """A delivery report with an attachment passes from the null sender."""
    report = message(multipart("report", TEXT, part(b"x", "message/delivery-status"), FILE))
    assert process(report, link_everything(store), NULL).output == report


# --- Order, and failures


def failing_deliver(error: BaseException) -> object:
    """Return a deliver that fails."""

    def deliver(*_: object) -> None:
        raise error

    return deliver


def prepared(shares: "Sequence[pipeline.Share]", prepare: "Callable[[], None]") -> "Sequence[pipeline.Share]":
    """Take all, and let what comes after be prepared meanwhile."""
    prepare()
    return shares


def door(store: Path, deliver: object) -> pipeline.Context:
    """Return a door."""
    return pipeline.Context(
        deliver=deliver,  # type: ignore[arg-type]
        size_limit=lambda: 0,
        workspace=lambda: str(store),
        log=support.RecordingLog(),
        may_notify=True,
    )


def test_files_are_there_before_the_message_is_sent(store: Path) -> None:
    """When the message is handed over, record, file and page exist."""
    seen: list[set[str]] = []

    def deliver(shares: "Sequence[pipeline.Share]", *_: object) -> "Sequence[pipeline.Share]":
        seen.append({path.parent.name + "/" + path.name for path in store.rglob("*") if path.is_file()})
        return shares

    pipeline.process(support.BytesSpool(MIXED), ENVELOPE, link_everything(store), door(store, deliver))
    names = " ".join(seen[0])
    assert all(word in names for word in (".json", "files/a.bin", "index.html"))


def test_a_failed_delivery_leaves_its_files(store: Path) -> None:
    """Nothing is undone: a failed attempt may have been delivered after all."""
    with pytest.raises(PfilterError):
        pipeline.process(
            support.BytesSpool(MIXED),
            ENVELOPE,
            link_everything(store),
            door(store, failing_deliver(PfilterError("no"))),
        )
    assert len(list((store / "downloads").glob("*/files/a.bin"))) == 1


def test_a_failed_delivery_notifies_nobody(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender hears nothing of a message that was not sent."""
    from pfilter.delivery import notification

    monkeypatch.setattr(notification, "notify", lambda *_: pytest.fail("notified"))
    with pytest.raises(PfilterError):
        pipeline.process(
            support.BytesSpool(MIXED),
            ENVELOPE,
            link_everything(store, notify={"sender": True}),
            door(store, failing_deliver(PfilterError("no"))),
        )


def test_a_store_that_fails_sends_nothing(tmp_path: Path) -> None:
    """Never mail without attachment and without link."""
    with pytest.raises(StoreError):
        process(MIXED, link_everything(tmp_path / "gone"))


def test_descriptors_do_not_leak(store: Path) -> None:
    """One process can take any number of messages through."""
    settings = link_everything(store)
    process(MIXED, settings)
    before = len(os.listdir("/proc/self/fd"))
    for data in (MIXED, message(TEXT), message(FILE), message(multipart("mixed", TEXT, attachment(b"x")))):
        process(data, settings)
        process(data, zip_everything(store))
        process(data, settings, NULL)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_no_state_between_messages(store: Path) -> None:
    """The same message gives the same result after others."""
    settings = link_everything(store)
    first = process(MIXED, settings).output
    process(message(multipart("mixed", HTML, attachment(b"other" * 50))), settings)
    second = process(MIXED, settings).output
    assert support.addresses(first.decode()) == support.addresses(second.decode())


def test_foreign_mail_is_not_even_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the envelope decides costs nothing more."""
    monkeypatch.setattr(pipeline, "scan", lambda *_: pytest.fail("scanned"))
    settings = support.policy(policy={"own_domains": ["example.org"]})
    foreign = Envelope(sender=b"a@elsewhere.example", recipients=(b"b@example.net",))
    assert process(MIXED, settings, foreign).output == MIXED


def test_memory_does_not_grow_with_the_message(store: Path) -> None:
    """A message of 60 MB with one attachment takes little more memory than a small one."""
    code = (
        "import resource, sys\n"
        "from tests.lib import support\n"
        "from pfilter import pipeline\n"
        "from pfilter.base import spool\n"
        "store = sys.argv[1]\n"
        "head = support.message(b'Content-Type: multipart/mixed; boundary=b\\n\\n--b\\n\\nHi\\n--b\\n')\n"
        "head += b'Content-Type: a/b; name=x\\nContent-Transfer-Encoding: base64\\n\\n'\n"
        "block = support.encoded(support.noise(741_000)) + b'\\n'\n"
        "def chunks():\n"
        "    yield head\n"
        "    for _ in range(int(sys.argv[2])): yield block\n"
        "    yield b'--b--\\n'\n"
        "data = spool.finished(chunks(), lambda: store, 1 << 30)\n"
        "sizes = []\n"
        "def deliver(shares, *_):\n"
        "    sizes.append(shares[0].spool.size)\n"
        "    return shares\n"
        "door = pipeline.Context(deliver=deliver, size_limit=lambda: 0, workspace=lambda: store,\n"
        "                   log=support.RecordingLog(), may_notify=False)\n"
        "pipeline.process(data, support.ENVELOPE, support.policy(store), door)\n"
        "assert sizes[0] < 10000, sizes\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )

    def peak(megabytes: int) -> int:
        command = [sys.executable, "-c", code, str(store), str(megabytes)]
        done = subprocess.run(command, check=True, capture_output=True, cwd=support.PROJECT)
        return int(done.stdout)  # KiB

    small, large = peak(2), peak(60)
    assert large - small < 8 * 1024, (small, large)


# --- Some are exempt, and can be told apart


SOME = ENVELOPE.replace(
    recipients=(b"a@example.net", b"x@archive.example", b"b@example.net"),
    dsn=b"RET=HDRS",
    recipient_dsn=(b"A", b"X", b"B"),
)
EXEMPTING: dict[str, object] = {"exempt_recipients": ["@archive.example"]}


def shares_of(data: bytes, settings: Settings, context: pipeline.Context) -> list[pipeline.Share]:
    """Return the shares that are handed over."""
    seen: list[pipeline.Share] = []

    def deliver(shares: "Sequence[pipeline.Share]", *_: object) -> "Sequence[pipeline.Share]":
        seen.extend(shares)
        return [share for share in shares if not share.failure]

    pipeline.process(support.BytesSpool(data), SOME, settings, context.replace(deliver=deliver))
    return seen


def test_each_group_has_its_share(store: Path) -> None:
    """The filtered message for those who are not exempt, the original for those who are, each with its own envelope."""
    context = door(store, None).replace(apart=True)
    filtered, original = shares_of(MIXED, link_everything(store, policy=EXEMPTING), context)
    assert filtered.places == (0, 2)
    assert filtered.envelope.recipients == (b"a@example.net", b"b@example.net")
    assert filtered.envelope.recipient_dsn == (b"A", b"B")
    assert filtered.outcome.linked == 1
    assert original.places == (1,)
    assert original.envelope.recipients == (b"x@archive.example",)
    assert original.envelope.recipient_dsn == (b"X",)
    assert support.content(original.spool) == MIXED
    assert filtered.envelope.dsn == original.envelope.dsn == b"RET=HDRS"
    assert not filtered.plan.remarks


@pytest.mark.parametrize(
    ("data", "sections"),
    [
        (message(TEXT), {}),
        (MIXED, {"policy": {"mode": "observe", **EXEMPTING}}),
        (MIXED, {"store": {"min_free": 1 << 60}}),
    ],
    ids=["no files", "observe", "no room"],
)
def test_what_does_not_change_is_one_share(data: bytes, sections: "dict[str, dict[str, object]]", store: Path) -> None:
    """Where all get the same octets they get them at once."""
    context = door(store, None).replace(apart=True)
    settings = link_everything(store, **{"policy": EXEMPTING, **sections})
    (share,) = shares_of(data, settings, context)
    assert share.envelope == SOME
    assert share.places == (0, 1, 2)
    assert support.content(share.spool) == data


def test_where_recipients_cannot_be_told_apart_there_is_one_share(store: Path) -> None:
    """All get the filtered message, and the log says that some of them are exempt."""
    (share,) = shares_of(MIXED, link_everything(store, policy=EXEMPTING), door(store, None))
    assert share.envelope == SOME
    assert share.outcome.linked == 1
    assert share.plan.remarks == ("1 of 3 recipients are exempt, filtered for all",)


def test_what_fails_for_the_others_is_a_share_of_its_own(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who are exempt get the original all the same; what went wrong holds on to nothing."""

    def fails(*_: object) -> None:
        raise StoreError("no")

    monkeypatch.setattr(pipeline, "_change", fails)
    context = door(store, None).replace(apart=True)
    failed, original = shares_of(MIXED, link_everything(store, policy=EXEMPTING), context)
    assert isinstance(failed.failure, StoreError)
    assert failed.failure.__traceback__ is None
    assert failed.places == (0, 2)
    assert original.failure is None
    assert support.content(original.spool) == MIXED


def test_an_interruption_is_everybodys(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is over, or somebody wants us to stop, nothing is sent to anybody."""

    def stops(*_: object) -> None:
        raise DeadlineError("late")

    monkeypatch.setattr(pipeline, "_change", stops)
    with pytest.raises(DeadlineError):
        shares_of(MIXED, link_everything(store, policy=EXEMPTING), door(store, None).replace(apart=True))


# --- What is logged


def test_one_summary_and_one_event_an_action(store: Path) -> None:
    """There is one event for each action, and one for the message with all that the ancestor said and more."""
    data = message(multipart("mixed", TEXT, FILE, attachment(table(), "a.csv")))
    settings = support.policy(store, link={"part_limit": 1990, "bandwidth_limit": "1 GiB"}, compress={"min_gain": "1%"})
    log = process(data, settings, ENVELOPE.replace(queue_id="4F2A")).log
    names = [name for _, name, _ in log.events]
    assert names.count("message") == 1
    assert set(names) <= {"message", "part size", "compress"}
    (summary,) = [fields for _, name, fields in log.events if name == "message"]
    assert summary["queue_id"] == "4F2A"
    assert summary["message_id"] == "<1@example.org>"
    assert summary["recipients"] == 1
    assert summary["size_in"] == len(data)
    assert all(fields["queue_id"] == "4F2A" for _, _, fields in log.events)


@pytest.mark.parametrize(
    ("envelope", "event"),
    [(ENVELOPE, "part size"), (NULL, "unknown sender"), (ENVELOPE.replace(recipients=(b"a@b",) * 100), "bandwidth")],
)
def test_the_ancestors_events_have_successors(envelope: Envelope, event: str, store: Path) -> None:
    """Each action's event says what the cause was."""
    limit = 0 if event == "part size" else 10_000
    settings = support.policy(store, link={"part_limit": limit, "min_size": 1, "bandwidth_limit": 1000})
    log = process(MIXED, settings, envelope).log
    assert [fields["file"] for _, name, fields in log.events if name == event] == ["a.bin"]


def test_what_passed_is_told_at_level_debug(store: Path) -> None:
    """A message that passed is an event at level debug only."""
    assert [level for level, _, _ in process(message(TEXT), link_everything(store)).log.events] == ["debug"]


def test_no_event_opens_a_download(store: Path) -> None:
    """No event holds a link, a whole id or a digest."""
    events = repr(process(MIXED, link_everything(store)).log.events)
    (download,) = (store / "downloads").glob("*/")
    assert download.name not in events
    assert BASE_URL not in events
    assert download.name[:8] in events


# --- The line for Postfix


INLINE = multipart(
    "mixed",
    part(b'<img src="cid:i">', "text/html"),
    attachment(b"x", "i.png", "image/png").replace(b"\n", b"\nContent-ID: <i>\n", 1),
)
CALENDAR = multipart("mixed", TEXT, attachment(b"BEGIN:VCALENDAR\n", "i.ics", "text/calendar"))
SIGNED = multipart("signed", multipart("mixed", TEXT, FILE, boundary="i"), part(b"x", "application/pgp-signature"))
ENCRYPTED = multipart("encrypted", part(b"Version: 1\n", "application/pgp-encrypted"), FILE)
STRANGE = "DKIM-Signature: v=1; d=elsewhere.example; b=x\n"


@pytest.mark.parametrize(
    ("entity", "fields", "envelope", "sections", "line"),
    [
        (TEXT, "", ENVELOPE, {}, "passed (no attachments)"),
        (multipart("mixed", TEXT, FILE), "", ENVELOPE, {"link": {"part_limit": "1 GB"}}, "passed (nothing to gain)"),
        (INLINE, "", ENVELOPE, {}, "passed (inline)"),
        (CALENDAR, "", ENVELOPE, {}, "passed (calendar)"),
        (SIGNED, "", ENVELOPE, {}, "passed (signed)"),
        (multipart("mixed", TEXT, FILE), STRANGE, ENVELOPE, {}, "passed (signed)"),
        (ENCRYPTED, "", ENVELOPE, {}, "passed (encrypted)"),
        (attachment(noise(2000), "s.p7m", "application/pkcs7-mime"), "", ENVELOPE, {}, "passed (signed or encrypted)"),
        (TEXT, "Content-Type: text/plain\n", ENVELOPE, {}, "passed (ambiguous)"),
        (TEXT, "", ENVELOPE, {"policy": {"own_domains": ["a.example"]}}, "passed (not our sender)"),
        (TEXT, "", ENVELOPE, {"policy": {"exempt_senders": ["@example.org"]}}, "passed (exempt sender)"),
        (
            TEXT,
            "",
            ENVELOPE.replace(sasl_user="ann"),
            {"policy": {"exempt_sasl_users": ["ann"]}},
            "passed (exempt SASL user)",
        ),
        (
            TEXT,
            "",
            ENVELOPE.replace(client="192.0.2.1"),
            {"policy": {"exempt_networks": ["192.0.2.1"]}},
            "passed (exempt network)",
        ),
        (
            TEXT,
            "",
            ENVELOPE.replace(recipients=(b"a@b.example",)),
            {"policy": {"exempt_recipients": ["a@b.example"]}},
            "passed (exempt recipients)",
        ),
        (
            multipart("mixed", TEXT, FILE),
            "",
            ENVELOPE.replace(sender=b""),
            {"policy": {"null_sender": "pass"}},
            "passed (null sender)",
        ),
        (
            multipart("report", TEXT, part(b"x", "message/delivery-status"), FILE),
            "",
            ENVELOPE,
            {},
            "passed (report)",
        ),
    ],
)
def test_the_line_says_why_a_message_passed(
    entity: bytes,
    fields: str,
    envelope: Envelope,
    sections: "dict[str, dict[str, object]]",
    line: str,
    store: Path,
) -> None:
    """What passes tells why, in a few fixed words, to who reads Postfix's log alone."""
    assert process(message(entity, fields), link_everything(store, **sections), envelope).outcome.line() == line


def test_the_line_has_nothing_from_the_message(store: Path) -> None:
    """Whatever a message says of itself, its line is one of the fixed ones."""
    fields = "DKIM-Signature: v=1; d=evil (status=bounced); b=x\n"
    done = process(message(multipart("mixed", TEXT, FILE), fields), link_everything(store))
    assert done.outcome.line() == "passed (signed)"


@pytest.mark.parametrize("field", ["DKIM-Signature: v=1; d=example.org; b=x\n", "ARC-Seal: i=1; d=example.org; b=x\n"])
@pytest.mark.parametrize(("limit", "level"), [(0, "warning"), ("1 GB", "debug")])
def test_breaking_a_signature_of_our_own_is_a_warning(field: str, limit: object, level: str, store: Path) -> None:
    """Mail whose own signature an edit breaks is told as a warning that says what to do; mail that passes is not."""
    policy = support.policy(store, policy={"own_domains": ["example.org"]}, link={"part_limit": limit})
    events = process(message(multipart("mixed", TEXT, FILE), field), policy).log.events
    ((found, remarks),) = [(found, fields["remarks"]) for found, name, fields in events if name == "message"]
    assert found == level
    assert ("sign after this filter" in str(remarks)) is (level == "warning")


def test_a_signature_that_holds_after_all_is_no_warning(store: Path) -> None:
    """Where the result would be over the size limit the original goes, with its signature whole."""
    data = message(multipart("mixed", TEXT, attachment(b"x")), "DKIM-Signature: v=1; d=example.org; b=x\n")
    done = process(data, link_everything(store, policy={"own_domains": ["example.org"]}), size_limit=1)
    assert done.outcome.line() == "passed (result over the size limit)"
    assert [level for level, name, _ in done.log.events if name == "message"] == ["info"]


def test_a_broken_signature_is_told_where_only_warnings_are(store: Path, tmp_path: Path) -> None:
    """With [log] level = warning the event of a message with a broken signature is written, that of others is not."""
    log = tmp_path / "log"
    for field in ("", "DKIM-Signature: v=1; d=example.org; b=x\n"):
        data = message(multipart("mixed", TEXT, FILE), field)
        door = pipeline.Context(
            deliver=prepared,
            size_limit=lambda: 0,
            workspace=lambda: str(store),
            log=Log(f"file:{log}", "warning"),
            may_notify=False,
        )
        settings = link_everything(store, policy={"own_domains": ["example.org"]})
        pipeline.process(support.BytesSpool(data), ENVELOPE, settings, door)
    (line,) = log.read_text().splitlines()
    assert "sign after this filter" in line


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Outcome(), "passed"),
        (Outcome(note="x"), "passed (x)"),
        (Outcome(linked=1, zipped=2, size_in=18_400_000, size_out=41_000), "1 linked, 2 zipped, 18.4 MB -> 41 kB"),
        (Outcome(stripped=3, size_in=940, size_out=1_000_000_000), "3 stripped, 940 bytes -> 1.0 GB"),
    ],
)
def test_the_line(outcome: Outcome, line: str) -> None:
    """One line says what was done, with sizes as people read them."""
    assert outcome.line() == line


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (99_960_000, "100 MB"),
        (12_345_678_901, "12.3 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_as_people_read_them(octets: int, text: str) -> None:
    """Sizes are decimal, with as many digits as matter."""
    assert human_size(octets) == text


# --- Bodies side by side, and the notice as a part of its own


def told_in(entity: bytes, store: Path) -> list[tuple[str, int]]:
    """Return the types of the texts of the result, and how many notices each holds."""
    leaves = support.leaves(support.parsed(linked(entity, store).output))
    texts = [leaf for leaf in leaves if leaf.get_content_maintype() == "text"]
    return [(leaf.get_content_subtype(), support.text_of(leaf).count(NOTICE)) for leaf in texts]


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        (multipart("mixed", TEXT, HTML, FILE), [("plain", 1), ("html", 1)]),
        (multipart("mixed", HTML, TEXT, FILE), [("html", 1), ("plain", 1)]),
        (multipart("mixed", TEXT, FILE, HTML, TEXT, HTML), [("plain", 1), ("html", 1), ("plain", 0), ("html", 0)]),
        (
            multipart("mixed", TEXT, multipart("related", HTML, boundary="i"), FILE),
            [("plain", 1), ("html", 1)],
        ),
        (
            multipart("mixed", TEXT, multipart("mixed", HTML, boundary="i"), FILE),
            [("plain", 1), ("html", 0)],
        ),
        (multipart("mixed", TEXT, TEXT, FILE), [("plain", 1), ("plain", 0)]),
    ],
    ids=["text, html", "html, text", "first of each", "related", "not beside it", "text, text"],
)
def test_text_and_html_side_by_side_both_tell(entity: bytes, expected: object, store: Path) -> None:
    """Who shows the HTML alone, or the text alone, sees the link where both stand in one multipart/mixed."""
    assert told_in(entity, store) == expected


@pytest.mark.parametrize("text", ["", "Ä"], ids=["ASCII", "UTF-8"])
def test_a_notice_of_its_own_ends_in_a_blank_line(text: str, store: Path) -> None:
    """Readers put texts one behind the other: the notice does not run into the one behind it."""
    broken = part(b"!!", "text/plain", encoding="base64")
    entity = multipart("mixed", broken, attachment(noise(100), f"a{text}.bin"))
    first = support.leaves(support.parsed(linked(entity, store, notice={"contact": f"IT {text}"}).output))[0]
    assert support.text_of(first).count(NOTICE) == 1
    assert support.text_of(first).replace("\r\n", "\n").endswith("\n\n")


# --- Other forms of the body

AMP = part(b"<html amp4email><p>Hi</p></html>", "text/x-amp-html; charset=us-ascii")
WATCH = part(b"<b>Hi</b>", "text/watch-html; charset=us-ascii")
ENRICHED = part(b"<bold>Hi</bold>", "text/enriched; charset=us-ascii")


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        ((TEXT, AMP, HTML), ["alternative", "plain", "html"]),
        ((TEXT, HTML, AMP, WATCH), ["alternative", "plain", "html"]),
        ((TEXT, WATCH), ["alternative", "plain"]),
    ],
)
@pytest.mark.parametrize("sender", [b"sender@example.org", b""], ids=["linked", "stripped"])
def test_forms_that_readers_can_do_without_are_removed(
    forms: tuple[bytes, ...], expected: object, sender: bytes, store: Path
) -> None:
    """AMP and watch forms of the body can't hold a notice, and readers fall back to those that do."""
    data = message(multipart("mixed", multipart("alternative", *forms, boundary="i"), FILE))
    result = process(data, link_everything(store), ENVELOPE.replace(sender=sender))
    assert structure(result.output) == ["mixed", expected]


def test_forms_of_the_body_stay_where_nothing_is_told(store: Path) -> None:
    """Without a notice no form of the body is removed."""
    data = message(multipart("mixed", multipart("alternative", TEXT, AMP, HTML, boundary="i"), FILE))
    assert process(data, support.zip_everything(store)).output == data


@pytest.mark.parametrize("kind", ["enriched", "richtext", "rtf", "markdown"])
@pytest.mark.parametrize("sender", [b"sender@example.org", b""], ids=["linked", "stripped"])
def test_a_form_that_no_notice_goes_into_keeps_the_attachments(kind: str, sender: bytes, store: Path) -> None:
    """Who is shown another form of the body would see neither file nor link, so the file stays."""
    form = part(b"x", f"text/{kind}")
    data = message(multipart("mixed", multipart("alternative", TEXT, form, HTML, boundary="i"), FILE))
    result = process(data, link_everything(store), ENVELOPE.replace(sender=sender))
    assert result.output == data


@pytest.mark.parametrize(
    "entity",
    [
        multipart("mixed", TEXT, ENRICHED, FILE),
        multipart("mixed", multipart("alternative", TEXT, HTML, part(b"x", "text/calendar"), boundary="i"), FILE),
        multipart("mixed", multipart("alternative", TEXT, HTML, boundary="i"), ENRICHED, FILE),
    ],
    ids=["beside the text", "an invitation", "behind"],
)
def test_texts_that_are_no_form_of_the_body_keep_nothing(entity: bytes, store: Path) -> None:
    """What readers show beside the body, or as an invitation, keeps no attachment from becoming a link."""
    assert linked(entity, store).outcome.linked == 1
