"""The laws, over generated mail, damaged mail and the small corpus: these run anywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.test_differential import CLEAR, FILE
from tests.lib import generate, laws, support

SENDER = b"sender@example.org"
LINKED = support.NOTICE
STRIPPED = "Please do not send this message again"
SMALL = sorted(path for path in support.SMALL_CORPUS.iterdir() if path.suffix == ".eml")
TWINS: "list[Callable[[bytes], bytes]]" = [lambda data: data, support.lf, support.crlf]

generated = given(data=generate.messages())
damaged = given(data=generate.damaged(generate.messages()))
# The store is the same for all examples: that is what stores are for.
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@generated
def test_generated_mail_passes_as_it_came(data: bytes) -> None:
    """A generated message with nothing to do comes out byte for byte as it came."""
    idle = support.policy(link={"enabled": False}, compress={"enabled": False})
    laws.nothing_to_do_changes_nothing(data, idle)


@relaxed
@generated
def test_generated_mail_linked(data: bytes, store: Path, no_sync: None) -> None:
    """All attachments of a generated message linked: the rest of it stays, in octets and to a reader."""
    laws.editing_keeps_the_rest(data, support.link_everything(store), SENDER, LINKED)


@relaxed
@generated
def test_generated_mail_zipped(data: bytes, store: Path) -> None:
    """All attachments of a generated message zipped: the rest of it stays, and there is no notice."""
    laws.editing_keeps_the_rest(data, support.zip_everything(store), SENDER, LINKED)


@relaxed
@generated
def test_generated_mail_stripped(data: bytes, store: Path, no_sync: None) -> None:
    """All attachments of a generated message of the null sender taken off: the rest of it stays."""
    laws.editing_keeps_the_rest(data, support.link_everything(store), b"", STRIPPED)


@given(data=generate.messages(), window=st.integers(1, 64))
def test_windows_do_not_matter(data: bytes, window: int) -> None:
    """A generated message read in windows of 1 to 64 octets has the same parts as read at once."""
    laws.windows_do_not_matter(data, [window])


@damaged
def test_windows_do_not_matter_in_damaged_mail(data: bytes) -> None:
    """A damaged message read in small windows has the same parts and defects as read at once."""
    laws.windows_do_not_matter(data, [1, 2, 3, 7, 64])


@generated
def test_generated_leaves_agree_with_the_stdlib(data: bytes) -> None:
    """The stdlib finds the same leaves, of the same types and with the same octets."""
    assert laws.why_leaves_disagree(data) == ""


@damaged
def test_damaged_leaves_agree_with_the_stdlib(data: bytes) -> None:
    """In a damaged message that neither finds fault with, the stdlib finds as many leaves, with the same octets."""
    assert laws.why_leaves_disagree(data, types_too=False) == ""


@generated
def test_ranges_nest(data: bytes) -> None:
    """Parts of a generated message lie inside their parents, in order, without overlap."""
    laws.ranges_nest(data)


@given(data=st.one_of(generate.damaged(generate.messages()), st.binary(max_size=300)))
def test_ranges_nest_in_damaged_mail(data: bytes) -> None:
    """Whatever octets are scanned, the result is a message whose ranges nest; never an exception."""
    laws.ranges_nest(data)


@relaxed
@damaged
def test_damaged_mail_edited(data: bytes, store: Path, no_sync: None) -> None:
    """A damaged message is edited so that the rest of it stays, or it is ambiguous and passes as it came."""
    laws.editing_keeps_the_rest(data, support.link_everything(store), SENDER, LINKED)


@pytest.mark.parametrize("twin", TWINS, ids=["as it is", "LF", "CRLF"])
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_small_corpus(path: Path, twin: "Callable[[bytes], bytes]", store: Path) -> None:
    """All laws hold for a message of the small corpus and its twins in both line ends."""
    data = twin(path.read_bytes())
    idle = support.policy(link={"enabled": False}, compress={"enabled": False})
    laws.nothing_to_do_changes_nothing(data, idle)
    laws.ranges_nest(data)
    laws.windows_do_not_matter(data, [1, 2, 5, 64, 4096])
    assert laws.why_leaves_disagree(data) == ""
    laws.editing_keeps_the_rest(data, support.link_everything(store), SENDER, LINKED)
    laws.editing_keeps_the_rest(data, support.zip_everything(store), SENDER, LINKED)
    laws.editing_keeps_the_rest(data, support.link_everything(store), b"", STRIPPED)


def test_small_corpus_is_edited(store: Path, no_sync: None) -> None:
    """Most messages of the small corpus have something to link, so that its laws say something."""
    results = [support.process(path.read_bytes(), support.link_everything(store)) for path in SMALL]
    assert sum(result.outcome.linked > 0 for result in results) >= 8


UNUSUAL = CLEAR | {
    "file alone, and nothing behind the last delimiter": support.message(support.multipart("mixed", FILE)).removesuffix(
        b"--\n"
    ),
}


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("twin", [bytes, support.crlf], ids=["LF", "CRLF"])
def test_unusual_delimiters_edited(name: str, twin: "Callable[[bytes], bytes]", store: Path, no_sync: None) -> None:
    """Where boundaries or delimiters are unusual and clear, an edit keeps the rest, in octets and to a reader."""
    result = laws.editing_keeps_the_rest(twin(UNUSUAL[name]), support.link_everything(store), SENDER, LINKED)
    assert result.edited
