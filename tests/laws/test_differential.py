"""What pfilter takes for attachments, against other parsers: the small corpus, and broken copies of its messages."""

from collections.abc import Iterator

import pytest

from tests.lib import support
from tests.lib.support import scanned
from tests.tools.differential import compare, mutate, run

NAMES = ("stdlib", "MIME-tools", "GMime", "mailparser")
MADE = list(run.ATTACHED.items())


@pytest.fixture(scope="module")
def peers() -> "Iterator[tuple[dict[str, compare.Peer], dict[str, str]]]":
    """Return the parsers that are here by name, and what others need."""
    found, missing = compare.peers()
    yield {peer.name: peer for peer in found}, missing
    for peer in found:
        peer.close()


def parser(name: str, peers: "tuple[dict[str, compare.Peer], dict[str, str]]") -> "list[compare.Peer]":
    """Return a parser, or skip where it is missing."""
    found, missing = peers
    if name in missing:
        pytest.skip(f"{name} is not here: it needs {missing[name]}")
    return [found[name]]


def told(totals: run.Totals) -> "list[object]":
    """Return what is disagreed about without a reason."""
    return [(one.name, one.about) for one in totals.found if not one.reason]


@pytest.mark.parametrize("name", NAMES)
def test_small_corpus(name: str, peers: "tuple[dict[str, compare.Peer], dict[str, str]]") -> None:
    """Another parser sees the same attachments in the small corpus, as it is."""
    totals = run.run(run.messages([support.SMALL_CORPUS], mutations=False), parser(name, peers))
    assert told(totals) == []
    assert totals.messages["compared"] >= 10


@pytest.mark.parametrize("name", NAMES)
def test_broken_copies(name: str, peers: "tuple[dict[str, compare.Peer], dict[str, str]]") -> None:
    """In what is broken or unusual, another parser sees the same attachments, or pfilter leaves the message alone."""
    totals = run.run(run.messages([], mutations=True), parser(name, peers))
    assert told(totals) == []
    assert totals.messages["compared"] > 200
    assert totals.messages["ambiguous to pfilter"] > 200


TEXT = support.part(b"Hello\n")
FILE = support.attachment(b"data of a file\n" * 9, "a.bin")
WITHOUT_END = support.message(support.multipart("mixed", TEXT, FILE)).removesuffix(b"--\n")
CLEAR = {
    "boundary that goes on from an outer one": support.message(
        support.multipart("mixed", support.multipart("alternative", TEXT, boundary="o1"), FILE, boundary="o")
    ),
    "three of them": support.message(
        support.multipart(
            "mixed",
            support.multipart("related", support.multipart("alternative", TEXT, boundary="o12"), boundary="o1"),
            FILE,
            boundary="o",
        )
    ),
    "inner close delimiter twice": support.message(
        support.multipart("mixed", support.multipart("alternative", TEXT, boundary="i") + b"--i--\n", FILE)
    ),
    "close delimiter twice": support.message(support.multipart("mixed", TEXT, FILE)) + b"--b--\n",
    "close delimiter again, without a line end": support.message(support.multipart("mixed", TEXT, FILE)) + b"\n--b--",
    "last delimiter that does not close": WITHOUT_END + b"\n",
    "last delimiter without a line end": WITHOUT_END,
    "multipart in base64": support.message(
        support.multipart("mixed", TEXT, FILE), "Content-Transfer-Encoding: base64\n"
    ),
    "multipart in quoted-printable": support.message(
        support.multipart("mixed", TEXT, FILE), "Content-Transfer-Encoding: quoted-printable\n"
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_breaks_rules_and_is_read_alike(
    name: str, peers: "tuple[dict[str, compare.Peer], dict[str, str]]"
) -> None:
    """Another parser sees the same leaves and files, octet by octet, where boundaries or delimiters are unusual."""
    twins = {f"{case} (CRLF)": support.crlf(data) for case, data in CLEAR.items()}
    totals = run.run(iter([*CLEAR.items(), *twins.items()]), parser(name, peers))
    assert told(totals) == []
    assert totals.messages["compared"] == 2 * len(CLEAR)


def test_mutations_are_the_same_in_every_run() -> None:
    """What was found once can be found again."""
    for _, data in MADE:
        assert list(mutate.mutated(data)) == list(mutate.mutated(data))


# What other parsers read in another way; each was a disagreement once.
RULES = {
    "boundary: comment": "comment in the Content-Type of a multipart",
    "boundary: comment unquoted": "comment in the Content-Type of a multipart",
    "boundary: backslash": "backslash in the Content-Type of a multipart",
    "boundary: blank at its start": "boundary with octets that are not allowed",
    "boundary: blank inside, unquoted": "blank or quote inside a parameter in the Content-Type of a multipart",
    "boundary: quote inside": "blank or quote inside a parameter in the Content-Type of a multipart",
    "multipart as multipart/mixed(c)": "comment in the Content-Type of a multipart",
    "delimiter: b'\\r' behind the last": "delimiter with a different line end from the message",
    "delimiter: b'\\r' behind the close": "delimiter with a different line end from the message",
}
PART_RULES = {
    "Content-Transfer-Encoding: comment before": "comment in Content-Transfer-Encoding",
    "Content-Disposition: no semicolon": "malformed Content-Disposition",
    "Content-Disposition: no token": "malformed Content-Disposition",
    "Content-Type: vertical tab": "vertical tab or form feed in a Content-* field",
    "Content-Type: no-break space": "malformed parameter",
}


@pytest.mark.parametrize("name", RULES)
def test_rules_about_structure(name: str) -> None:
    """A message whose structure others see in another way says why it is ambiguous."""
    data = run.ATTACHED["made: nested"]
    ((_, changed),) = mutate.mutated(data, only=lambda mutation: mutation == name)
    assert scanned(changed).defects[:1] == (RULES[name],)


@pytest.mark.parametrize("name", PART_RULES)
def test_rules_about_parts(name: str) -> None:
    """A part that others see in another way is left alone, and it alone."""
    data = run.ATTACHED["made: nested"]
    ((_, changed),) = mutate.mutated(data, only=lambda mutation: mutation == name)
    found = scanned(changed)
    assert found.defects == ()
    assert [part.defect for part in found.parts if part.defect] == [PART_RULES[name]]


def test_a_carriage_return_too_many_behind_a_delimiter() -> None:
    """CR CR LF behind a delimiter is no line end to all."""
    data = support.crlf(run.ATTACHED["made: base64"]).replace(b"--b\r\n", b"--b\r\r\n", 1)
    assert scanned(data).defects[0] == "line that starts like a delimiter"


def test_text_behind_very_many_blanks_behind_a_delimiter() -> None:
    """A delimiter line whose end is out of sight is ambiguous: something may stand there."""
    data = run.ATTACHED["made: base64"].replace(b"--b--", b"--b--" + b" " * 5000 + b"x")
    assert "line that starts like a delimiter" in scanned(data).defects
