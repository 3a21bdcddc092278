"""What the parts of a message are to its reader."""

import pytest

from pfilter.decision import protection
from pfilter.message import roles
from pfilter.message.model import Part
from tests.lib.support import attachment, message, multipart, part, scanned

TEXT = part(b"Hello\n")
HTML = part(b"<p>Hello</p>\n", "text/html")
FILE = attachment(b"data", "a.bin")


def kept(entity: bytes, section: str) -> str:
    """Return why a part is no attachment, "" for one that is, "not a file" for what is not even listed."""
    found = scanned(message(entity))
    shown = frozenset(one.number for one in roles.displayed(found))
    for one in roles.files(found):
        if one.section == section:
            return protection.why_kept(found, one, shown)
    return "not a file"


def sections(parts: list[Part]) -> list[str]:
    """Return the sections of parts."""
    return [one.section for one in parts]


@pytest.mark.parametrize(
    "entity",
    [
        attachment(b"x", "a.bin"),
        part(b"x", 'application/pdf; name="a.pdf"'),
        part(b"x", "application/pdf; name*=utf-8''a.pdf"),
        part(b"x", "application/pdf", disposition="attachment; filename*0=a; filename*1=.pdf"),
        part(b"x", "application/pdf", disposition="attachment"),
        part(b"x", "text/plain", disposition='attachment; filename="a.txt"'),
        part(b"x", "text/html", disposition="attachment"),
        part(b"x", "image/png", disposition='inline; filename="a.png"'),
        part(b"x", "text/plain", disposition='inline; filename="a.txt"'),
        part(b"Subject: x\n\nhello\n", "message/rfc822", disposition="attachment"),
        part(b"Subject: x\n\nhello\n", 'message/rfc822; name="a.eml"'),
    ],
    ids=[
        "file",
        "name",
        "name 2231",
        "continued",
        "no name",
        "text",
        "html",
        "inline image",
        "inline text",
        "rfc822",
        "rfc822 by name",
    ],
)
def test_attachments(entity: bytes) -> None:
    """A leaf, or a message/rfc822 as a whole, with a file name or disposition attachment, is an attachment."""
    assert kept(multipart("mixed", TEXT, entity), "2") == ""


@pytest.mark.parametrize(
    ("entity", "section", "why"),
    [
        (multipart("mixed", TEXT, part(b"x", "application/pdf")), "2", "not a file"),
        (multipart("mixed", TEXT, part(b"x", "image/png", disposition="inline")), "2", "not a file"),
        (multipart("mixed", TEXT, part(b"Subject: x\n\nhello\n", "message/rfc822")), "2", "not a file"),
        (multipart("mixed", TEXT, part(b"x", "application/pdf", disposition='attachment; filename=""')), "2", ""),
        (multipart("mixed", part(b"x", 'text/plain; name="body.txt"'), FILE), "1", "displayed body"),
        (multipart("alternative", TEXT, HTML, FILE), "3", "alternative form of the body"),
        (
            multipart("mixed", multipart("alternative", TEXT, FILE, boundary="i"), FILE),
            "1.2",
            "alternative form of the body",
        ),
        (multipart("related", HTML, part(b"x", "image/png; name=a.png")), "2", "inline"),
        (multipart("related", FILE, HTML), "1", "inline"),
        (multipart("related", HTML, FILE), "2", ""),
        (multipart("alternative", TEXT, multipart("related", HTML, FILE, boundary="i")), "2.2", "inline"),
        (multipart("mixed", multipart("related", HTML, FILE, boundary="i"), FILE), "1.2", ""),
        (multipart('related; start="<a@x>"', FILE, HTML, FILE), "3", "inline"),
        (
            multipart("appledouble", attachment(b"x", "a", "application/applefile"), FILE),
            "1",
            "half of a Macintosh file",
        ),
        (multipart("report", TEXT, part(b"x", "text/rfc822-headers", disposition="attachment")), "2", "report"),
        (multipart("report", TEXT, multipart("mixed", FILE, boundary="i")), "2.1", "report"),
        (multipart("mixed", TEXT, part(b"x", "message/delivery-status", disposition="attachment")), "2", "report"),
        (
            multipart("mixed", TEXT, part(b"x", "message/disposition-notification", disposition="attachment")),
            "2",
            "report",
        ),
        (multipart("mixed", TEXT, part(b"x", "message/partial; id=1; name=a")), "2", "message/partial"),
        (multipart("mixed", TEXT, part(b"x", "message/external-body; name=a")), "2", "message/external-body"),
        (multipart("mixed", TEXT, part(b"x", 'text/calendar; name="a.ics"')), "2", "calendar"),
        (multipart("mixed", TEXT, attachment(b"x", "a.p7s", "application/pkcs7-signature")), "2", "signature"),
        (multipart("mixed", TEXT, attachment(b"x", "a.asc", "application/pgp-keys")), "2", "PGP"),
        (multipart("mixed", TEXT, attachment(b"x", "a.asc", "application/pgp-signature")), "2", "PGP"),
        (multipart("mixed", TEXT, attachment(b"x", "a.ics", "application/ics")), "2", "calendar"),
        (multipart("mixed", TEXT, attachment(b"x", "a.vcs", "text/x-vcalendar")), "2", "calendar"),
        (multipart("mixed", TEXT, attachment(b"x", "a", "application/calendar+xml")), "2", "calendar"),
        (multipart("mixed", TEXT, attachment(b"x", "a", "text/x-icalendar")), "2", "calendar"),
        (multipart("mixed", TEXT, attachment(b"x", "winmail.dat", "application/ms-tnef")), "2", "TNEF"),
        (multipart("mixed", TEXT, attachment(b"x", "a.dat", "application/vnd.ms-tnef")), "2", "TNEF"),
        (multipart("mixed", TEXT, attachment(b"x", "a.txt", "message/feedback-report")), "2", "report"),
        (multipart("mixed", TEXT, attachment(b"x", "a.txt", "message/tracking-status")), "2", "report"),
        (multipart("mixed", TEXT, attachment(b"x", "a.json", "application/tlsrpt+json")), "2", "report"),
        (multipart("mixed", TEXT, attachment(b"x", "a.json.gz", "application/tlsrpt+gzip")), "2", "report"),
        (multipart("mixed", TEXT, attachment(b"x", "key.html", "application/autocrypt-setup")), "2", "key"),
        (multipart("mixed", TEXT, attachment(b"x", "Report", "application/mac-binhex40")), "2", "Macintosh file"),
        (multipart("mixed", TEXT, attachment(b"x", "Report", "application/x-macbinary")), "2", "Macintosh file"),
        (multipart("mixed", TEXT, attachment(b"x", "Report", "application/applefile")), "2", "Macintosh file"),
        (multipart("mixed", TEXT, attachment(b"x", "a.doc", "application/x-uuencode")), "2", "uuencoded"),
    ],
    ids=[
        "no name",
        "inline without a name",
        "rfc822 without a name",
        "empty name but attachment",
        "named first text",
        "alternative",
        "nested alternative",
        "related",
        "root of a related",
        "beside a related",
        "related in a form",
        "beside a related in a mixed",
        "related with another root",
        "appledouble",
        "report",
        "below a report",
        "dsn",
        "mdn",
        "partial",
        "external-body",
        "calendar",
        "p7s",
        "pgp keys",
        "pgp signature",
        "application/ics",
        "vCalendar",
        "xCal",
        "iCalendar by another name",
        "TNEF",
        "TNEF of IANA",
        "abuse report",
        "tracking status",
        "TLS report",
        "TLS report, compressed",
        "Autocrypt setup",
        "BinHex",
        "MacBinary",
        "AppleSingle",
        "uuencoded",
    ],
)
def test_what_is_no_attachment(entity: bytes, section: str, why: str) -> None:
    """Bodies, inline parts, alternatives, reports, calendars and signatures are no attachments, and it is said why."""
    assert kept(entity, section) == why


def test_a_file_inside_a_forwarded_message_is_none() -> None:
    """A message/rfc822 is one opaque whole: what is inside is no file of this message."""
    inside = b"Subject: inside\nMIME-Version: 1.0\n" + multipart("mixed", TEXT, FILE, boundary="inner")
    found = scanned(message(multipart("mixed", TEXT, part(inside, "message/rfc822", disposition="attachment"))))
    assert sections(roles.files(found)) == ["2"]


def test_a_broken_part_is_kept() -> None:
    """A part whose own fields are broken is kept, and it is said why."""
    broken = part(b"x", "application/pdf", encoding="x-unknown", disposition="attachment")
    assert kept(multipart("mixed", TEXT, broken), "2").startswith("broken: unknown transfer encoding")


@pytest.mark.parametrize(
    ("entity", "report"),
    [
        (multipart("report", TEXT, part(b"x", "message/delivery-status")), True),
        (part(b"x", "message/disposition-notification"), True),
        (multipart("mixed", TEXT, part(b"x", "message/delivery-status")), True),
        (multipart("mixed", TEXT, part(b"x", "message/feedback-report")), True),
        (multipart("mixed", TEXT, FILE), False),
        (multipart("mixed", TEXT, part(b"\n" + multipart("report", TEXT, boundary="i"), "message/rfc822")), False),
    ],
    ids=["dsn", "mdn", "odd dsn", "odd abuse report", "mail", "forwarded report"],
)
def test_reports(entity: bytes, report: bool) -> None:
    """Delivery reports and disposition notifications are reports; mail that forwards one is not."""
    assert roles.is_report(scanned(message(entity))) is report


NAMED = part(b"Hello\n", 'text/plain; name="report.txt"')
NAMED_INLINE = part(b"Hello\n", "text/plain", disposition='inline; filename="letter.txt"')


@pytest.mark.parametrize(
    ("entity", "section"),
    [
        (NAMED, ""),
        (part(b"Hello\n", "text/plain; name*=utf-8''letter.txt"), ""),
        (NAMED_INLINE, ""),
        (part(b"<p>Hello</p>\n", 'text/html; name="letter.html"'), ""),
        (part(b"<p>Hello</p>\n", "text/html", disposition="inline; filename*=utf-8''letter.html"), ""),
        (multipart("mixed", NAMED), "1"),
        (multipart("mixed", NAMED_INLINE), "1"),
        (multipart("mixed", multipart("mixed", NAMED_INLINE, boundary="i")), "1.1"),
        (multipart("mixed", NAMED, FILE), "1"),
        (multipart("mixed", NAMED_INLINE, FILE), "1"),
        (multipart("mixed", NAMED_INLINE, part(b"-- \nlist\n", disposition="inline")), "1"),
        (multipart("mixed", NAMED, NAMED), "1"),
        (multipart("mixed", NAMED, part(b"-- \nlist\n", disposition="inline")), "1"),
        (multipart("mixed", NAMED, FILE, TEXT), "1"),
        (multipart("alternative", multipart("mixed", NAMED, FILE, boundary="i"), HTML), "1.1"),
        (multipart("alternative", multipart("mixed", NAMED, boundary="i"), HTML), "1.1"),
        (multipart("related", multipart("mixed", NAMED, boundary="i"), HTML), "1.1"),
    ],
    ids=["name", "name 2231", "inline", "html", "inline html", "alone in a multipart",
         "inline alone in a multipart", "alone, deeper", "first", "inline and first", "inline before a footer",
         "first of two", "before the footer of a list",
         "before a file and a footer",
         "in one of two forms", "alone in one of two forms", "in what a related shows"],
)  # fmt: skip
def test_a_letter_that_has_a_name_is_a_body(entity: bytes, section: str) -> None:
    """A named text that is all there is, or first and not named as a file beside a letter, is what the reader reads."""
    assert kept(entity, section) == "displayed body"


@pytest.mark.parametrize(
    ("entity", "section"),
    [
        (part(b"Hello\n", "text/plain; name=a.txt", disposition="attachment"), ""),
        (part(b"Hello\n", "text/html", disposition='attachment; filename="a.html"'), ""),
        (part(b"a;b\n", 'text/csv; name="a.csv"'), ""),
        (multipart("mixed", NAMED, TEXT), "1"),
        (multipart("mixed", NAMED, HTML), "1"),
        (multipart("mixed", NAMED, multipart("alternative", TEXT, HTML, boundary="i")), "1"),
        (multipart("mixed", NAMED, multipart("related", HTML, FILE, boundary="i")), "1"),
        (multipart("mixed", multipart("mixed", NAMED, boundary="i"), TEXT), "1.1"),
        (multipart("mixed", NAMED_INLINE, TEXT), "1"),
    ],
    ids=["attachment", "attached html", "no text of a letter", "before a text", "before html",
         "before both forms", "before html with images", "deeper", "inline before a text"],
)  # fmt: skip
def test_a_named_text_beside_the_letter_is_a_file(entity: bytes, section: str) -> None:
    """A named text is a file where it is an attachment, or where the text next to it is the letter."""
    assert kept(entity, section) == ""


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        (TEXT, [""]),
        (HTML, [""]),
        (multipart("mixed", TEXT, FILE), ["1"]),
        (multipart("mixed", FILE, TEXT), ["2"]),
        (multipart("mixed", TEXT, TEXT, HTML), ["1", "3"]),
        (multipart("alternative", TEXT, part(b"<p>", 'text/html; name="body.html"')), ["1", "2"]),
        (multipart("related", part(b"<p>", "text/html", disposition="inline; filename=a.html"), FILE), ["1"]),
        (multipart("alternative", TEXT, HTML), ["1", "2"]),
        (multipart("mixed", multipart("alternative", TEXT, HTML, boundary="i"), FILE), ["1.1", "1.2"]),
        (
            multipart("alternative", TEXT, multipart("related", HTML, part(b"x", "image/png"), boundary="i")),
            ["1", "2.1"],
        ),
        (
            multipart("alternative", TEXT, multipart("mixed", HTML, FILE, HTML, boundary="i")),
            ["1", "2.1"],
        ),
        (multipart("mixed", multipart("related", HTML, part(b"x", "image/png"), boundary="i"), FILE), ["1.1"]),
        (multipart("mixed", part(b"x", "text/plain", disposition="attachment"), FILE), []),
        (multipart("mixed", part(b"x", "text/plain", disposition='inline; filename="a.txt"'), TEXT), ["2"]),
        (multipart("mixed", NAMED, TEXT), ["2"]),
        (multipart("mixed", NAMED, FILE), ["1"]),
        (multipart("mixed", NAMED, multipart("alternative", TEXT, HTML, boundary="i")), ["2.1", "2.2"]),
        (NAMED, [""]),
        (NAMED_INLINE, [""]),
        (multipart("mixed", part(b"Subject: x\n\nhello\n", "message/rfc822"), FILE), []),
        (FILE, []),
        (multipart("mixed", multipart("alternative", TEXT, HTML, boundary="i"), TEXT, HTML), ["1.1", "1.2"]),
    ],
    ids=[
        "text",
        "html",
        "mixed",
        "text behind",
        "two texts",
        "named html",
        "named html of related",
        "alternative",
        "nested",
        "with image",
        "Apple Mail",
        "related in mixed",
        "attached text",
        "named text",
        "file before the text",
        "named first text",
        "file before both forms",
        "named letter",
        "named inline letter",
        "forwarded",
        "file alone",
        "footer behind",
    ],
)
def test_bodies_that_tell(entity: bytes, expected: list[str]) -> None:
    """The notice goes into the first displayed text and its other form, into nothing else."""
    assert sections(roles.main_bodies(scanned(message(entity)))) == expected
