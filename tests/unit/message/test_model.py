"""The values that stages hand to each other."""

import pytest

from pfilter.base.frozen import Frozen
from pfilter.base.text import exact_size
from pfilter.decision.plan import Outcome
from pfilter.message.model import Envelope, Range


class Point(Frozen):
    """A value for tests."""

    x: int
    y: int = 7


def test_values_are_frozen() -> None:
    """A value never changes once it is made."""
    with pytest.raises(AttributeError, match="frozen"):
        Range(start=1, end=2).start = 5  # type: ignore[misc]


def test_values_compare_by_content() -> None:
    """Two values of the same kind and content are the same, and can be keys."""
    assert Point(1) == Point(x=1, y=7)
    assert Point(1) != Point(2)
    assert len({Point(1), Point(1, 7), Point(1, 8)}) == 2
    assert Point(1) != (1, 7)


def test_another_value_with_a_change() -> None:
    """`replace` makes another value and leaves the first."""
    first = Envelope(sender=b"a", recipients=(b"b",))
    assert first.replace(sender=b"").sender == b""
    assert first.sender == b"a"


def test_values_show_their_fields() -> None:
    """What a value holds is seen in a failed test."""
    assert repr(Point(1)) == "Point(x=1, y=7)"


def test_ranges_are_half_open() -> None:
    """A range's size is what lies between its ends."""
    assert Range(start=3, end=3).size == 0
    assert Range(start=3, end=10).size == 7


@pytest.mark.parametrize(
    ("octets", "text"),
    [(819_200, "800 KiB"), (1 << 30, "1 GiB"), (3 << 20, "3 MiB"), (1234, "1234 octets"), (0, "0 octets")],
)
def test_limits_as_the_configuration_has_them(octets: int, text: str) -> None:
    """A limit is shown as it was configured."""
    assert exact_size(octets) == text


def test_an_outcome_is_one_line() -> None:
    """The line for Postfix has no line end."""
    assert "\n" not in Outcome(linked=1, note="x").line()
