"""Hostile input that doubles makes no more than twice the work: counted, not timed."""

import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.limits import Limits
from pfilter.message import delimiters, scan
from tests.lib.support import BytesSpool
from tests.tools.fuzz.bombs import BOMBS, SCANNER_BOMBS, Bomb

# What the package itself does is counted; what C does inside of one call is timed by tests/tools/fuzz --growth.
SOUND = 2.4  # linear is 2, the square is 4
SMALL = 40_000  # octets of the smaller input, about


def lines_run(run: "Callable[[bytes], object]", data: bytes) -> int:
    """Return how many lines of the package a call runs."""
    count = 0

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return on_line if "/pfilter/pfilter/" in frame.f_code.co_filename or _ours(frame) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        run(data)
    finally:
        sys.settrace(before)
    return count


def _ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("pfilter.")


def smaller(bomb: Bomb) -> int:
    """Return a count of pieces that is small enough to trace."""
    size = max(1, len(bomb.make(8)) - len(bomb.make(4))) / 4
    return int(max(8, min(bomb.count, SMALL / size)))


@pytest.mark.parametrize("name", BOMBS)
def test_work_grows_with_the_input(name: str) -> None:
    """Twice the input makes no more than twice the lines run."""
    bomb = BOMBS[name]
    count = smaller(bomb)
    bomb.run(bomb.make(2))  # imports
    once, twice = lines_run(bomb.run, bomb.make(count)), lines_run(bomb.run, bomb.make(2 * count))
    assert twice <= SOUND * once + 1000, f"{once} lines, then {twice}"


class CountingSpool(BytesSpool):
    """A spool that counts the octets it reads."""

    octets = 0

    def _pread(self, size: int, offset: int) -> bytes:
        data = super()._pread(size, offset)
        self.octets += len(data)
        return data


SCANNED = [name for name, bomb in BOMBS.items() if bomb.run.__module__.endswith("bombs") and "canned" in str(bomb.run)]


@pytest.mark.parametrize("name", SCANNED)
def test_octets_are_read_a_few_times_at_most(name: str) -> None:
    """The scanner reads each octet of hostile input a few times at most, however it is made."""
    bomb = BOMBS[name]
    data = bomb.make(bomb.count // 10)
    spool = CountingSpool(data, 1 << 16)
    scan.scan(spool)
    assert spool.octets <= 6 * len(data) + (8 << 16)


def test_a_hundred_thousand_of_each() -> None:
    """A hundred thousand parts, header fields and nested messages end at a limit, and the message says at which."""
    for name, why in (
        ("parts", "more than 10000 parts"),
        ("headers", "more than 10000 header fields"),
        ("messages in each other", "nested deeper than 100"),
        ("multiparts in each other, without end", "nested deeper than 100"),
    ):
        found = scan.scan(BytesSpool(BOMBS[name].make(100_000)))
        assert why in found.defects


def test_a_header_of_a_hundred_megabytes() -> None:
    """A header far over its limit is not read to its end."""
    spool = CountingSpool(b"A: " + b"x" * 100_000_000 + b"\n\n")
    assert scan.scan(spool).defects[0].startswith("header block over")
    assert spool.octets < 20_000_000


def test_what_is_kept_of_headers_is_limited() -> None:
    """Parts with very many parameters, or very long fields, end at a limit: memory does not grow with the message."""
    for field in (b"Content-Type: a/b" + b";a=b" * 900, b"Content-A: " + b"x" * 100_000):
        data = b'Content-Type: multipart/mixed; boundary="b"\n\n' + (b"--b\n" + field + b"\n\nx\n") * 250
        found = scan.scan(BytesSpool(data))
        assert any(why.startswith("too many") for why in found.defects)
        assert sum(len(part.params) for part in found.parts) < 120_000


class CallsSpool(BytesSpool):
    """A spool that counts how often it is asked."""

    calls = 0

    def read(self, start: int, end: int) -> bytes:
        self.calls += 1
        return super().read(start, end)

    def find(self, needle: bytes, start: int, end: int) -> int:
        self.calls += 1
        return super().find(needle, start, end)


LIMITED = {  # by the number of parts, delimiters, fields: more of these ends the scan
    "close delimiters",
    "empty parts",
    "small multiparts",
    "small multiparts with hyphens",
    "bare CR and hyphens below 98",
}


@pytest.mark.parametrize("name", SCANNER_BOMBS)
def test_the_file_is_not_asked_for_each_line(name: str) -> None:
    """Twice the lines that look like delimiters make hardly more calls to the file, whatever they are."""
    calls = []
    for size in (1_000_000, 2_000_000):
        spool = CallsSpool(SCANNER_BOMBS[name](size))
        scan.scan(spool)
        calls.append(spool.calls)
    further = calls[1] - calls[0]
    assert further <= (100_000 if name in LIMITED else 5000)
    assert calls[1] <= 200_000


# One expression for each line, and no more: where whole lines are compared, or no pattern is made.
EACH = {
    "header fields of parts",
    "delimiter and more, numbered",
    "boundaries that go on from each other",
    "boundaries that end one octet later each",
}


def scan_data(data: bytes) -> object:
    """Scan under the default limits."""
    return scan.scan(BytesSpool(data))


@pytest.mark.parametrize("name", [name for name in SCANNER_BOMBS if name not in LIMITED | EACH])
def test_no_python_is_run_for_each_line(name: str) -> None:
    """What is done for each further line of a hostile message is done in C: Python takes ten times as long."""
    once, twice = SCANNER_BOMBS[name](1_000_000), SCANNER_BOMBS[name](2_000_000)
    scan_data(once)  # imports
    further = lines_run(scan_data, twice) - lines_run(scan_data, once)
    assert further <= 0.1 * (twice.count(b"\n") - once.count(b"\n")) + 1500


def test_delimiters_without_end_end_at_a_limit() -> None:
    """A close delimiter repeated without end ends the scan, as parts and header fields do."""
    found = scan.scan(BytesSpool(SCANNER_BOMBS["close delimiters"](1_000_000)))
    assert found.defects == ("more than 20000 delimiters",)


def test_headers_of_all_parts_together_end_at_a_limit() -> None:
    """Very many fields in very many parts end the scan."""
    for name, why in (
        ("header fields of parts", "too many header fields in all parts"),
        ("folded header fields of parts", "too many octets in the headers of all parts"),
    ):
        few = Limits(parts=10, header=1 << 16)
        assert why in scan.scan(BytesSpool(SCANNER_BOMBS[name](1_000_000)), few).defects


def test_lines_that_look_like_delimiters_hide_none() -> None:
    """A delimiter is found behind thousands of lines of hyphens, in windows of any size."""
    noise = b"--\n-- x\n" * 500 + b"y" * 3000 + b"\n--\n"
    data = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\n' + (noise + b"\n--b \t\n\n") * 3 + b"z\n--b--\n"
    for window in (1 << 20, 4096, 64, 7):
        found = scan.scan(BytesSpool(data, window))
        assert found.defects == ()
        assert [data[part.body.start : part.body.end] for part in found.parts[1:]] == [noise] * 3 + [b"z"]


hyphens = st.text("ab-. ", max_size=5).map(lambda text: f"--{text}".encode())


@given(
    st.lists(st.text("ab-.", min_size=1, max_size=4), min_size=1, max_size=8, unique=True),
    st.lists(hyphens | st.just(b"") | st.just(b"x" * 40), max_size=40),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_lines_are_the_same_one_by_one_and_by_a_pattern(names: list[str], lines: list[bytes], eol: bytes) -> None:
    """Whether lines are looked at one by one, by the thousand or by a pattern, the message has the same parts."""
    head = [
        b'Content-Type: multipart/mixed; boundary="%s"\n\n--%s\n' % (name.encode(), name.encode()) for name in names
    ]
    data = (b"".join(head) + b"\n" + b"\n".join(lines) + b"\n").replace(b"\n", eol)
    expected = scan_data(data)
    with mock.patch.multiple(delimiters, FALSE_ALARMS=0, LINES_FIRST=16):
        assert scan_data(data) == expected
        with mock.patch.multiple(delimiters, LINES_AT_ONCE=32, PASSED_PER_OCTET=0):
            assert scan_data(data) == expected


def test_a_pattern_finds_what_it_is_made_of() -> None:
    """A pattern of delimiters finds each of them, whatever octets it has, and nothing else."""
    words = [b"--" + word for word in (b"(a", b"*", b".x", b"[", b"a b", b"aab", b"ab", b"b|c")]
    expression = delimiters.one_of(words)
    for word in words:
        assert re.fullmatch(expression, word)
        assert not re.fullmatch(expression, word[:-1])
        assert not re.match(expression, word[:-1] + b"!")


def test_patterns_that_would_branch_deep_are_not_made() -> None:
    """Boundaries of which each ends one octet later than the one before make no pattern: a line would take long."""
    assert delimiters.one_of([b"a" * n + b"b" for n in range(delimiters.BRANCHES_DEEP + 1)][::-1])
    assert delimiters.one_of([b"a" * n + b"b" for n in range(delimiters.BRANCHES_DEEP + 2)][::-1]) == b""
