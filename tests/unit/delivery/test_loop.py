"""Loops: the newest Received field of a message."""

import pytest

from pfilter.delivery import loop
from tests.lib.support import BytesSpool

FIELD = b"Received: by mx (Postfix, from userid 990)\n\tid 4F2A; now\n"


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("before", "found"),
    [(b"", True), (b"X-A: b\n", True), (b"Subject: received: no\n", True), (b"\n", False), (b"A: b\n\n", False)],
)
def test_the_newest_received_field(before: bytes, found: bool, eol: bytes) -> None:
    """The first Received field with its continuations, found in the header alone."""
    data = (before + FIELD + b"Received: older\n\nbody\n").replace(b"\n", eol)
    expected = FIELD.replace(b"\n", eol) if found else b""
    assert loop.newest_received(BytesSpool(data)) == expected


def test_without_a_received_field() -> None:
    """A message without any has none."""
    assert loop.newest_received(BytesSpool(b"A: b\n\nReceived: x\n")) == b""
    assert loop.newest_received(BytesSpool(b"")) == b""


def test_a_field_without_an_end() -> None:
    """A message that is nothing but a Received field is understood."""
    assert loop.newest_received(BytesSpool(b"Received: x")) == b"Received: x"
