"""What is found out about attachments before anything is decided."""

import io
import tempfile
import zipfile
from collections.abc import Iterator

import pytest

from pfilter.config.settings import Settings
from pfilter.decision.measure import measure
from pfilter.decision.plan import Measured
from pfilter.message.model import Envelope
from pfilter.message.references import REFERENCE_LIMIT
from pfilter.message.scratch import Scratch
from tests.lib import support
from tests.lib.support import ENVELOPE, BytesSpool, attachment, content, message, multipart, noise, part, scanned, table

TEXT = part(b"Hello\n")
DEFAULTS = support.policy(link={"part_limit": "100 KiB"})


@pytest.fixture
def materials() -> "Iterator[Scratch]":
    """Return materials, closed at the end."""
    made = Scratch(tempfile.gettempdir)
    yield made
    made.close()


def measured(data: bytes, materials: Scratch, policy: Settings = DEFAULTS, envelope: Envelope = ENVELOPE) -> Measured:
    """Return what is found out about a message."""
    return measure(BytesSpool(data), scanned(data), envelope, policy, materials)


def mixed(*parts: bytes, fields: str = "") -> bytes:
    """Return a message with a text and parts."""
    return message(multipart("mixed", TEXT, *parts), fields)


def test_what_gains_is_zipped(materials: Scratch) -> None:
    """A table becomes a zip of its content, whose size is known."""
    (facts,) = measured(mixed(attachment(table(), "list.csv", "text/csv")), materials).attachments
    data = content(materials.zips[2])
    assert (facts.size, facts.zip_size) == (len(table()), len(data))
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert (found.namelist(), found.read("list.csv")) == (["list.csv"], table())


def test_decoded_sizes_are_exact_where_they_matter(materials: Scratch) -> None:
    """What could become a link is decoded, and its size is that of the file."""
    (facts,) = measured(mixed(attachment(noise(150_001), "a.bin")), materials).attachments
    assert facts.size == 150_001
    assert content(materials.decoded[2]) == noise(150_001)


@pytest.mark.parametrize(
    ("entity", "why"),
    [
        (attachment(noise(50_000), "a.bin"), "does not gain"),
        (attachment(table(100), "a.csv"), "small"),
        (attachment(table(), "a.xml"), "compress.skip *.xml"),
        (attachment(table(), "A.XML"), "compress.skip *.xml"),
        (attachment(table(), "a.p7b"), "compress.skip *.p7?"),
        (attachment(table(), "A", "text/xml"), "compress.skip *.xml"),
        (attachment(table(), "data.txt", "text/xml"), "compress.skip */xml"),
        (attachment(table(), "data.txt", "application/xml"), "compress.skip */xml"),
        (attachment(table(), "invoice.bin", "application/x-ubl+xml"), "compress.skip application/*+xml"),
        (attachment(table(), "Jane", "text/vcard"), "compress.skip *.vcf"),
        (attachment(table(), "Jane.txt", "text/x-vcard"), "compress.skip text/*vcard"),
        (attachment(table(), "orders.txt", "application/EDIFACT"), "compress.skip application/edi*"),
        (attachment(table(), "orders.txt", "application/edi-x12"), "compress.skip application/edi*"),
        (part(table(), 'message/rfc822; name="Fwd: the bridge.msg"'), "compress.skip message/*"),
        (part(table(), "message/rfc822", disposition='attachment; filename="Fwd: the bridge"'), "compress.skip *.eml"),
        (part(table(), "message/global", disposition="attachment"), "compress.skip message/*"),
        (attachment(table(), "Jane.txt", "text/directory; profile=vCard"), "compress.skip text/directory"),
        (attachment(table(), "chain.bin", "application/x-pkcs7-certificates"), "compress.skip application/*pkcs7*"),
        (attachment(table(), "a.jpg", "image/jpeg"), "compressed already"),
        (attachment(table(), "a.zip", "application/zip"), "compressed already"),
        (attachment(table(), "a.mp4", "video/mp4"), "compressed already"),
        (attachment(table(), "a.zip", "application/x-zip-compressed"), "compressed already"),
        (part(table(), "text/csv", encoding="8bit", disposition='inline; filename="a.csv"'), "inline text"),
    ],
)
def test_what_is_not_zipped(entity: bytes, why: str, materials: Scratch) -> None:
    """What is small, skipped, compressed already or shown inline is not zipped, and it is said why."""
    (facts,) = measured(mixed(entity), materials).attachments
    assert (facts.zip_size, facts.why_no_zip) == (-1, why)


@pytest.mark.parametrize(
    "entity",
    [
        part(table(), 'text/plain; name="letter.txt"'),
        part(table(), "text/plain", disposition='inline; filename="letter.txt"'),
        part(table(), 'text/html; name="letter.html"'),
        multipart("mixed", part(table(), "text/plain", disposition='inline; filename="letter.txt"')),
    ],
    ids=["name", "inline", "html", "alone in a multipart"],
)
def test_a_letter_with_a_name_is_neither_zipped_nor_linked(entity: bytes, materials: Scratch) -> None:
    """The only text of a message stays whatever its size: else the recipient would get no letter."""
    few = support.policy(link={"part_limit": "1 KiB", "bandwidth_limit": "2 KiB", "min_size": 1})
    found = measured(message(entity), materials, few)
    assert (found.attachments, [reason for _, reason in found.kept]) == ((), ["displayed body"])


def test_a_named_root_that_is_an_attachment_is_one(materials: Scratch) -> None:
    """A message that is an attachment and nothing else has no letter to lose."""
    data = message(part(table(), "text/plain", disposition='attachment; filename="list.txt"'))
    assert [facts.name for facts in measured(data, materials).attachments] == ["list.txt"]


@pytest.mark.parametrize(
    ("skip", "zipped"),
    [
        ([], True),
        (["*.csv"], False),
        (["text/csv"], False),
        (["TEXT/*"], False),
        (["csv"], True),
        (["text*csv"], True),
        (["*"], False),
        (["*/*"], False),
    ],
)
def test_rules_of_skip_have_a_slash_where_they_are_of_types(skip: list[str], zipped: bool, materials: Scratch) -> None:
    """A rule with a slash is one of media types, any other one of file names; case does not matter."""
    settings = support.policy(compress={"skip": skip})
    (facts,) = measured(mixed(attachment(table(), "list.csv", "text/csv")), materials, settings).attachments
    assert (facts.zip_size > 0) is zipped


@pytest.mark.parametrize(
    ("entity", "why"),
    [
        (attachment(table(), "winmail.dat"), "TNEF"),
        (attachment(table(), "WINMAIL.DAT", "application/x-odd"), "TNEF"),
        (attachment(table(), "winmail(1).dat"), "TNEF"),
        (attachment(table(), "other.dat", "application/ms-tnef"), "TNEF"),
        (part(table(), "application/vnd.ms-tnef", disposition="attachment"), "TNEF"),
        (attachment(table(), "=?utf-8?q?winmail=2Edat?="), "TNEF"),
        (attachment(table(), "invite.ics", "application/ics"), "calendar"),
        (attachment(table(), "invite.ics", "text/calendar; method=REQUEST"), "calendar"),
        (attachment(table(), "invite.ics"), "calendar"),
        (attachment(table(), "Invite.ICS", "text/plain"), "calendar"),
        (attachment(table(), "=?utf-8?q?R=C3=A9union=2Eics?="), "calendar"),
    ],
)
def test_what_is_never_linked_whatever_its_type_is_called(entity: bytes, why: str, materials: Scratch) -> None:
    """An invitation works only as a part of the mail, and TNEF holds the body itself: they stay whole, however big."""
    found = measured(mixed(entity), materials, support.policy(link={"part_limit": "1 KiB"}))
    assert (found.attachments, found.kept) == ((), ((2, why),))


def test_a_name_made_of_the_type_is_that_of_zip_and_member(materials: Scratch) -> None:
    """A table called List is List.csv in the zip."""
    (facts,) = measured(mixed(attachment(table(), "List", "text/csv")), materials).attachments
    with zipfile.ZipFile(io.BytesIO(content(materials.zips[2]))) as found:
        assert (facts.name, found.namelist()) == ("List.csv", ["List.csv"])


def test_compress_may_be_disabled(materials: Scratch) -> None:
    """With compress disabled nothing is zipped."""
    (facts,) = measured(
        mixed(attachment(table(), "a.csv")), materials, support.policy(compress={"enabled": False})
    ).attachments
    assert facts.zip_size == -1


def test_min_gain_is_kept(materials: Scratch) -> None:
    """A zip that gains less than min_gain is none."""
    half = noise(30_000) + bytes(30_000)  # deflates to half
    data = mixed(attachment(half, "a.bin"))
    assert measured(data, materials, support.policy(compress={"min_gain": "49%"})).attachments[0].zip_size > 0
    other = Scratch(tempfile.gettempdir)
    assert measured(data, other, support.policy(compress={"min_gain": "51%"})).attachments[0].zip_size == -1
    other.close()


def test_a_zip_over_part_limit_is_given_up(materials: Scratch) -> None:
    """What would become a link all the same is not zipped to its end."""
    half = noise(150_000) + bytes(150_000)
    (facts,) = measured(mixed(attachment(half, "a.bin")), materials).attachments
    assert (facts.zip_size, facts.why_no_zip) == (-1, "zip over part_limit")


def test_raw_text_whose_zip_is_larger_in_the_message_stays(materials: Scratch) -> None:
    """A zip that gains nothing once it is in base64 is none."""
    settings = support.policy(compress={"min_size": 1, "min_gain": "0%"})
    text = support.encoded(noise(3000))  # six bits an octet, as base64 has them
    entity = part(text, "text/x-log", encoding="7bit", disposition="attachment; filename=a.log")
    (facts,) = measured(mixed(entity), materials, settings).attachments
    assert facts.why_no_zip.startswith("does not gain")


def test_images_that_the_html_shows_are_inline(materials: Scratch) -> None:
    """An image that the HTML refers to by cid: or Content-Location is inline, another is an attachment."""
    html = part(b'<img src="cid:one@x"><img src="cid:th%72ee"><img src="http://x.example/b.png">', "text/html")
    images = [
        part(b"x", f'image/png; name="{n}.png"', fields=field)
        for n, field in enumerate(
            [
                "Content-ID: <one@x>\n",
                "Content-ID: <two@x>\n",
                "Content-ID: <three>\n",
                "Content-Location: http://x.example/b.png\n",
                "Content-Location: http://x.example/c.png\n",
                "",
            ]
        )
    ]
    found = measured(message(multipart("mixed", html, *images)), materials)
    assert [facts.part for facts in found.attachments] == [3, 6, 7]
    assert found.kept == ((2, "inline"), (4, "inline"), (5, "inline"))


@pytest.mark.parametrize(
    ("html", "content_id"),
    [
        (b'<img src="cid:a&amp;b">', "<a&b>"),
        (b"<img src='cid:a&#38;b'>", "<a&b>"),
        (b"<img src=cid:a&#x26;b>", "<a&b>"),
        (b'<img src="cid:a%26b">', "<a&b>"),
        (b'<img src="cid:a&b">', "<a&b>"),
        (b'<img src="cid:a&amp;amp;b">', "<a&amp;b>"),
        (b'<img src="&#99;id&colon;one">', "<one>"),
        (b'<img src="CID:one">', "<one>"),
        (b'<img src="cid:one two">', "<one two>"),
        (b'<td background="cid:one">', "<one>"),
        (b"<td style=\"background: url('cid:one')\">", "<one>"),
        (b'<td style="background: url(&quot;cid:one&quot;)">', "<one>"),
        (b'<td style="background: url(cid:one)">', "<one>"),
        (b'<video poster="cid:one">', "<one>"),
        (b'<img srcset="cid:one 2x">', "<one>"),
        (b'<img src="cid:caf&eacute;">', "<café>"),
    ],
)
def test_references_are_read_as_html_has_them(html: bytes, content_id: str, materials: Scratch) -> None:
    """Character references, percent-encoding and blanks in an attribute are what a browser takes them for."""
    image = part(b"x", 'image/png; name="a.png"', fields=f"Content-ID: {content_id}\n")
    other = part(b"x", 'image/png; name="b.png"', fields="Content-ID: <other>\n")
    found = measured(message(multipart("mixed", part(html, "text/html"), image, other)), materials)
    assert (found.kept, [facts.part for facts in found.attachments]) == (((2, "inline"),), [3])


@pytest.mark.parametrize(
    ("html", "location"),
    [
        (b'<img src="http://x.example/b.png?a=1&amp;c=2">', "http://x.example/b.png?a=1&c=2"),
        (b'<img src="my image.png">', "my image.png"),
    ],
)
def test_locations_are_read_as_html_has_them(html: bytes, location: str, materials: Scratch) -> None:
    """A reference by Content-Location is compared without its character references, blanks aside."""
    image = part(b"x", 'image/png; name="a.png"', fields=f"Content-Location: {location}\n")
    assert measured(message(multipart("mixed", part(html, "text/html"), image)), materials).attachments == ()


def test_html_with_references_without_end_refers_to_everything(materials: Scratch) -> None:
    """Beyond a limit references are not collected further, and what could be referred to counts as inline."""
    html = part(b"".join(b"<img src=cid:%d>\n" % number for number in range(REFERENCE_LIMIT + 1)), "text/html")
    image = part(b"x", 'image/png; name="a.png"', fields="Content-ID: <one>\n")
    found = measured(message(multipart("mixed", html, image, attachment(b"x"))), materials)
    assert [facts.part for facts in found.attachments] == [3]


def test_html_in_wide_characters_refers_too(materials: Scratch) -> None:
    """References are found in HTML of two octets a character."""
    html = part(support.encoded('<img src="cid:one">'.encode("utf-16")), "text/html; charset=utf-16", encoding="base64")
    image = part(b"x", 'image/png; name="a.png"', fields="Content-ID: <one>\n")
    assert measured(message(multipart("mixed", html, image)), materials).attachments == ()


PICTURE = b'<img src="cid:one"><img src="http://x.example/b.png">'
RELATED_HTML = part(PICTURE, "text/html")
RELATED_FORMS = multipart("alternative", TEXT, RELATED_HTML, boundary="f")


@pytest.mark.parametrize("shown", [RELATED_HTML, RELATED_FORMS, TEXT], ids=["html", "both forms", "text"])
@pytest.mark.parametrize("fields", ["", "Content-ID: <two>\n"], ids=["no id", "id"])
def test_an_attachment_of_a_related_that_nothing_refers_to_is_one(
    shown: bytes, fields: str, materials: Scratch
) -> None:
    """What is marked attachment in a multipart/related, and not part of what is shown, is an attachment."""
    file = part(b"x", "application/pdf", disposition="attachment; filename=a.pdf", fields=fields)
    found = measured(message(multipart("related", shown, file)), materials)
    assert [facts.name for facts in found.attachments] == ["a.pdf"]


SOAP = part(b'<a href="cid:two"/>', "application/soap+xml")
STYLE = part(b"td { background: url(cid:two) }", "text/css", fields="Content-ID: <style>\n")
BROKEN_HTML = part(b"!!!!", "text/html", encoding="base64")


@pytest.mark.parametrize(
    ("shown", "disposition", "fields"),
    [
        ([RELATED_HTML], "attachment; filename=a.png", "Content-ID: <one>\n"),
        ([RELATED_FORMS], "attachment; filename=a.png", "Content-ID: <one>\n"),
        ([RELATED_HTML], "attachment; filename=a.png", "Content-Location: http://x.example/b.png\n"),
        ([RELATED_HTML], "attachment; filename=a.png", "Content-Location: b.png\n"),
        ([RELATED_HTML], "inline; filename=a.png", ""),
        ([RELATED_HTML], "inline; filename=a.png", "Content-ID: <two>\n"),
        ([SOAP], "attachment; filename=a.png", "Content-ID: <two>\n"),
        ([multipart("alternative", TEXT, SOAP, boundary="f")], "attachment; filename=a.png", ""),
        ([RELATED_HTML, STYLE], "attachment; filename=a.png", "Content-ID: <two>\n"),
        ([BROKEN_HTML], "attachment; filename=a.png", "Content-ID: <two>\n"),
    ],
    ids=["by cid", "by cid of a form", "by location", "perhaps by location", "inline", "inline with id", "not HTML",
         "form that is not HTML", "perhaps by a style", "perhaps by HTML that is broken"],
)  # fmt: skip
def test_what_a_related_shows_is_inline(shown: list[bytes], disposition: str, fields: str, materials: Scratch) -> None:
    """What is referred to, or could be by something that is not understood, stays, marked attachment or not."""
    picture = part(b"x", "image/png", disposition=disposition, fields=fields)
    data = message(multipart("related", *shown, picture))
    found = measured(data, materials)
    assert (found.attachments, found.kept[-1][1]) == ((), "inline")


def test_html_in_base64_refers_too(materials: Scratch) -> None:
    """References are found in decoded HTML."""
    html = part(support.encoded(b'<img src="cid:one@x">'), "text/html", encoding="base64")
    image = part(b"x", 'image/png; name="a.png"', fields="Content-ID: <one@x>\n")
    assert measured(message(multipart("mixed", html, image)), materials).attachments == ()


def test_where_the_html_cannot_be_read_everything_with_an_id_is_inline(materials: Scratch) -> None:
    """If it can't be known what the HTML shows, what could be shown is left alone."""
    html = part(b"!!!!", "text/html", encoding="base64")
    image = part(b"x", 'image/png; name="a.png"', fields="Content-ID: <one@x>\n")
    found = measured(message(multipart("mixed", html, image, attachment(b"x"))), materials)
    assert [facts.part for facts in found.attachments] == [3]


@pytest.mark.parametrize(
    ("fields", "protection"),
    [
        ("DKIM-Signature: v=1; d=elsewhere.example;\n\tb=x\n", "signed (dkim-signature of elsewhere.example)"),
        ("ARC-Seal: i=1; d=elsewhere.example; b=x\n", "signed (arc-seal of elsewhere.example)"),
        ("DKIM-Signature: v=1; d=Example.Org; b=x\n", ""),
        ("DKIM-Signature: v=1; b=x\n", "signed (dkim-signature of an unknown domain)"),
    ],
)
def test_signatures_of_others_protect(fields: str, protection: str, materials: Scratch) -> None:
    """A DKIM signature or ARC seal of a domain that is not ours protects the message; our own does not."""
    ours = support.policy(policy={"own_domains": ["example.org"]})
    assert measured(mixed(attachment(b"x" * 100), fields=fields), materials, ours).protection == protection


@pytest.mark.parametrize(
    ("domain", "sender", "protects"),
    [
        ("example.org", b"a@example.org", False),
        ("example.org", b"a@mail.example.org", False),
        ("mail.example.org", b"a@example.org", True),
        ("elsewhere.example", b"a@example.org", True),
        ("ample.org", b"a@example.org", True),
    ],
)
def test_where_every_sender_is_ours_his_own_signature_is(
    domain: str, sender: bytes, protects: bool, materials: Scratch
) -> None:
    """With own_domains = ["*"] the signature of the sender's domain is ours, any other is not."""
    data = mixed(attachment(b"x" * 100), fields=f"DKIM-Signature: v=1; d={domain}; b=x\n")
    assert bool(measured(data, materials, envelope=ENVELOPE.replace(sender=sender)).protection) is protects


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
@pytest.mark.parametrize("armor", [b"-----BEGIN PGP MESSAGE-----", b"-----BEGIN PGP SIGNED MESSAGE-----"])
def test_inline_pgp_protects(encoding: str, armor: bytes, materials: Scratch) -> None:
    """PGP inside of a displayed body protects the message, in whatever encoding."""
    text = b"Hello\n\n" + armor + b"\n\nx\n"
    coded = {"7bit": text, "base64": support.encoded(text), "quoted-printable": text.replace(b"G", b"=47")}[encoding]
    data = message(multipart("mixed", part(coded, encoding=encoding), attachment(b"x")))
    assert measured(data, materials).protection == "signed or encrypted (inline PGP)"


def test_a_public_key_does_not_protect(materials: Scratch) -> None:
    """A public key in a body is no signature."""
    text = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
    assert measured(message(multipart("mixed", part(text), attachment(b"x"))), materials).protection == ""


def test_what_does_not_decode_is_kept(materials: Scratch) -> None:
    """An attachment that is not what its encoding says is left alone, the others are not."""
    broken = part(b"!!!!" * 50_000, "a/b", encoding="base64", disposition="attachment; filename=a")
    found = measured(mixed(broken, attachment(noise(150_000), "b.bin")), materials)
    assert [facts.part for facts in found.attachments] == [3]
    assert found.kept[0][1].startswith("broken: base64")


def test_names_without_a_name_are_numbered(materials: Scratch) -> None:
    """Attachments without a name are numbered by their place among the attachments."""
    entity = part(b"x", "application/pdf", disposition="attachment")
    assert [f.name for f in measured(mixed(entity, entity), materials).attachments] == [
        "attachment-1.pdf",
        "attachment-2.pdf",
    ]


def test_digests_are_those_of_the_content(materials: Scratch) -> None:
    """The digest of a part is that of its decoded octets, computed on the way or afterwards."""
    from hashlib import sha256

    measured(mixed(attachment(noise(150_000), "a.bin"), attachment(table(), "b.csv")), materials)
    assert materials.digest(2) == sha256(noise(150_000)).hexdigest()
    assert materials.digest(3) == sha256(table()).hexdigest()


def test_nothing_is_decoded_for_the_null_sender(materials: Scratch) -> None:
    """What is taken off whole need not be looked at."""
    measured(mixed(attachment(noise(150_000))), materials, envelope=ENVELOPE.replace(sender=b""))
    assert materials.decoded == {}
