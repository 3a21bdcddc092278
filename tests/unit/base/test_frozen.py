"""Values that keep their word: made of their fields, all of them, and of nothing else."""

from typing import Any

import pytest

from pfilter.base.frozen import Frozen
from pfilter.message.model import Range


class Point(Frozen):
    """A value for tests."""

    x: int
    y: int
    z: int = 7


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((1, 2), {}),
        ((1, 2, 7), {}),
        ((1,), {"y": 2}),
        ((1, 2), {"z": 7}),
        ((), {"x": 1, "y": 2}),
        ((), {"z": 7, "y": 2, "x": 1}),
    ],
)
def test_a_value_is_made_by_position_or_name(args: tuple[int, ...], named: dict[str, int]) -> None:
    """Fields without a default are given, in whatever way."""
    made = Point(*args, **named)
    assert (made.x, made.y, made.z) == (1, 2, 7)
    assert made == Point(x=1, y=2, z=7)


@pytest.mark.parametrize(
    ("args", "named", "said"),
    [
        ((), {}, "Point: missing: x, y"),
        ((1,), {}, "Point: missing: y"),
        ((), {"y": 2, "z": 3}, "Point: missing: x"),
        ((1, 2, 3, 4), {}, "Point: 4 values for 3 fields"),
        ((1, 2, 3), {"z": 3}, "Point: given twice: z"),
        ((1,), {"x": 1, "y": 2}, "Point: given twice: x"),
        ((1,), {"x": 1}, "Point: missing: y; given twice: x"),
        ((), {"x": 1, "y": 2, "w": 3}, "Point: unknown: w"),
        ((1, 2), {"w": 3}, "Point: unknown: w"),
        ((), {"x": 1, "stop": 2}, "Point: missing: y; unknown: stop"),
        ((1, 2, 3, 4), {"w": 3}, "Point: 4 values for 3 fields; unknown: w"),
    ],
)
def test_a_value_refuses_other_arguments(args: tuple[int, ...], named: dict[str, int], said: str) -> None:
    """What is missing, unknown or too much is named."""
    with pytest.raises(TypeError) as caught:
        Point(*args, **named)
    assert str(caught.value) == said


def test_a_range_has_no_stop() -> None:
    """A slip in a name is found where it is made, not where the field is read."""
    wrong: Any = {"start": 1, "stop": 2}
    with pytest.raises(TypeError, match="missing: end; unknown: stop"):
        Range(**wrong)


def test_a_copy_takes_fields_only() -> None:
    """`replace` refuses names that there are not."""
    assert Point(1, 2).replace(z=3) == Point(1, 2, 3)
    with pytest.raises(TypeError, match=r"^Point: unknown: w$"):
        Point(1, 2).replace(w=3)


def test_a_value_without_fields() -> None:
    """A value may have no field at all."""

    class Nothing(Frozen):
        """A value for tests."""

    assert Nothing() == Nothing()
    with pytest.raises(TypeError, match="1 values for 0 fields"):
        Nothing(*[1])
