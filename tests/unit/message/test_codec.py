"""Transfer encodings, both ways, in chunks of any size, against the stdlib's."""

import base64
import binascii
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.message import codec
from pfilter.message.model import Range
from tests.lib.support import BytesSpool, without_encoding

octets = st.binary(max_size=500)
sizes = st.integers(1, 80)
eols = st.sampled_from([b"\n", b"\r\n"])
# What text is made of, with all that quoted-printable treats in its own way.
text = st.lists(st.sampled_from([b"a", b"=", b" ", b"\t", b"\n", b".", b"\xc3\xa9", b"x" * 80, b"From "])).map(b"".join)


def chunks(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(octets, sizes, eols)
def test_base64_encoded_is_read_by_the_stdlib(data: bytes, size: int, eol: bytes) -> None:
    """The stdlib decodes what we encode, whatever the chunks."""
    assert base64.b64decode(b"".join(codec.encode_base64(chunks(data, size), eol))) == data


@given(octets, sizes)
def test_base64_does_not_depend_on_chunks(data: bytes, size: int) -> None:
    """The same octets give the same lines of 76, as MIME has it."""
    assert b"".join(codec.encode_base64(chunks(data, size), b"\n")) == base64.encodebytes(data)


@given(octets, sizes, eols)
def test_base64_is_decoded_in_chunks(data: bytes, size: int, eol: bytes) -> None:
    """What the stdlib encodes we decode, whatever the chunks and line ends."""
    coded = base64.encodebytes(data).replace(b"\n", eol)
    assert b"".join(codec.decode_base64(chunks(coded, size))) == data


@given(st.integers(0, 10_000), eols)
def test_base64_size_is_known_before(size: int, eol: bytes) -> None:
    """The size of base64 is foretold to the octet."""
    assert codec.encoded_base64_size(size, eol) == len(b"".join(codec.encode_base64([b"x" * size], eol)))


@given(st.lists(st.sampled_from([b"QUJD", b"QQ==", b"QUI=", b"====", b"A===", b"A-_A", b"AB A", b"=", b"A", b"\xff"])))
def test_both_decoders_of_base64_agree(quads: list[bytes]) -> None:
    """Much is decoded by another library than little: to the same octets, or by neither."""
    coded = b"".join(quads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "LARGE_BASE64", 1 << 40)
        small = outcome_of(coded)
        patch.setattr(codec, "LARGE_BASE64", 0)
        assert outcome_of(coded) == small


def test_much_base64_is_decoded_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has had much of it, in one message or in many, decodes the rest by the quicker library."""
    slowly: list[bytes] = []
    a2b_base64 = binascii.a2b_base64

    def noted(data: bytes, *, strict_mode: bool) -> bytes:
        slowly.append(data)
        return a2b_base64(data, strict_mode=strict_mode)

    monkeypatch.setattr(binascii, "a2b_base64", noted)
    monkeypatch.setattr(codec, "LARGE_BASE64", 100)
    monkeypatch.setattr(codec, "_octets", 0)
    for _ in range(10):
        assert b"".join(codec.decode_base64([b"QUJD" * 10])) == b"ABC" * 10
    assert slowly == [b"QUJD" * 10] * 2


def outcome_of(coded: bytes) -> bytes | None:
    """Return what base64 is decoded to, None where it is none."""
    try:
        return b"".join(codec.decode_base64([coded]))
    except codec.Undecodable:
        return None


def test_large_base64_round_trips() -> None:
    """More than one block of the encoder comes back as it was."""
    data = bytes(range(256)) * 4000
    coded = b"".join(codec.encode_base64([data], b"\r\n"))
    assert len(coded) > codec.LARGE_BASE64
    assert b"".join(codec.decode_base64([coded])) == data


@pytest.mark.parametrize(
    "coded",
    [
        b"QUJD!", b"QUI", b"Q", b"QQ==QUJD", b"QUJD=", b"QU=D", b"=", b"QUJD\x00", b"QUJD-", b"QUJ\xe9", b"QQ==\nQQ==",
        b"QQ===", b"====", b"QUJD====",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_base64_is_strict(coded: bytes, size: int) -> None:
    """Base64 that parsers read in different ways is undecodable, whatever the chunks."""
    with pytest.raises(codec.Undecodable):
        b"".join(codec.decode_base64(chunks(coded, size)))


@given(st.binary(max_size=60), sizes)
def test_base64_accepts_nothing_that_the_stdlib_refuses(coded: bytes, size: int) -> None:
    """Whatever is decoded, the stdlib's strict decoder decodes alike; never another error than Undecodable."""
    try:
        found = b"".join(codec.decode_base64(chunks(coded, size)))
    except codec.Undecodable:
        return
    assert found == binascii.a2b_base64(coded.translate(None, codec.BLANKS), strict_mode=True)


@given(text, sizes, eols)
def test_quoted_printable_encoded_is_read_by_the_stdlib(data: bytes, size: int, eol: bytes) -> None:
    """The stdlib decodes what we encode; line ends become those wanted."""
    coded = b"".join(codec.encode_quoted_printable(chunks(data, size), eol))
    assert quopri.decodestring(coded) == data.replace(b"\n", eol)


@given(text, sizes, eols)
def test_quoted_printable_lines_are_short(data: bytes, size: int, eol: bytes) -> None:
    """No line of quoted-printable is longer than 76, none ends in a blank, and none holds a bare CR or LF."""
    coded = b"".join(codec.encode_quoted_printable(chunks(data, size), eol))
    for line in coded.split(eol):
        assert len(line) <= 76
        assert not line.endswith((b" ", b"\t"))
        assert b"\n" not in line
        assert b"\r" not in line


@given(text, sizes, eols)
def test_quoted_printable_is_decoded_in_chunks(data: bytes, size: int, eol: bytes) -> None:
    """What the stdlib encodes we decode, whatever the chunks."""
    coded = quopri.encodestring(data).replace(b"\n", eol)
    assert b"".join(codec.decode_quoted_printable(chunks(coded, size))) == data.replace(b"\n", eol)


@given(st.integers(0, 40))
def test_a_long_line_of_quoted_printable_is_decoded_in_pieces(start: int) -> None:
    """A line far longer than allowed is decoded right, wherever chunks cut its escapes and soft line breaks."""
    coded = b"x" * start + b"=C3=A9 y" * 30_000
    found = b"".join(codec.decode_quoted_printable(chunks(coded, 40_001)))
    assert found == quopri.decodestring(coded)


@given(st.integers(0, 5), st.sampled_from([b"=", b"= ", b"=\t ", b"=3D ", b" "]))
def test_a_soft_line_break_at_the_end_of_a_piece(start: int, end: bytes) -> None:
    """A soft line break, with blanks behind it, whose line end comes in the next chunk, stays one."""
    first = b"x" * (start + codec.QP_LINE_LIMIT) + end
    found = b"".join(codec.decode_quoted_printable([first, b"\nrest"]))
    assert found == without_encoding(first + b"\nrest", "quoted-printable")


def test_a_long_line_is_encoded_in_pieces() -> None:
    """A text line beyond the limit comes back whole."""
    data = b"a=" * codec.QP_LINE_LIMIT + b"\nend"
    coded = b"".join(codec.encode_quoted_printable(chunks(data, 10_000), b"\n"))
    assert quopri.decodestring(coded) == data


@pytest.mark.parametrize("coded", [b"a=ZZ", b"=4", b"=x\n", b"a==\n", b"= C3", b"=3D=3"])
def test_quoted_printable_is_strict(coded: bytes) -> None:
    """An escape that is none makes the part undecodable."""
    with pytest.raises(codec.Undecodable):
        b"".join(codec.decode_quoted_printable([coded]))


@pytest.mark.parametrize(
    ("coded", "plain"),
    [
        (b"a=\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),
        (b"a=", b"a"),
        (b"=c3=A9", b"\xc3\xa9"),
        (b"a  \nb", b"a\nb"),
        (b"", b""),
    ],
)
def test_quoted_printable_examples(coded: bytes, plain: bytes) -> None:
    """Soft line breaks, also with blanks behind them or at the very end, lower-case escapes, trailing blanks."""
    assert b"".join(codec.decode_quoted_printable([coded])) == plain
    assert without_encoding(coded, "quoted-printable") == plain


@pytest.mark.parametrize("encoding", [b"7bit", b"8bit", b"binary"])
def test_identity_encodings_are_copied(encoding: bytes) -> None:
    """7bit, 8bit and binary stand for themselves."""
    assert b"".join(codec.decode(BytesSpool(b"xx\0\xffyy"), Range(start=2, end=4), encoding)) == b"\0\xff"


def test_an_unknown_encoding_is_undecodable() -> None:
    """Nobody guesses at x-uuencode."""
    with pytest.raises(codec.Undecodable):
        codec.decode(BytesSpool(b"x"), Range(start=0, end=1), b"x-uuencode")


@given(st.integers(60, 90), st.sampled_from([b" ", b"\t"]), eols)
def test_a_blank_at_the_end_of_a_long_line(length: int, blank: bytes, eol: bytes) -> None:
    """An encoded blank at the end of a line never makes it longer than 76 octets, which binascii's does."""
    data = b"x" * length + blank + b"\nend" + b"y" * length + blank
    coded = b"".join(codec.encode_quoted_printable([data], eol))
    assert max(map(len, coded.split(eol))) <= 76
    assert quopri.decodestring(coded) == data.replace(b"\n", eol)


@pytest.mark.parametrize("data", [b"a\rb\n", b"a\r\r\nb", b"\r", b"x" * 90 + b"\r \n"])
def test_a_bare_cr_is_kept(data: bytes) -> None:
    """A bare CR in a text that is encoded stays one, and is no line end."""
    coded = b"".join(codec.encode_quoted_printable([data], b"\r\n"))
    assert quopri.decodestring(coded) == data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("hyphens", [2, 3, 4, 200])
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
@pytest.mark.parametrize("ending", [b"x\nend\n", b"", b"\n"], ids=["more", "end", "end of line"])
def test_no_soft_line_break_makes_a_delimiter(hyphens: int, eol: bytes, ending: bytes) -> None:
    """What looks like a delimiter within a line does not come to stand at the start of one, wherever it is cut."""
    for before in (*range(60, 90), codec.QP_LINE_LIMIT, codec.QP_LINE_LIMIT + 1):
        text = b"a" * before + b"-" * hyphens + ending
        for chunks in ([text], [text[: before + 1], text[before + 1 :]], [text[:before], text[before:]]):
            coded = b"".join(codec.encode_quoted_printable(chunks, eol))
            assert quopri.decodestring(coded).replace(b"\r\n", b"\n") == text
            lines = coded.split(eol)
            assert not [line for line in lines if line.startswith(b"--") or len(line) > 76]
