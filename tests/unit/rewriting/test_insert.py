"""Octets inserted into coded bodies: what they decode to is the old with the new in its place."""

import base64
import tempfile
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pfilter.base.limits import Limits
from pfilter.message import codec
from pfilter.message.scan import scan
from pfilter.rewriting import insert, splice
from tests.lib import support
from tests.lib.support import BytesSpool, content, message, scanned

PIECES = (
    b"a",
    b" ",
    b"\t",
    b"=20",
    b"=0A",
    b"=3D",
    b"=\n",
    b" =\n",
    b"= \n",
    b"\n",
    b"word",
    b"x" * 30,
    b"  \n",
    b"=",
    b" \r",
)
NEW = st.builds(lambda before, more, after: before + b"NOTE line\n" + b"more" * more + after,
                st.sampled_from([b"", b"\n"]), st.integers(0, 30), st.sampled_from([b"", b"\n"]))  # fmt: skip


def decoded(data: bytes) -> bytes:
    """Return what the body of a message stands for."""
    root = scanned(data).root
    return b"".join(codec.decode(BytesSpool(data), root.body, root.encoding))


def inserted(data: bytes, place: int, octets: bytes) -> bytes:
    """Return a message with octets behind the first so many of its body."""
    found = scanned(data)
    edits = insert.insert(BytesSpool(data), found.root, place, octets, found.eol)
    assert edits is not None
    return content(splice.apply(BytesSpool(data), edits, tempfile.gettempdir))


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14), octets=NEW, at=st.floats(0, 1))
def test_quoted_printable(pieces: list[bytes], octets: bytes, at: float) -> None:
    """Whatever soft line breaks and blanks there are, only the new octets come in, and nothing is coded anew."""
    data = message(support.part(b"".join(pieces), encoding="quoted-printable"))
    found = scanned(data)
    try:
        old = decoded(data)
    except codec.Undecodable:
        assume(False)
    assume(found.root.body.size)
    place = int(at * len(old))
    result = inserted(data, place, octets)
    assert decoded(result) == old[:place] + octets + old[place:]
    (only,) = insert.insert(BytesSpool(data), found.root, place, octets, found.eol) or []
    assert only.range.size == 0


@given(
    raw=st.binary(max_size=300),
    length=st.sampled_from([4, 60, 62, 76, 77, 999]),
    octets=NEW,
    at=st.floats(0, 1),
    final=st.booleans(),
)
def test_base64(raw: bytes, length: int, octets: bytes, at: float, *, final: bool) -> None:
    """In lines of any length: the old with the new in its place, and two blanks at most behind it."""
    dense = base64.b64encode(raw)
    lines = b"\n".join(dense[start : start + length] for start in range(0, len(dense), length))
    data = message(support.part(lines + (b"\n" if final else b""), encoding="base64"))
    assume(scanned(data).root.body.size)
    place = int(at * len(raw))
    result = decoded(inserted(data, place, octets))
    blanks = result[place + len(octets) : len(result) - (len(raw) - place)]
    assert result == raw[:place] + octets + blanks + raw[place:]
    assert blanks in (b"", b" ", b"  ")


def test_a_blank_before_a_bare_cr_stays_content() -> None:
    """What stands behind a bare CR begins a line of its own, so that the blank before it does not become padding."""
    data = message(support.multipart("mixed", support.part(b"Hello \r=", encoding="quoted-printable")))
    found = scanned(data)
    (edit,) = insert.insert(BytesSpool(data), found.parts[1], 7, b"\n\nNOTE", found.eol) or []
    result = content(splice.apply(BytesSpool(data), [edit], tempfile.gettempdir))
    body = scanned(result).parts[1].body
    assert b"".join(codec.decode(BytesSpool(result), body, b"quoted-printable")) == b"Hello \r\n\nNOTE"


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
@given(
    pieces=st.lists(st.sampled_from([piece for piece in PIECES if b"\r" not in piece]), min_size=1, max_size=40),
    octets=NEW,
    at=st.floats(0, 1),
    window=st.integers(1, 20),
)
@settings(deadline=None)
def test_in_wire_form(encoding: str, pieces: list[bytes], octets: bytes, at: float, window: int) -> None:
    """The same goes to the same place of a body in wire form, however much of it is read at once."""
    text = b"".join(pieces)
    dense = base64.b64encode(text)
    lines = b"\n".join(dense[start : start + 5] for start in range(0, len(dense), 5))
    body = lines if encoding == "base64" else text
    data = message(support.part(body, encoding=encoding))
    data += b"" if data.endswith(b"\n") else b"\n"
    try:
        old = decoded(data)
    except codec.Undecodable:
        assume(False)
    with mock.patch.object(insert, "BLOCK", 16):
        expected = inserted(data, int(at * len(old)), octets)
        spool = support.in_wire_form(data, window)
        found = scan(spool, Limits())
        edits = insert.insert(spool, found.root, int(at * len(old)), octets, found.eol)
    assert edits is not None
    result = splice.apply(spool, edits, tempfile.gettempdir)
    assert b"".join(result.lf_windows(0, result.size)) == expected
