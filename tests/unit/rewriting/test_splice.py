"""Ordered edits, and writing the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.errors import InternalError
from pfilter.message.model import Range
from pfilter.rewriting import splice
from pfilter.rewriting.splice import Edit
from tests.lib.support import BytesSpool, content, no_workspace


def change(start: int, end: int, new: bytes) -> Edit:
    """Return an edit."""
    return Edit(range=Range(start=start, end=end), content=new)


def applied(data: bytes, *edits: Edit) -> bytes:
    """Return edited data."""
    return content(splice.apply(BytesSpool(data), edits, no_workspace))


def test_no_edits_copy_the_message() -> None:
    """Without edits the result is the message."""
    assert applied(b"message") == b"message"


def test_edits_replace_insert_and_delete() -> None:
    """Ranges are replaced, empty ranges are insertions, empty contents deletions."""
    assert applied(b"0123456789", change(2, 4, b"ab"), change(5, 5, b"+"), change(7, 10, b"")) == b"01ab4+56"


def test_edits_may_come_in_any_order() -> None:
    """The planner puts edits in order."""
    assert applied(b"0123", change(3, 4, b"c"), change(0, 1, b"a")) == b"a12c"


def test_insertions_at_one_place_stay_in_order() -> None:
    """Of two insertions at one place the first given comes first."""
    assert applied(b"01", change(1, 1, b"a"), change(1, 1, b"b")) == b"0ab1"


def test_an_insertion_goes_before_a_replacement_at_the_same_place() -> None:
    """What is put in front of a range that is replaced stands in front of the new octets."""
    assert applied(b"0123", change(1, 3, b"xy"), change(1, 1, b"+")) == b"0+xy3"


@pytest.mark.parametrize(
    "edits",
    [
        (change(0, 3, b""), change(2, 4, b"")),
        (change(0, 4, b""), change(1, 2, b"")),
        (change(0, 2, b""), change(0, 2, b"")),
        (change(1, 4, b""), change(2, 2, b"+")),
    ],
    ids=["overlap", "inside", "the same", "insertion inside"],
)
def test_overlap_is_refused(edits: tuple[Edit, ...]) -> None:
    """Two edits of the same octets are a bug, found before anything is written."""
    with pytest.raises(InternalError):
        applied(b"01234", *edits)


@pytest.mark.parametrize("wrong", [change(3, 9, b""), change(-1, 1, b""), change(3, 2, b""), change(6, 6, b"")])
def test_edits_outside_are_refused(wrong: Edit) -> None:
    """An edit outside of the message, or backwards, is a bug."""
    with pytest.raises(InternalError):
        applied(b"01234", wrong)


def test_contents_may_be_files() -> None:
    """A finished file is copied in whole."""
    assert applied(b"01", Edit(range=Range(start=1, end=1), content=BytesSpool(b"file"))) == b"0file1"


@given(st.binary(max_size=50), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.binary(max_size=5))))
def test_result_size_is_true(data: bytes, drafts: list[tuple[int, int, bytes]]) -> None:
    """The size of the result is known before it is written, and the rest of the octets are in order."""
    edits: list[Edit] = []
    position = 0
    expected = b""
    for skip, length, new in drafts:
        start = min(position + skip, len(data))
        end = min(start + length, len(data))
        if edits and start == edits[-1].range.end == edits[-1].range.start:
            continue
        expected += data[position:start] + new
        edits.append(change(start, end, new))
        position = end
    expected += data[position:]
    assert applied(data, *edits) == expected
    assert splice.result_size(edits, len(data)) == len(expected)
