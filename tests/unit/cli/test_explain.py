"""`pfilter explain`: what would happen to a message, and why."""

import json

import pytest

from tests.lib.command import pfilter
from tests.lib.support import Gateway, attachment, message, multipart, noise, part, table

MIXED = message(
    multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin"), attachment(table(), "list.csv"))
)


PLAIN = message(part(b"Hello\n"))


def test_explain_says_what_would_happen_and_does_nothing(gateway: Gateway) -> None:
    """Explain shows each part, what would happen to it and why, and leaves no trace."""
    done = pfilter("explain", "--config", str(gateway.config), data=MIXED)
    text = done.stdout.decode("utf-8")
    assert done.returncode == 0
    for word in (
        "Figures",
        "big.bin",
        "becomes a link",
        "over part_limit of 800 KiB",
        "list.csv",
        "is zipped",
        "gains",
        "body",
    ):
        assert word in text
    assert [path.name for path in gateway.store.rglob("*") if path.is_file()] == []


def test_explain_json(gateway: Gateway) -> None:
    """--json prints the same as data."""
    told = json.loads(pfilter("explain", "--json", "--config", str(gateway.config), data=MIXED).stdout)
    assert [(p["section"], p["type"], p["name"], p["action"]) for p in told["parts"]] == [
        ("", "multipart/mixed", "", ""),
        ("1", "text/plain", "", ""),
        ("2", "application/octet-stream", "big.bin", "link"),
        ("3", "application/octet-stream", "list.csv", "zip"),
    ]
    assert told["changes"] is True
    assert told["subject"] == "Figures"


@pytest.mark.parametrize(
    ("data", "sender", "reason"),
    [
        (PLAIN, "a@example.org", "no attachments"),
        (MIXED, "a@elsewhere.example", "foreign sender"),
        (MIXED.replace(b"MIME-Version", b"no field\nMIME-Version"), "a@example.org", "ambiguous: header ended"),
    ],
)
def test_explain_says_why_nothing_would_happen(gateway: Gateway, data: bytes, sender: str, reason: str) -> None:
    """Explain gives the reason why a message passes."""
    text = pfilter("explain", "--config", str(gateway.config), "--sender", sender, data=data).stdout.decode("utf-8")
    assert f"would pass untouched: {reason}" in text


def test_explain_warns_of_a_signature_that_would_break(gateway: Gateway) -> None:
    """Explain says that a signature of our own would break, and what to do, as a warning."""
    data = b"DKIM-Signature: v=1; d=example.org; b=x\n" + MIXED
    text = pfilter("explain", "--config", str(gateway.config), "--sender", "a@example.org", data=data).stdout.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("Warning: ")]
    assert "sign after this filter" in line


def test_explain_says_that_it_observes(gateway: Gateway) -> None:
    """In observe mode explain says what would be done, and that it is not done."""
    gateway.configure(policy='mode = "observe"')
    assert b"observe mode" in pfilter("explain", "--config", str(gateway.config), data=MIXED).stdout


def test_explain_shows_no_controls(gateway: Gateway) -> None:
    """Nothing in a message moves the cursor of who looks at it."""
    data = MIXED.replace(b"Figures", b"=?utf-8?q?a=1B[31mb=0Ac?=").replace(b"big.bin", b"=?utf-8?q?x=1B[1m=0Ay.bin?=")
    for hostile in (data, MIXED.replace(b"Figures", b"a\x1b[31mb\xc2\x9bc")):
        text = pfilter("explain", "--config", str(gateway.config), data=hostile).stdout.decode("utf-8")
        assert all(c.isprintable() or c == "\n" for c in text)
