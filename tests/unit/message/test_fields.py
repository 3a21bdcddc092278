"""Fields and parameters, written: read by the standard library, and by ourselves."""

from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import collapse_rfc2231_value
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.message import field_values, fields

# What a file name or a subject may hold: anything printable.
printable = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).filter(str.isprintable)


@given(printable, st.sampled_from([b"\n", b"\r\n"]))
def test_written_parameters_are_read_by_the_stdlib(value: str, eol: bytes) -> None:
    """A file name of any printable characters comes back from the stdlib as it went in."""
    field = b"Content-Disposition: attachment" + fields.parameter_text("filename", value, eol) + eol + eol
    found = message_from_bytes(field).get_param("filename", header="content-disposition")
    assert found is not None
    assert collapse_rfc2231_value(found) == value


@given(printable)
def test_written_parameters_stand_in_short_lines(value: str) -> None:
    """Lines of a written parameter stay within 78 octets (RFC 5322, 2.1.1), but for those of a plain long name."""
    lines = fields.parameter_text("filename", value, b"\n").split(b"\n")
    if value.isascii() and len(value) > 60:
        assert max(map(len, lines)) <= fields.LINE_LIMIT
    else:
        assert max(map(len, lines)) <= 78


@pytest.mark.parametrize("length", [60, 61, 154, 900])
def test_an_ascii_name_is_plain_however_long(length: int) -> None:
    """An ASCII name stands as one quoted string on one line, which every reader takes, RFC 2231 known to it or not."""
    value = ("long name with blanks " * 50)[:length].strip() + ".pdf"
    assert fields.parameter_text("filename", value, b"\n") == f';\n\tfilename="{value}"'.encode("ascii")


@pytest.mark.parametrize("value", ["a" * 5000, '"' * 700])
def test_a_name_longer_than_a_line_may_be_is_split(value: str) -> None:
    """What no line can hold is written in segments, each within 78 octets."""
    lines = fields.parameter_text("filename", value, b"\n").split(b"\n")
    assert max(map(len, lines)) <= 78


@given(printable)
def test_written_parameters_are_read_by_ourselves(value: str) -> None:
    """Nothing that parsers would disagree about is written."""
    assert field_values.parameters(b"attachment" + fields.parameter_text("filename", value, b"\n")).defect == ""


@given(printable.filter(lambda text: not text.isascii()))
def test_segments_are_cut_at_characters(value: str) -> None:
    """Each segment of a name decodes by itself: there are readers that decode them one by one."""
    field = field_values.parameters(b"attachment" + fields.parameter_text("filename", value, b"\n"))
    segments = [unquote_to_bytes(text.removeprefix(b"utf-8''")).decode("utf-8") for _, text in field.pairs]
    assert "".join(segments) == value


@pytest.mark.parametrize("character", ["é", "日", "😀"])
@pytest.mark.parametrize("shift", range(12))
def test_a_character_stays_in_one_segment(character: str, shift: int) -> None:
    """A character of several octets is never cut, wherever the end of a segment falls."""
    text = fields.parameter_text("filename", "x" * shift + character * 40, b"\n")
    for _, segment in field_values.parameters(b"attachment" + text).pairs:
        assert unquote_to_bytes(segment.removeprefix(b"utf-8''")).decode("utf-8").strip("x").strip(character) == ""


@given(printable.filter(lambda text: text == text.strip()), st.sampled_from([b"\n", b"\r\n"]))
def test_encoded_words_are_read_by_the_stdlib(value: str, eol: bytes) -> None:
    """A text of any printable characters comes back from the stdlib's RFC 2047 decoder as it went in."""
    coded = fields.encoded_words(value, eol).replace(eol, b"").decode("ascii")
    assert str(make_header(decode_header(coded))) == value


@given(printable)
def test_encoded_words_are_at_most_75_long(value: str) -> None:
    """No encoded word is longer than RFC 2047, 2 allows."""
    for line in fields.encoded_words(value + "é", b"\n").split(b"\n"):
        assert len(line.strip()) <= 75
        assert line.strip().startswith(b"=?utf-8?b?")
        assert line.endswith(b"?=")


def test_header_injection_is_not_possible() -> None:
    """Line ends in a text do not become line ends of a header."""
    assert b"\n" not in fields.encoded_words("a\r\nBcc: b", b"\n")
