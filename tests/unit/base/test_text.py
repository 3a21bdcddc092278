"""Text for people: nothing that strangers wrote moves a cursor or begins a line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.text import ISO, counted, printable, utc

EVERY = st.text(st.characters(codec=None) | st.sampled_from("\0\t\n\r\x1b\x7f\x85\u2028\u2029\u202e\ufeff\ud800"))


@given(EVERY, st.sampled_from([" ", "\ufffd", ""]))
def test_no_control_comes_through(text: str, instead: str) -> None:
    """Neither a control, a line end, a mark that reorders text, nor half of a character."""
    shown = printable(text, instead)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(EVERY)
def test_what_can_be_seen_stays(text: str) -> None:
    """Each character that is not printable is replaced by one, and no other."""
    shown = printable(text, "\ufffd")
    assert len(shown) == len(text)
    assert all(new == old or (new == "\ufffd" and not old.isprintable()) for old, new in zip(text, shown, strict=True))
    assert printable(shown) == shown


def test_a_blank_stands_for_what_is_not_printable() -> None:
    """A line stays one line."""
    assert printable("a\r\nb\x1b[2Jc é") == "a  b [2Jc é"


@pytest.mark.parametrize(("number", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_things_are_counted(number: int, said: str) -> None:
    """One thing is no plural."""
    assert counted(number, "file") == said


def test_times_are_in_utc() -> None:
    """A time is shown to the minute, or in the form for programs."""
    assert utc(1_795_529_100) == "2026-11-24 14:05"
    assert utc(1_795_529_100.9, ISO) == "2026-11-24T14:05:00Z"
