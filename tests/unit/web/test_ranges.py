"""Parts of a file that are asked for: which, and what is answered."""

import pytest

from pfilter.web import ranges


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=8-30", (8, 10)),
        ("Bytes = 1-2 ", (1, 3)),
        ("bytes=10-", (10, 10)),
        ("bytes=10-12", (10, 10)),
        ("bytes=20-30", (10, 10)),
        ("bytes=-0", (10, 10)),
        ("bytes=3-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1", None),
        ("bytes 1-2", None),
        ("lines=1-2", None),
        ("bytes=1-2,4-5", None),
        ("bytes=20-30,0-1", None),
        ("bytes=0-0,", None),
        ("bytes=" + ",".join(["0-0"] * 17), None),
        ("bytes=" + "9" * 50 + "-", None),
        ("bytes=²-", None),
    ],
)
def test_ranges(given: str, found: tuple[int, int] | None) -> None:
    assert ranges.parse(given, 10) == found


@pytest.mark.parametrize(
    ("headers", "size", "decided"),
    [
        ({}, 10, (200, 0, 10)),
        ({"range": "bytes=2-3"}, 10, (206, 2, 4)),
        ({"range": "bytes=10-"}, 10, (416, 0, 0)),
        ({"range": "bytes=2-3,5-6"}, 10, (200, 0, 10)),
        ({"range": "bytes=0-"}, 0, (416, 0, 0)),
        ({"range": "bytes=-5"}, 0, (416, 0, 0)),
        ({"range": "bytes=2-3", "if-range": "other"}, 10, (200, 0, 10)),
        ({"range": "bytes=2-3", "if-none-match": "W/tag"}, 10, (304, 0, 0)),
        ({"range": "bytes=2-3", "if-match": "other"}, 10, (412, 0, 0)),
    ],
)
def test_what_is_answered(headers: dict[str, str], size: int, decided: tuple[int, int, int]) -> None:
    """What has nothing of the file has no octets, whatever the size."""
    assert ranges.decide(headers, size, "tag") == ranges.RangeDecision(*decided)
