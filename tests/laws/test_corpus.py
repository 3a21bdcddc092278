"""The laws over the corpus of real messages, and its twins with LF and CRLF line ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lib import laws, support

CORPUS = support.CORPUS
SOURCES = sorted(path.name for path in CORPUS.iterdir() if path.is_dir()) if CORPUS.is_dir() else ["absent"]
SMALL_ENOUGH = 12_000  # octets: reading in windows of one octet takes a system call each

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of messages (../shared/corpus) is not here"),
]

# Files whose leaves the stdlib sees in another way, and why that is right. Opened message/* is one leaf to both.
OTHER_LEAVES = {
    "jhillyerd+enmime/testdata/mail/mime-bad-content-type.raw": "malformed Content-Type: text/plain (RFC 2045, 5.2)",
    "jhillyerd+enmime/testdata/mail/mime-blank-media-name.raw": "malformed Content-Type: text/plain (RFC 2045, 5.2)",
    "jhillyerd+enmime/testdata/parts/ctype-invalid-characters.raw": "malformed Content-Type: text/plain (as above)",
}

sources = pytest.mark.parametrize("source", SOURCES)


def messages(source: str) -> "Iterator[tuple[str, bytes]]":
    """Yield name and octets of each message of a source, and of its twins."""
    for path in sorted((CORPUS / source).rglob("*")):
        if path.is_file():
            name = str(path.relative_to(CORPUS))
            for twin, data in support.twins(path.read_bytes()).items():
                yield f"{name} ({twin})", data


def check_all(source: str, law: "Callable[[bytes], object]") -> None:
    """Apply a law to all messages of a source; fail with the names of those that break it."""
    broken = []
    for name, data in messages(source):
        try:
            law(data)
        except AssertionError as error:
            broken.append(f"{name}: {str(error).splitlines()[:1]}")
    assert broken == []


@sources
def test_nothing_to_do(source: str) -> None:
    """With nothing to do each message comes out byte for byte as it came."""
    idle = support.policy(link={"enabled": False}, compress={"enabled": False})
    check_all(source, lambda data: laws.nothing_to_do_changes_nothing(data, idle))


@sources
def test_everything_linked(source: str, store: Path, no_sync: None) -> None:
    """With every attachment linked the rest of each message stays as it was; an ambiguous one passes as it came."""
    policy = support.link_everything(store)
    check_all(source, lambda data: laws.editing_keeps_the_rest(data, policy, b"s@example.org", support.NOTICE))


@sources
def test_everything_zipped(source: str, store: Path) -> None:
    """With every attachment zipped that gains by it the rest of each message stays as it was."""
    policy = support.zip_everything(store)
    check_all(source, lambda data: laws.editing_keeps_the_rest(data, policy, b"s@example.org", support.NOTICE))


@sources
def test_everything_stripped(source: str, store: Path, no_sync: None) -> None:
    """With every attachment of the null sender taken off the rest of each message stays as it was."""
    policy = support.link_everything(store)
    marker = "Please do not send this message again"
    check_all(source, lambda data: laws.editing_keeps_the_rest(data, policy, b"", marker))


@sources
def test_ranges_nest(source: str) -> None:
    """Parts lie inside their parents, in order, without overlap."""
    check_all(source, laws.ranges_nest)


@sources
def test_windows_do_not_matter(source: str) -> None:
    """Read in windows of 1 to 64 octets each message has the same parts as read at once."""
    small = [data for _, data in messages(source) if len(data) <= SMALL_ENOUGH]
    for number, data in enumerate(small):
        laws.windows_do_not_matter(data, [1 + number % 64, 2 + number % 7])


@sources
def test_leaves_agree_with_the_stdlib(source: str) -> None:
    """The stdlib finds the same leaves, but in the files listed."""
    other = {name: why for name, data in messages(source) if (why := laws.why_leaves_disagree(data))}
    assert {name.partition(" (")[0] for name in other} == {name for name in OTHER_LEAVES if name.startswith(source)}


def test_corpus_says_something(store: Path, no_sync: None) -> None:
    """Hundreds of messages of the corpus have attachments that are linked, so that the laws say something."""
    from tests.tools.figures.count import figures

    found = figures(store)
    assert found["messages"] > 1000
    assert found["linked (as it is)"] > 150
    assert found["zipped (as it is)"] > 40
