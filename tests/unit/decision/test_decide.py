"""What happens to each part, and why: tables of measured parts, envelopes and policies; nothing is read."""

from collections.abc import Mapping
from typing import Any

import pytest

from pfilter.decision import decide
from pfilter.decision.plan import AttachmentFacts, Measured, Plan
from pfilter.message.model import Envelope
from tests.lib.support import attachment, message, multipart, part, policy, scanned

OURS = b"sender@example.org"
KIB = 1024
MIXED = scanned(message(multipart("mixed", part(b"x"), attachment(b"1"), attachment(b"2"), attachment(b"3"))))
REPORT = scanned(message(multipart("report", part(b"x"), part(b"x", "message/delivery-status"), attachment(b"x"))))
SETTINGS: dict[str, Mapping[str, Any]] = {"policy": {"own_domains": ["example.org", ".sub.example"]}}


def envelope(sender: bytes = OURS, recipients: int | tuple[bytes, ...] = 1, **named: Any) -> Envelope:
    """Return an envelope."""
    to = tuple(b"r%d@example.net" % n for n in range(recipients)) if isinstance(recipients, int) else recipients
    return Envelope(sender=sender, recipients=to, **named)


def facts(number: int, size: int, *, zip_size: int = -1, wire: int = 0) -> AttachmentFacts:
    """Return the facts about an attachment of so many decoded octets."""
    zip_wire = zip_size * 4 // 3 if zip_size >= 0 else -1
    return AttachmentFacts(
        part=number, name=f"{number}.bin", size=size, wire=wire or size * 4 // 3, zip_size=zip_size, zip_wire=zip_wire,
        why_no_zip="" if zip_size >= 0 else "does not gain",
    )  # fmt: skip


def plan(
    *attachments: AttachmentFacts,
    message: object = MIXED,
    to: Envelope | None = None,
    total: int = 0,
    **sections: Mapping[str, Any],
) -> Plan:
    """Return what is decided about attachments in a message of `total` octets, by default theirs and a little."""
    settings = {name: {**SETTINGS.get(name, {}), **sections.get(name, {})} for name in {*SETTINGS, *sections}}
    size = total or sum(one.wire for one in attachments) + 1000
    return decide.decide(
        message.replace(size=size, lf_size=size),  # type: ignore[attr-defined]
        Measured(attachments=attachments),
        to or envelope(),
        policy(**settings),
    )


def whats(found: Plan) -> list[str]:
    """Return what happens to each part."""
    return [action.what for action in found.actions]


# --- Who is filtered


@pytest.mark.parametrize(
    ("to", "settings", "reason"),
    [
        (envelope(b"a@elsewhere.example"), {}, "foreign sender"),
        (envelope(b"a@sub.example"), {}, "foreign sender"),
        (envelope(b"a@example.org.evil.example"), {}, "foreign sender"),
        (envelope(b"a@notexample.org"), {}, "foreign sender"),
        (envelope(b"root"), {}, "foreign sender"),
        (envelope(b"A@EXAMPLE.ORG"), {}, ""),
        (envelope(b"a@x.sub.example"), {}, ""),
        (envelope(b"a@elsewhere.example", sasl_user="ann"), {}, ""),
        (envelope(b""), {}, ""),
        (envelope(b"a@elsewhere.example"), {"own_domains": ["*"]}, ""),
        (envelope(), {"exempt_senders": ["sender@example.org"]}, "exempt sender"),
        (envelope(), {"exempt_senders": ["SENDER@Example.Org"]}, "exempt sender"),
        (envelope(b"SENDER@Example.Org"), {"exempt_senders": ["sender@example.org"]}, "exempt sender"),
        (envelope(), {"exempt_senders": ["@example.org"]}, "exempt sender"),
        (envelope(), {"exempt_senders": ["@.example.org"]}, ""),
        (envelope(b"a@x.sub.example"), {"exempt_senders": ["@.sub.example"]}, "exempt sender"),
        (envelope(b"a@x.sub.example"), {"exempt_senders": ["@sub.example"]}, ""),
        (envelope(), {"exempt_senders": ["ender@example.org"]}, ""),
        (envelope(b""), {"exempt_senders": ["@example.org"]}, ""),
        (envelope(sasl_user="ann"), {"exempt_sasl_users": ["Ann"]}, "exempt SASL user"),
        (envelope(sasl_user="bob"), {"exempt_sasl_users": ["ann"]}, ""),
        (envelope(), {"exempt_sasl_users": ["ann"]}, ""),
        (envelope(client="192.0.2.7"), {"exempt_networks": ["192.0.2.0/24"]}, "exempt network"),
        (envelope(client="192.0.3.7"), {"exempt_networks": ["192.0.2.0/24"]}, ""),
        (envelope(client="2001:db8::1"), {"exempt_networks": ["192.0.2.0/24", "2001:db8::/32"]}, "exempt network"),
        (envelope(client="unknown"), {"exempt_networks": ["0.0.0.0/0"]}, ""),
        (envelope(client=""), {"exempt_networks": ["0.0.0.0/0"]}, ""),
        (envelope(recipients=(b"a@x.example",)), {"exempt_recipients": ["@x.example"]}, "exempt recipients"),
        (
            envelope(recipients=(b"a@x.example", b"b@x.example")),
            {"exempt_recipients": ["@x.example"]},
            "exempt recipients",
        ),
        (envelope(recipients=(b"a@x.example", b"b@y.example")), {"exempt_recipients": ["@x.example"]}, ""),
    ],
)
def test_who_passes(to: Envelope, settings: dict[str, object], reason: str) -> None:
    """Foreign and exempt mail passes untouched, whatever is in it, for the reason said; all other is looked at."""
    found = plan(facts(2, 2_000_000), to=to, policy=settings)
    assert (found.reason, found.changes) == ((reason, False) if reason else (found.reason, True))


def test_mixed_recipients_are_filtered_for_all() -> None:
    """Where only some recipients are exempt the message is filtered for all, and the log says so."""
    to = envelope(recipients=(b"a@x.example", b"b@y.example", b"c@y.example"))
    found = plan(facts(2, 2_000_000), to=to, policy={"exempt_recipients": ["@x.example"]})
    assert whats(found) == ["link"]
    assert any("1 of 3 recipients are exempt" in remark for remark in found.remarks)


# --- What is never touched


def test_ambiguous_mail_passes() -> None:
    """An ambiguous message is not edited, and its first defect is the reason."""
    ambiguous = MIXED.replace(defects=("more than one content-type", "another"))
    found = plan(facts(2, 2_000_000), message=ambiguous)
    assert (found.reason, found.changes) == ("ambiguous: more than one content-type", False)


def test_protected_mail_passes() -> None:
    """A protected message is not edited, and what protects it is the reason."""
    measured = Measured(attachments=(facts(2, 2_000_000),), protection="signed or encrypted (multipart/signed)")
    found = decide.decide(MIXED, measured, envelope(), policy(**SETTINGS))
    assert (found.reason, found.changes) == ("protected: signed or encrypted (multipart/signed)", False)


def test_foreign_goes_before_ambiguous_before_protected() -> None:
    """The first rule that applies is the reason."""
    measured = Measured(protection="signed")
    ambiguous = MIXED.replace(defects=("odd",))
    foreign = envelope(b"a@b.example")
    assert decide.decide(ambiguous, measured, foreign, policy(**SETTINGS)).reason == "foreign sender"
    assert decide.decide(ambiguous, measured, envelope(), policy(**SETTINGS)).reason == "ambiguous: odd"


def test_kept_parts_are_reported() -> None:
    """Named parts that are left alone are in the plan, with why."""
    measured = Measured(attachments=(facts(3, 2_000_000),), kept=((2, "inline"),))
    found = decide.decide(MIXED, measured, envelope(), policy(**SETTINGS))
    first, second = found.actions
    assert (first.part, first.what, first.reason) == (2, "keep", "inline")
    assert (second.part, second.what) == (3, "link")


def test_without_attachments_nothing_is_done() -> None:
    """A message without attachments says so."""
    assert plan().reason == "no attachments"


@pytest.mark.parametrize(
    ("kept", "word"),
    [
        (((2, "inline"), (3, "inline")), "inline"),
        (((2, "inline"), (3, "calendar")), "no attachments"),
        (((2, "broken: base64"), (3, "broken: uuencode")), "does not decode"),
        (((2, "displayed body"),), "no attachments"),
        ((), "no attachments"),
    ],
)
def test_what_every_file_is_kept_for_is_the_word(kept: tuple[tuple[int, str], ...], word: str) -> None:
    """Where all files stay for one reason, that is why the message passes."""
    found = decide.decide(MIXED, Measured(kept=kept), envelope(), policy(**SETTINGS))
    assert decide.in_a_word(found) == word


# --- The null sender


def test_null_sender_strips() -> None:
    """All attachments of the null sender are taken off, however small."""
    found = plan(facts(2, 5), facts(3, 2_000_000, zip_size=10), to=envelope(b""))
    assert whats(found) == ["strip", "strip"]
    assert {action.event for action in found.actions} == {"unknown sender"}


def test_null_sender_passes_by_policy() -> None:
    """With null_sender = pass mail of the null sender passes untouched."""
    found = plan(facts(2, 2_000_000), to=envelope(b""), policy={"null_sender": "pass"})
    assert (whats(found), found.changes) == (["keep"], False)


def test_reports_of_the_null_sender_pass() -> None:
    """A report keeps what is attached to it."""
    found = plan(facts(3, 2_000_000), to=envelope(b""), message=REPORT)
    assert (found.reason, found.changes) == ("report", False)


# --- Compress, then link


def test_what_gains_is_zipped() -> None:
    """An attachment for which measuring found a zip becomes it, with its gain as the reason."""
    found = plan(facts(2, 100 * KIB, zip_size=20 * KIB))
    assert (whats(found), found.actions[0].reason, found.actions[0].event) == (["zip"], "gains 80 %", "compress")


def test_what_does_not_gain_is_kept() -> None:
    """An attachment without a zip stays, and it is said why."""
    found = plan(facts(2, 100 * KIB))
    assert (whats(found), found.actions[0].reason, found.reason) == (["keep"], "does not gain", "nothing to gain")


@pytest.mark.parametrize(
    ("size", "zip_size", "what"),
    [
        (800 * KIB, -1, "keep"),
        (800 * KIB + 1, -1, "link"),
        (5000 * KIB, 700 * KIB, "zip"),
        (5000 * KIB, 801 * KIB, "link"),
    ],
    ids=["at the limit", "over it", "zip under it", "zip over it"],
)
def test_part_limit(size: int, zip_size: int, what: str) -> None:
    """What is over part_limit after zipping becomes a link, to the octet."""
    found = plan(facts(2, size, zip_size=zip_size), link={"bandwidth_limit": "1 GiB"})
    assert whats(found) == [what]
    if what == "link":
        assert (found.actions[0].event, found.actions[0].size) == ("part size", size)


def test_links_may_be_disabled() -> None:
    """Without links the largest attachments stay."""
    found = plan(facts(2, 1 << 30), to=envelope(recipients=100), link={"enabled": False})
    assert whats(found) == ["keep"]


def test_bandwidth_largest_first_until_the_rest_fits() -> None:
    """Over bandwidth_limit the largest goes first, and no more than needed."""
    sizes = (facts(2, 100 * KIB), facts(3, 300 * KIB), facts(4, 200 * KIB))
    link = {"bandwidth_limit": "1300 KiB"}
    assert whats(plan(*sizes, to=envelope(recipients=1), link=link)) == ["keep", "keep", "keep"]
    assert whats(plan(*sizes, to=envelope(recipients=2), link=link)) == ["keep", "link", "keep"]
    assert whats(plan(*sizes, to=envelope(recipients=6), link=link)) == ["keep", "link", "link"]
    assert whats(plan(*sizes, to=envelope(recipients=50), link=link)) == ["link", "link", "link"]


def test_bandwidth_counts_what_is_left_after_zips_and_links() -> None:
    """What became a zip, or a link for its own size, relieves the bandwidth."""
    big, csv = facts(2, 900 * KIB), facts(3, 400 * KIB, zip_size=20 * KIB)
    found = plan(big, csv, to=envelope(recipients=10))
    assert whats(found) == ["link", "zip"]


def test_bandwidth_sorts_by_size_after_zipping() -> None:
    """Largest means largest in the result."""
    csv, pdf = facts(2, 700 * KIB, zip_size=30 * KIB), facts(3, 200 * KIB)
    found = plan(csv, pdf, to=envelope(recipients=10))
    assert whats(found) == ["zip", "link"]


def test_bandwidth_links_the_zip_too_where_needed() -> None:
    """A zip that is still too much becomes a link to the original."""
    csv = facts(2, 700 * KIB, zip_size=300 * KIB)
    found = plan(csv, to=envelope(recipients=10))
    assert (whats(found), found.actions[0].size) == (["link"], 700 * KIB)


def test_bandwidth_counts_the_notice() -> None:
    """What the notice itself adds counts: where the rest fits but for it, another attachment goes."""
    sizes = (facts(2, 80_000, wire=100_000), facts(3, 40_000, wire=50_000))
    assert whats(plan(*sizes, total=151_000, link={"bandwidth_limit": 60_000})) == ["link", "keep"]
    assert whats(plan(*sizes, total=151_000, link={"bandwidth_limit": 53_000})) == ["link", "link"]


def test_bandwidth_spares_the_small() -> None:
    """An attachment below min_size stays, however many recipients there are."""
    found = plan(facts(2, 20 * KIB - 1), facts(3, 20 * KIB), to=envelope(recipients=1000))
    assert whats(found) == ["keep", "link"]


def test_part_limit_does_not_ask_for_min_size() -> None:
    """A part over part_limit becomes a link even below min_size."""
    found = plan(facts(2, 11), link={"part_limit": 10, "min_size": "20 KiB"})
    assert whats(found) == ["link"]


def test_every_action_has_a_reason() -> None:
    """Log and explain can say why, whatever was decided."""
    found = plan(facts(2, 900 * KIB), facts(3, 300 * KIB), facts(4, 10), to=envelope(recipients=30))
    assert whats(found) == ["link", "link", "keep"]
    assert all(action.reason for action in found.actions)


def test_own_dkim_signature_is_remarked() -> None:
    """Where a change breaks a signature of our own domain, the log says so."""
    signed = scanned(message(multipart("mixed", part(b"x"), attachment(b"1")), "DKIM-Signature: d=example.org; b=x\n"))
    found = plan(facts(2, 2_000_000), message=signed)
    assert any("DKIM" in remark for remark in found.remarks)


def test_base_url_is_no_matter_of_decisions() -> None:
    """The same is decided wherever files will lie."""
    measured = Measured(attachments=(facts(2, 2_000_000),))
    other = policy("/elsewhere", **SETTINGS).replace(store_base_url="https://other.example")
    assert decide.decide(MIXED, measured, envelope(), other) == decide.decide(
        MIXED, measured, envelope(), policy(**SETTINGS)
    )


# --- Other forms of the body


def with_form(kind: str) -> object:
    """Return a message that has another form of its body."""
    forms = multipart("alternative", part(b"x"), part(b"x", kind), part(b"x", "text/html"), boundary="i")
    return scanned(message(multipart("mixed", forms, attachment(b"1"), attachment(b"2"))))


def test_a_form_that_cannot_tell_is_the_reason() -> None:
    """What would become a link stays for a form of the body without a notice, and what gains by zip is zipped."""
    found = plan(facts(5, 900 * KIB), facts(6, 300 * KIB, zip_size=10 * KIB), message=with_form("text/enriched"))
    assert whats(found) == ["keep", "zip"]
    assert found.actions[0].reason == "a form of the body can't hold a notice (text/enriched)"
    alone = plan(facts(5, 900 * KIB), message=with_form("text/enriched"))
    assert (alone.reason, alone.changes) == ("a form of the body can't hold a notice (text/enriched)", False)


def test_a_form_to_do_without_is_dropped() -> None:
    """A form that readers can do without is an action of its own, with its reason."""
    found = plan(facts(5, 900 * KIB), message=with_form("text/x-amp-html"))
    assert [(action.part, action.what) for action in found.actions] == [(3, "drop"), (5, "link")]
    assert found.actions[0].reason == "can't hold a notice"
    assert found.remarks == ("text/x-amp-html removed: it can't hold a notice",)
