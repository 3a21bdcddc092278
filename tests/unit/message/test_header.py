"""Header blocks, fields and parameters, read."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.message import field_values, header
from tests.lib.support import BytesSpool


def block(data: bytes, *, limit: int = 1 << 20, delimiter: bytes = b"--none") -> header.Block:
    """Return the header block at the start of data."""
    return header.read_block(BytesSpool(data), 0, len(data), limit, lambda line: line.strip() == delimiter)


def names(data: bytes) -> list[bytes]:
    """Return the names of the fields of a block."""
    return [field.name for field in block(data).fields]


def test_fields_keep_their_octets() -> None:
    """The ranges of the fields cover the block, and values are raw: folded, with their line ends."""
    data = b"To: a\r\n  b\r\nX-Y:\tz\r\n\r\nbody"
    found = block(data)
    assert [data[f.range.start : f.range.end] for f in found.fields] == [b"To: a\r\n  b\r\n", b"X-Y:\tz\r\n"]
    assert [f.value for f in found.fields] == [b" a\r\n  b\r\n", b"\tz\r\n"]


def test_names_are_lower_case() -> None:
    """Field names compare without regard to case."""
    assert names(b"CONTENT-Type: a\n\n") == [b"content-type"]


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_the_empty_line_belongs_to_neither(eol: bytes) -> None:
    """The block ends before the empty line, the body starts behind it."""
    found = block(b"A: b" + eol + eol + b"body")
    assert found.range.end == len(b"A: b" + eol)
    assert found.body_start == len(b"A: b" + eol + eol)
    assert found.defect == ""


def test_an_empty_header_is_sound() -> None:
    """A body may start at once behind an empty line."""
    found = block(b"\nbody")
    assert (found.fields, found.body_start, found.defect) == ((), 1, "")


def test_a_delimiter_ends_the_header() -> None:
    """A delimiter line of an enclosing multipart ends a header without an empty line."""
    found = block(b"A: b\n--x\nC: d\n\n", delimiter=b"--x")
    assert [field.name for field in found.fields] == [b"a"]
    assert found.body_start == len(b"A: b\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"A: b\nno field\n\nbody", "not a field"),
        (b" folded\n\nbody", "continuation"),
        (b"A: b\n \t\nC: d\n\n", "blank continuation"),
        (b"A : b\n\n", "blank before the colon"),
        (b"A: b\0c\n\n", "NUL"),
        (b"A: b\rc\n\n", "bare CR"),
        (b"A: b\n\r\r\nbody", "bare CR"),
        (b"A: b", "without a line end"),
    ],
)
def test_what_parsers_disagree_about_is_a_defect(data: bytes, why: str) -> None:
    """Where parsers disagree on what is header and what is body, the block says so."""
    assert why in block(data).defect


@given(
    st.lists(st.sampled_from([b"A: b", b"A : b", b" c", b"\td", b" ", b"\t\r", b"\r", b"\r x", b"", b"no field"])),
    st.booleans(),
)
def test_folds_passed_at_once_are_those_passed_one_by_one(lines: list[bytes], ends: bool) -> None:
    """Where very many lines continue fields, they are passed at once: the block is the same."""
    data = b"A: b\n" + b"\n".join(lines) + b"\n" * ends
    with mock.patch.object(header, "FOLDS_FEW", 1 << 30):
        expected = block(data)
    for few in (0, 1):
        with mock.patch.object(header, "FOLDS_FEW", few):
            assert block(data) == expected


def test_a_line_that_is_no_field_starts_the_body() -> None:
    """As for Postfix and the stdlib, a line that is no field ends the header, and is body."""
    data = b"A: b\nno field\n\nbody"
    assert data[block(data).body_start :] == b"no field\n\nbody"


def test_a_block_over_the_limit_is_not_read_further() -> None:
    """A header block over its limit is a defect, whatever else is in it."""
    assert block(b"A: " + b"x" * 2000 + b"\n\n", limit=1000).defect == "header block over 1000 octets"


def test_a_block_of_very_many_fields_is_not_read_further() -> None:
    """A header of more fields than any mail has is a defect; memory does not grow with it."""
    found = block(b"A: b\n" * (header.FIELD_LIMIT + 5) + b"\n")
    assert "header fields" in found.defect
    assert found.fields == ()
    assert block(b"A: b\n" * header.FIELD_LIMIT + b"\n").defect == ""


def test_a_block_at_the_limit_is_sound() -> None:
    """A header block within its limit is read whole, across steps of reading."""
    data = b"A: " + b"x" * 100_000 + b"\n\n"
    assert block(data, limit=200_000).defect == ""


@pytest.mark.parametrize(
    ("value", "token", "pairs"),
    [
        (b" text/plain", b"text/plain", ()),
        (b" TEXT/Plain; Charset=UTF-8", b"text/plain", ((b"charset", b"UTF-8"),)),
        (b' a/b; name="x;y"', b"a/b", ((b"name", b"x;y"),)),
        (b' a/b; name="x\\"y\\\\"', b"a/b", ((b"name", b'x"y\\'),)),
        (b" a/b;\r\n\tname=c;\r\n d=e;", b"a/b", ((b"name", b"c"), (b"d", b"e"))),
        (b" a/b (comment; no=thing); c (x) = d (y)", b"a/b", ((b"c", b"d"),)),
        (b" a/b; name*0*=utf-8''%C3; name*1=x", b"a/b", ((b"name*0*", b"utf-8''%C3"), (b"name*1", b"x"))),
        (b' a/b; boundary="with space (no comment)"', b"a/b", ((b"boundary", b"with space (no comment)"),)),
        (b" a/b; charset=us-ascii (Plain text)", b"a/b", ((b"charset", b"us-ascii"),)),
    ],
)
def test_parameters(value: bytes, token: bytes, pairs: tuple[tuple[bytes, bytes], ...]) -> None:
    """Parameters come apart as RFC 2045, 5.1 has it: quotes, comments and folding understood."""
    found = field_values.parameters(value)
    assert (found.token, found.pairs, found.defect) == (token, pairs, "")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b' a/b; name="x', "quotes or comments"),
        (b" a/b (x; name=y", "quotes or comments"),
        (b' a/b; name="x" y', "text after"),
        (b" a/b; boundary=x; boundary=y", "conflicting parameters boundary"),
        (b" a/b; name", "without a value"),
    ],
)
def test_ambiguous_parameters_are_a_defect(value: bytes, why: str) -> None:
    """What parsers read in different ways is said."""
    assert why in field_values.parameters(value).defect


def test_the_same_parameter_twice_with_one_value_is_sound() -> None:
    """A parameter repeated with the same value leaves no room for disagreement."""
    assert field_values.parameters(b" a/b; name=x; name=x").defect == ""


@given(st.binary(max_size=200))
def test_parameters_never_raise(value: bytes) -> None:
    """Whatever octets stand in a field, reading its parameters gives a value."""
    assert isinstance(field_values.parameters(value).token, bytes)


@given(st.binary(max_size=300))
def test_blocks_never_raise(data: bytes) -> None:
    """Whatever octets a message starts with, there is a block, within them."""
    found = block(data)
    assert 0 <= found.range.end <= found.body_start <= len(data)
