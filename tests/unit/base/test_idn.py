# ruff: noqa: RUF001  # characters that look alike are what this is about
"""A domain is one domain, however it is written: in every key, rule and notice that compares domains."""

import pytest

from pfilter.base import idn
from pfilter.decision import exempt
from pfilter.delivery import notification
from pfilter.message.model import Envelope
from pfilter.notices import language
from tests.lib import support
from tests.lib.support import attachment, message, multipart, part, scanned

U_LABEL = "straße.example"
A_LABEL = "xn--strae-oqa.example"
WAYS = [U_LABEL, A_LABEL, "STRAßE.Example", "XN--STRAE-OQA.example", "straße。example", "ｓｔｒａße．ｅｘａｍｐｌｅ"]
OTHERS = ["x＠straße.example", "strasse.example", "strae.example", "xn--strae-oqa.example.org", "xn--.example"]


@pytest.mark.parametrize("written", WAYS)
def test_one_form(written: str) -> None:
    """U-label, A-label, upper case, full-width letters and dots are one domain, whose form is the A-label."""
    assert idn.domain(written.encode("utf-8")) == A_LABEL.encode("ascii")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("EXAMPLE.Org", "example.org"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # decomposed
        ("☕.example", "xn--53h.example"),  # not IDNA 2008, and there
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("ＥＸＡＭＰＬＥ.org", "example.org"),
        (".straße.example", ".xn--strae-oqa.example"),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
    ],
)
def test_forms(written: str, form: str) -> None:
    """The form is that of UTS #46, non-transitional, as in Postfix."""
    assert idn.domain(written.encode("utf-8")) == form.encode("ascii")


@pytest.mark.parametrize(
    "octets",
    [b"", b".", b"\xff.Example", b"\xed\xa0\x80.X", "\u2028.example".encode(), "ä".encode() * 5000, b"XN--\xc3\xa4"],
)
def test_what_cannot_be_converted(octets: bytes) -> None:
    """Octets that are no domain compare as they are, ASCII in lower case; nothing is ever raised."""
    assert idn.domain(octets).isascii() or idn.domain(octets) == octets.lower()
    assert idn.address(b"A@" + octets).startswith(b"a@")


def test_local_parts() -> None:
    """Case does not count in a local part either, in whatever script and form."""
    same = {idn.address(local.encode("utf-8")) for local in ("JÜRGEN@a.b", "jürgen@a.b", "Ju\u0308rgen@A.B")}
    assert same == {"jürgen@a.b".encode()}
    assert idn.address(b"\xff\xe4A@B") == b"\xff\xe4a@b"


def outcome(sender: str, recipients: tuple[str, ...] = ("x@y.example",), **policy: object) -> str:
    """Return why an envelope's mail passes."""
    addresses = tuple(address.encode("utf-8") for address in recipients)
    envelope = Envelope(sender=sender.encode("utf-8"), recipients=addresses)
    return exempt.why_untouched(envelope, support.policy(policy=policy))


@pytest.mark.parametrize("configured", [U_LABEL, A_LABEL, "STRASSE.example".replace("SS", "ß")])
@pytest.mark.parametrize("written", WAYS)
def test_every_rule_takes_it_for_one(configured: str, written: str) -> None:
    """Own domains and exemptions match whatever way mail and configuration write the domain."""
    sender = f"a@{written}"
    assert outcome(sender, own_domains=[configured]) == ""
    assert outcome(f"a@mail.{written}", own_domains=[f".{configured}"]) == ""
    assert outcome(sender, exempt_senders=[f"@{configured}"]) == "exempt sender"
    assert outcome(sender, exempt_senders=[f"A@{configured}"]) == "exempt sender"
    assert outcome("b@x.example", (sender,), exempt_recipients=[f"@{configured}"]) == "exempt recipients"
    assert outcome("b@x.example", (f"a@sub.{written}",), exempt_recipients=[f"@.{configured}"]) == "exempt recipients"


@pytest.mark.parametrize("written", OTHERS)
def test_another_domain_is_another(written: str) -> None:
    """What only looks alike is foreign, and not exempt."""
    assert outcome(f"a@{written}", own_domains=[U_LABEL]) == "foreign sender"
    assert outcome(f"a@{written}", own_domains=["*"], exempt_senders=[f"@{U_LABEL}"]) == ""


def test_a_full_width_at_sign_is_none() -> None:
    """No character becomes an @ in front of an exempt domain."""
    assert outcome("a@x＠example.org", own_domains=["*"], exempt_senders=["@example.org"]) == ""


@pytest.mark.parametrize("configured", [U_LABEL, A_LABEL])
@pytest.mark.parametrize("written", WAYS)
def test_notices(configured: str, written: str) -> None:
    """The language of notices, and whether a sender is told, do not depend on how the domain is written."""
    policy = support.policy(
        policy={"own_domains": [configured]}, notice={"languages": {configured: "de"}}, notify={"sender": True}
    )
    assert language.of(f"a@{written}", policy).name == "de"
    found = scanned(message(part(b"x")))
    assert notification.why_not(found, Envelope(sender=f"a@{written}".encode(), recipients=(b"x@y",)), policy) == ""


@pytest.mark.parametrize("configured", [[U_LABEL], [A_LABEL], ["*"]])
@pytest.mark.parametrize("written", WAYS[:4])
def test_signatures(configured: list[str], written: str, tmp_path: object) -> None:
    """A DKIM signature of our own domain is ours in either form (RFC 6376 and RFC 8616), any other protects."""
    data = message(multipart("mixed", part(b"Hi\n"), attachment(b"x")), f"DKIM-Signature: v=1; d={written}; b=x\n")
    policy = support.link_everything(str(tmp_path), policy={"own_domains": configured, "mode": "observe"})
    envelope = support.ENVELOPE.replace(sender=f"a@{U_LABEL}".encode())
    assert "would" in support.process(data, policy, envelope).outcome.line()
    foreign = data.replace(f"d={written}".encode(), b"d=strasse.example")
    assert support.process(foreign, policy, envelope).outcome.line() == "passed (signed)"


def test_the_notification_is_from_a_domain_in_ascii() -> None:
    """The author of a notification is an address that needs no SMTPUTF8, where the domain is all that would."""
    from tests.unit.delivery.test_notification import composed

    made = composed(sender=f"a@{U_LABEL}".encode())
    assert support.parsed(made)["From"] == f"postmaster@{A_LABEL}"
