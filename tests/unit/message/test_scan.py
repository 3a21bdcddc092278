"""Messages become parts; where parsers disagree, the message says why."""

import pytest

from pfilter.base.limits import Limits
from pfilter.message.model import Message, Part
from tests.lib.support import attachment, crlf, message, multipart, part, scanned

TEXT = part(b"Hello\n")
FILE = attachment(b"data", "a.bin")
MIXED = message(multipart("mixed", TEXT, FILE))


def bodies(data: bytes) -> dict[str, bytes]:
    """Return the bodies of the parts by section."""
    return {p.section: data[p.body.start : p.body.end] for p in scanned(data).parts}


def outline(found: Message) -> list[tuple[str, bytes]]:
    """Return section and type of all parts."""
    return [(p.section, p.type) for p in found.parts]


def only(data: bytes) -> Part:
    """Return the root of a message."""
    return scanned(data).root


def test_a_message_without_mime() -> None:
    """A message without MIME fields is one text/plain, us-ascii in 7bit."""
    root = only(b"Subject: x\n\nHello\n")
    assert (root.type, root.encoding, root.params, root.disposition) == (b"text/plain", b"7bit", (), b"")


def test_parts_of_a_multipart() -> None:
    """Bodies exclude the line end that belongs to the next delimiter; spans include their delimiters."""
    data = message(multipart("mixed", part(b"one\n"), part(b"two"), preamble=b"pre\n", epilogue=b"post\n"))
    assert {key: value for key, value in bodies(data).items() if key} == {"1": b"one\n", "2": b"two"}
    first, second = scanned(data).parts[1:]
    assert data[first.span.start :].startswith(b"--b\n")
    assert first.span.end == second.span.start
    assert data[second.span.end :] == b"--b--\npost\n"


def test_crlf_messages_have_the_same_parts() -> None:
    """A CRLF message has the same parts, with bodies in CRLF."""
    assert {key: value for key, value in bodies(crlf(MIXED)).items() if key} == {
        key: crlf(value) for key, value in bodies(MIXED).items() if key
    }
    assert scanned(crlf(MIXED)).eol == b"\r\n"


def test_sections_are_those_of_imap() -> None:
    """Parts are numbered as IMAP does, through nested multiparts and forwarded messages."""
    inner = multipart("alternative", TEXT, part(b"x", "text/html"), boundary="i")
    forwarded = part(b"Subject: x\nMIME-Version: 1.0\n" + multipart("mixed", TEXT, boundary="f"), "message/rfc822")
    found = scanned(message(multipart("mixed", inner, FILE, forwarded)))
    assert [(section, kind.decode().partition("/")[2]) for section, kind in outline(found)] == [
        ("", "mixed"), ("1", "alternative"), ("1.1", "plain"), ("1.2", "html"), ("2", "octet-stream"), ("3", "rfc822"),
        ("3.1", "mixed"), ("3.1.1", "plain"),
    ]  # fmt: skip
    assert [p.embedded for p in found.parts] == [False] * 6 + [True] * 2


def test_a_digest_holds_messages() -> None:
    """Parts of a digest are messages by default (RFC 2046, 5.1.5)."""
    found = scanned(message(multipart("digest", b"\nSubject: a\n\nx\n", b"\nSubject: b\n\ny\n")))
    assert [kind for _, kind in outline(found)][1::2] == [b"message/rfc822"] * 2


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_an_encoded_message_is_not_opened(encoding: str) -> None:
    """A message/rfc822 in base64 is a leaf."""
    found = scanned(message(multipart("mixed", TEXT, part(b"U3ViamVjdDogeAoK", "message/rfc822", encoding=encoding))))
    assert len(found.parts) == 3


def test_delimiters_may_have_blanks_behind_them() -> None:
    """Blanks between a delimiter and its line end are part of it (RFC 2046, 5.1.1)."""
    data = MIXED.replace(b"--b\n", b"--b \t\n").replace(b"--b--\n", b"--b--  \n")
    assert [kind for _, kind in outline(scanned(data))] == [kind for _, kind in outline(scanned(MIXED))]
    assert scanned(data).defects == ()


def test_what_only_looks_like_a_delimiter() -> None:
    """Dashes, other boundaries and delimiters inside of a line are text."""
    text = b"--\n-- \n--c\nx--b\n --b\n> --b--\n"
    found = scanned(message(multipart("mixed", part(text), FILE)))
    assert (len(found.parts), found.defects) == (3, ())


def test_outer_delimiters_win() -> None:
    """An outer delimiter ends an inner multipart that was left open, and that is ambiguous."""
    inner = multipart("mixed", TEXT, boundary="i").rpartition(b"--i--")[0]
    found = scanned(message(multipart("mixed", inner, FILE)))
    assert [section for section, _ in outline(found)] == ["", "1", "1.1", "2"]
    assert found.defects == ("multipart that is not closed",)


def test_a_missing_close_delimiter_at_the_end_is_clear() -> None:
    """With everything else in order, an unclosed multipart at the very end is no defect."""
    found = scanned(MIXED.removesuffix(b"--b--\n"))
    assert (found.defects, found.root.closed) == ((), False)
    assert len(found.parts) == 3


def test_the_last_line_may_lack_its_end() -> None:
    """A message may end with its close delimiter, without a line end."""
    assert scanned(MIXED.removesuffix(b"\n")).root.closed


PREFIX = message(multipart("mixed", multipart("mixed", TEXT, boundary="a"), FILE, boundary="ab"))
GOES_ON = message(multipart("mixed", multipart("mixed", TEXT, boundary="ab"), FILE, boundary="a"))
CLEAR = {
    "boundary that goes on from an outer one": GOES_ON,
    "close delimiter of an inner multipart twice": message(
        multipart("mixed", multipart("mixed", TEXT, boundary="i") + b"\n--i--\n", FILE)
    ),
    "close delimiter twice": MIXED + b"--b--\n",
    "close delimiter three times": MIXED + b"\n--b--\n\n--b--",
    "last delimiter that does not close": MIXED.removesuffix(b"--\n") + b"\n",
    "last delimiter without a line end": MIXED.removesuffix(b"--\n"),
    **{
        f"multipart with {name} that is not applied": MIXED.replace(
            b"MIME-Version", b"Content-Transfer-Encoding: " + name.encode() + b"\nMIME-Version"
        )
        for name in ("base64", "quoted-printable")
    },
}


@pytest.mark.parametrize(("name", "data"), CLEAR.items(), ids=CLEAR)
@pytest.mark.parametrize("twin", [bytes, crlf], ids=["LF", "CRLF"])
def test_what_all_parsers_read_alike_is_clear(name: str, data: bytes, twin: "type[bytes]") -> None:
    """What breaks the rules and is read alike by all, Postfix, the stdlib and MIME-tools, is no defect."""
    assert scanned(twin(data)).defects == ()


def test_a_delimiter_with_nothing_behind_it_starts_a_part_that_is_never_edited() -> None:
    """There is not even a place for a body behind a delimiter at the very end."""
    *_, last = scanned(CLEAR["last delimiter that does not close"]).parts
    assert (last.body.size, last.defect) == (0, "nothing after its delimiter")


AMBIGUOUS = {
    "more than one content-type": MIXED.replace(b"MIME-Version", b"Content-Type: text/plain\nMIME-Version"),
    "more than one content-transfer-encoding": message(
        multipart("mixed", part(b"x", encoding="7bit", fields="Content-Transfer-Encoding: 8bit\n"), FILE)
    ),
    "more than one content-disposition": message(
        multipart("mixed", part(b"x", disposition="inline", fields="Content-Disposition: inline\n"), FILE)
    ),
    "boundary that is a prefix of another in use": PREFIX,
    "conflicting parameters boundary": MIXED.replace(b'boundary="b"', b'boundary="b"; boundary="c"'),
    "boundary in more than one form": MIXED.replace(b'boundary="b"', b"boundary=\"b\"; boundary*=us-ascii''b"),
    "boundary with octets that are not allowed": MIXED.replace(b'boundary="b"', b'boundary="b\xff"'),
    "special character outside of quotes in the Content-Type of a multipart": MIXED.replace(b'"b"', b"b=c").replace(
        b"--b", b"--b=c"
    ),
    "boundary in angle brackets": MIXED.replace(b'boundary="b"', b'boundary="<b>"'),
    "line end within quotes in the Content-Type of a multipart": MIXED.replace(b'"b"', b'"b\n c"').replace(
        b"--b", b"--b c"
    ),
    "boundary over 2048 octets": message(multipart("mixed", TEXT, boundary="b" * 2049)),
    "multipart without a boundary": MIXED.replace(b'; boundary="b"', b""),
    "multipart without its delimiter": MIXED.replace(b'boundary="b"', b'boundary="other"'),
    "multipart without parts": message(b'Content-Type: multipart/mixed; boundary="b"\n\n--b--\n'),
    "multipart with an unknown transfer encoding": MIXED.replace(
        b"MIME-Version", b"Content-Transfer-Encoding: x-unknown\nMIME-Version"
    ),
    "multipart that is not closed": message(
        multipart("mixed", multipart("mixed", TEXT, boundary="i").rpartition(b"--i--")[0])
    ),
    "delimiter after the close delimiter": MIXED + b"--b\n\nmore\n",
    "delimiter at the end with nothing after it": message(
        multipart("mixed", multipart("mixed", TEXT, boundary="i")).rpartition(b"--\n\n--b--")[0] + b"\n"
    ),
    "delimiter directly after a delimiter": MIXED.replace(b"--b\n", b"--b\n--b\n", 1),
    "line that starts like a delimiter": MIXED.replace(b"Hello\n", b"--bad\n"),
    "bare CR before a delimiter": MIXED.replace(b"Hello\n", b"Hello\r--b\n"),
    "header ended by a line that is not a field": MIXED.replace(b"MIME-Version", b"no field\nMIME-Version"),
    "malformed Content-Type of a multipart": MIXED.replace(b"multipart/mixed;", b"multipart mixed;"),
    "NUL in the header": MIXED.replace(b"Figures", b"Fig\0ures"),
    "quotes or comments that don't end in a Content-* field": MIXED.replace(b'boundary="b"', b'boundary="b'),
}


@pytest.mark.parametrize(("why", "data"), AMBIGUOUS.items(), ids=AMBIGUOUS)
@pytest.mark.parametrize("twin", [bytes, crlf], ids=["LF", "CRLF"])
def test_ambiguous_structure_is_a_defect(why: str, data: bytes, twin: "type[bytes]") -> None:
    """Where parsers would see other parts, the message says why, in either line end."""
    assert why in scanned(twin(data)).defects


@pytest.mark.parametrize(("why", "data"), AMBIGUOUS.items(), ids=AMBIGUOUS)
def test_what_is_unsound_inside_a_forwarded_message_does_not_matter(why: str, data: bytes) -> None:
    """A forwarded message is handled as a whole, whatever is wrong inside of it, unless that decides where it ends."""
    outside = ("prefix", "like a delimiter", "bare CR")
    found = scanned(message(multipart("mixed", TEXT, part(data, "message/rfc822"), boundary="outermost")))
    assert found.defects == () or any(word in why for word in outside)


@pytest.mark.parametrize(
    ("entity", "defect"),
    [
        (part(b"x", encoding="x-unknown"), "unknown transfer encoding"),
        (part(b"x", "text"), "malformed Content-Type"),
        (part(b"x", 'text/plain; name="x'), "quotes or comments"),
    ],
)
def test_a_leaf_that_is_broken_is_marked_alone(entity: bytes, defect: str) -> None:
    """What is wrong with one leaf does not make the message ambiguous."""
    found = scanned(message(multipart("mixed", entity, FILE)))
    assert found.defects == ()
    assert defect in found.parts[1].defect
    assert found.parts[2].defect == ""


@pytest.mark.parametrize(
    ("limits", "data", "why"),
    [
        (Limits(parts=2), MIXED, "more than 2 parts"),
        (
            Limits(nesting=2),
            message(multipart("mixed", multipart("mixed", TEXT, boundary="i"))),
            "nested deeper than 2",
        ),
        (Limits(header=100), MIXED, "header block over 100 octets"),
        (Limits(boundary=3), message(multipart("mixed", TEXT, boundary="four")), "boundary over 3 octets"),
    ],
)
def test_beyond_a_limit_a_message_is_left_alone(limits: Limits, data: bytes, why: str) -> None:
    """Every limit is named in the defect."""
    assert why in scanned(data, limits=limits).defects


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(parts=3), MIXED),
        (Limits(nesting=3), message(multipart("mixed", multipart("mixed", TEXT, boundary="i")))),
        (Limits(boundary=4), message(multipart("mixed", TEXT, boundary="four"))),
    ],
)
def test_at_a_limit_all_is_well(limits: Limits, data: bytes) -> None:
    """A message at its limits is sound."""
    assert scanned(data, limits=limits).defects == ()


def test_limits_are_no_tighter_than_postfix() -> None:
    """mime_nesting_limit, mime_boundary_length_limit and header_size_limit of Postfix fit."""
    limits = Limits()
    assert limits.nesting >= 100
    assert limits.boundary >= 2048
    assert limits.header >= 102_400


def test_a_thousand_nested_messages_do_not_exhaust_the_stack() -> None:
    """Nesting beyond every limit ends in a defect, never in a RecursionError."""
    data = b"Content-Type: message/rfc822\n\n" * 5000 + b"Subject: x\n\nend\n"
    assert any("nested deeper" in why for why in scanned(data).defects)


def test_a_hundred_thousand_parts_end_early() -> None:
    """A message of very many parts is given up at its limit."""
    data = b'Content-Type: multipart/mixed; boundary="b"\n\n' + b"--b\n\nx\n" * 100_000
    found = scanned(data)
    assert "more than 10000 parts" in found.defects


def test_an_empty_message() -> None:
    """No octets are a message without anything."""
    found = scanned(b"")
    assert (found.size, len(found.parts)) == (0, 1)


def test_fields_of_the_message() -> None:
    """The fields of the outermost header are at hand; Message-ID is one line."""
    found = scanned(b"Message-ID:\n <1@x>\nReceived: a\nReceived: b\n\nx")
    assert (found.message_id, found.values(b"received")) == ("<1@x>", [b" a\n", b" b\n"])
