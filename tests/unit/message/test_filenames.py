"""File names: decoded from every form that mailers use, safe wherever they go, distinct within a message."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.filetypes import ENDINGS
from pfilter.message import addresses, decoded, filenames
from tests.lib.support import message, part, scanned

DANGEROUS = '/\\:*?"<>|\0\r\n\u200b\u200f\u202a\u202e\u2066\u2069\x85\x9f\ufeff\u2028\u2029'


def given_name(disposition: str = "", content_type: str = "application/octet-stream", raw: bytes = b"") -> str:
    """Return the file name of a message that is an attachment with these fields."""
    data = raw or message(part(b"x", content_type, disposition=disposition))
    return filenames.file_name(scanned(data).root, 7)


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("attachment; filename=plain.pdf", "plain.pdf"),
        ('attachment; filename="with space.pdf"', "with space.pdf"),
        ('attachment; filename="back\\"quote.pdf"', "back_quote.pdf"),
        ("attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf", "résumé.pdf"),
        ("attachment; filename*=iso-8859-1'de'%FCber.pdf", "über.pdf"),
        ("attachment;\n filename*0*=utf-8''r%C3%A9;\n filename*1=sum;\n filename*2*=%C3%A9.pdf", "résumé.pdf"),
        ('attachment; filename="=?utf-8?q?r=C3=A9sum=C3=A9=2Epdf?="', "résumé.pdf"),
        ('attachment; filename="=?utf-8?b?5pel5pys6Kqe?=.pdf"', "日本語.pdf"),
        ('attachment; filename="=?iso-2022-jp?B?GyRCRnxLXDhsGyhCLnBkZg==?="', "日本語.pdf"),
        ('attachment;\n filename="=?utf-8?q?r=C3=A9sum?=\n =?utf-8?q?=C3=A9=2Epdf?="', "résumé.pdf"),
        ('attachment; filename="résumé.pdf"', "résumé.pdf"),
    ],
    ids=["token", "quoted", "escaped", "2231", "2231 latin-1", "2231 continued", "2047 q", "2047 b", "2047 jp",
         "2047 in two words", "raw utf-8"],
)  # fmt: skip
def test_every_form_of_a_name(disposition: str, expected: str) -> None:
    """Names in RFC 2231, RFC 2047 and raw forms are what the sender meant."""
    assert given_name(disposition) == expected


def test_raw_windows_octets() -> None:
    """Raw octets that are no UTF-8 are what Windows mailers mean by them."""
    raw = b'Content-Type: a/b\nContent-Disposition: attachment; filename="r\xe9sum\xe9 \x80.pdf"\n\nx'
    assert given_name(raw=raw) == "résumé €.pdf"


def test_filename_goes_before_name() -> None:
    """Content-Disposition's name counts (RFC 2183), Content-Type's where there is no other."""
    assert given_name('attachment; filename="a.pdf"', 'a/b; name="b.pdf"') == "a.pdf"
    assert given_name("attachment", 'a/b; name="b.pdf"') == "b.pdf"
    assert given_name("attachment", 'a/b; name="=?utf-8?q?=C3=A9.pdf?="') == "é.pdf"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/pdf", "attachment-7.pdf"),
        ("image/x-odd", "attachment-7.bin"),
        ("message/rfc822", "attachment-7.eml"),
    ],
)
def test_a_part_without_a_name_is_numbered(content_type: str, expected: str) -> None:
    """Without a name there is a number, and an extension by type."""
    assert given_name("attachment", content_type) == expected


def test_an_empty_name_is_none() -> None:
    """An empty name is no name."""
    assert given_name('attachment; filename=""', "application/pdf") == "attachment-7.pdf"


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("Scan", "application/pdf", "Scan.pdf"),
        ("Scan.", "application/pdf", "Scan.pdf"),
        ("Offer v1.2", "application/pdf", "Offer v1.2.pdf"),
        ("Minutes 24.11.2026", "application/pdf", "Minutes 24.11.2026.pdf"),
        ("Offer No. 5 of Dr. Meyer", "application/pdf", "Offer No. 5 of Dr. Meyer.pdf"),
        ("Draft v1.2 final", "application/pdf", "Draft v1.2 final.pdf"),
        ("Fwd: the bridge", "message/rfc822", "Fwd_ the bridge.eml"),
        ("Gräße", "image/jpeg", "Gräße.jpg"),
        ("con", "application/pdf", "_con.pdf"),
        ("sheet", "application/vnd.oasis.opendocument.spreadsheet", "sheet.ods"),
        ("Scan.pdf", "application/pdf", "Scan.pdf"),
        ("Scan.PDF", "application/pdf", "Scan.PDF"),
        ("list.csv", "text/plain", "list.csv"),
        ("film.mp4", "application/pdf", "film.mp4"),
        ("film.7z", "application/pdf", "film.7z"),
        ("volume.zip.001", "application/zip", "volume.zip.001"),
        ("notes.numbers-tef", "application/zip", "notes.numbers-tef"),
        ("Scan", "application/octet-stream", "Scan"),
        ("Scan", "image/x-odd", "Scan"),
        ("日" * 80, "application/pdf", "日" * 48 + ".pdf"),
    ],
)
def test_what_has_no_ending_gets_that_of_its_type(name: str, content_type: str, expected: str) -> None:
    """A name without an ending gets the one of its type; a number, or words behind a dot, are no ending."""
    assert given_name(f'attachment; filename="{name}"', content_type) == expected


@given(st.text(max_size=200), st.sampled_from(sorted(ENDINGS)))
def test_a_name_with_an_ending_is_safe_too(name: str, media_type: str) -> None:
    """An ending put behind a safe name leaves it safe, and is not put there twice."""
    kind = media_type.encode("ascii")
    once = filenames.with_ending(filenames.safe_name(name, "fallback"), kind)
    assert filenames.safe_name(once, "other") == once
    assert filenames.with_ending(once, kind) == once


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("\u025b\u035f\u200b\u06e2.pdf", "\u025b\u06e2\u035f.pdf"),  # NFC orders marks, also once nothing parts them
        ("C:\\Users\\me\\report.doc", "report.doc"),
        ("/", "fallback"),
        ("..", "fallback"),
        (".htaccess", "htaccess"),
        ("-rf", "rf"),
        (" . a.txt . ", "a.txt"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("LPT9", "_LPT9"),
        ("com\u00b9.txt", "_com\u00b9.txt"),
        ("CONIN$", "_CONIN$"),
        ("\u3164\u115f", "fallback"),
        ("console.txt", "console.txt"),
        ('a:b*c?"d<e>f|.txt', "a_b_c__d_e_f_.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\u200bb\u2066c.txt", "abc.txt"),
        ("a\x00b\x1b[31mc\x85.txt", "ab[31mc.txt"),
        ("line\r\nbreak.txt", "linebreak.txt"),
        ("e\u0301.txt", "é.txt"),
        ("doc.{00020424-0000-0000-C000-000000000046}", "doc.(00020424-0000-0000-C000-000000000046)"),
        ("two  blanks.txt", "two blanks.txt"),
        ("", "fallback"),
        ("\u202e\u200b", "fallback"),
        ("日本語.txt", "日本語.txt"),
        ("Screenshot 2026-11-24 at 9.41.00\u202fAM.png", "Screenshot 2026-11-24 at 9.41.00 AM.png"),
        ("Rapport\u00a0: final\u00a0.txt", "Rapport _ final.txt"),
        ("資料\u3000一覧.txt", "資料 一覧.txt"),
        ("a\u2009\u00a0b.txt", "a b.txt"),
        ("\u00a0\u202f", "fallback"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    """Names lose what is dangerous in a path, a header, on a screen or on Windows, and keep the rest."""
    assert filenames.safe_name(name, "fallback") == safe


@given(st.text(max_size=300) | st.text(DANGEROUS + "abc.- {}", max_size=40))
def test_no_name_is_dangerous(name: str) -> None:
    """Whatever the sender wrote, the safe name is one path component, printable, short, and no device."""
    safe = filenames.safe_name(name, "fallback")
    assert safe
    assert not set(safe) & set(DANGEROUS)
    assert safe.isprintable()
    assert len(safe.encode("utf-8")) <= filenames.NAME_LIMIT
    assert not safe.startswith((".", "-", " "))
    assert not safe.endswith((".", " "))
    assert safe.split(".")[0].strip().lower() not in filenames.DEVICES
    assert unicodedata.is_normalized("NFC", safe)


@given(st.text(max_size=300))
def test_a_safe_name_is_safe_already(name: str) -> None:
    """Making a safe name safe changes nothing."""
    safe = filenames.safe_name(name, "fallback")
    assert filenames.safe_name(safe, "other") == safe


@pytest.mark.parametrize("stem", ["x" * 400, "é" * 200, "日" * 100, "😀" * 80])
def test_long_names_keep_their_extension(stem: str) -> None:
    """A name that is too long loses of its stem, at a character's end."""
    safe = filenames.safe_name(stem + ".pdf", "fallback")
    assert safe.endswith(stem[0] + ".pdf")
    assert 140 <= len(safe.encode("utf-8")) <= 150


def test_same_names_are_numbered() -> None:
    """The second of a name gets -2 before its extension, in part order; case does not count."""
    assert filenames.distinct(["a.txt", "b", "A.TXT", "a.txt", "b"]) == ["a.txt", "b", "A-2.TXT", "a-3.txt", "b-2"]


@given(st.lists(st.sampled_from(["a", "a-2", "A", "a-2-2", "b.c", "B-2.c", "b-2.c"]), max_size=8))
def test_distinct_names_are_distinct(given_names: list[str]) -> None:
    """However names collide with numbered ones, the results differ, also where case does not count."""
    found = filenames.distinct(given_names)
    assert len({name.casefold() for name in found}) == len(given_names)


def test_a_thousand_same_names_take_no_time() -> None:
    """Numbering very many of the same name does not take time by their square."""
    from time import process_time

    began = process_time()
    found = filenames.distinct(["a.txt"] * 10_000)
    assert (found[-1], len(set(found))) == ("a-10000.txt", 10_000)
    assert process_time() - began < 1


def test_an_encoded_name_without_end_is_given_up() -> None:
    """An encoded name far beyond any file system's limits is not decoded, which would take very long."""
    from time import process_time

    began = process_time()
    word = "=?utf-8?q?=C3=A9?= " * 20_000
    name = given_name(f'attachment; filename="{word}"', "application/pdf")
    assert 0 < len(name.encode("utf-8")) <= filenames.NAME_LIMIT
    assert process_time() - began < 1


def test_header_texts_are_decoded() -> None:
    """Subject and addresses are what people read."""
    block = b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nTo: a@b.example\nSubject: =?iso-8859-1?q?gr=FC=DFe?=\n"
    assert decoded.header_texts(block) == {
        "subject": "grüße",
        "from": "Jürgen <j@example.org>",
        "to": "a@b.example",
    }


def test_from_address() -> None:
    """The address in From is found among names and comments."""
    assert decoded.from_address(b'From: "Doe, Jane" <jane@example.org>\nTo: b@c.example\n') == b"jane@example.org"


@pytest.mark.parametrize("block", [b"", b"Subject: x\n", b"From:\n", b"From: \xff\xfe\n"])
def test_hostile_headers_give_empty_texts(block: bytes) -> None:
    """Where there is no address there is none; nothing raises."""
    assert b"@" not in decoded.from_address(block)
    assert decoded.header_texts(block)["to"] == ""


@pytest.mark.parametrize(
    ("address", "domain"),
    [(b"a@B.Example", b"b.example"), (b'"a@b"@c.example', b"c.example"), (b"root", b""), (b"", b"")],
)
def test_domain_of(address: bytes, domain: bytes) -> None:
    """The domain is what stands behind the last @, in lower case."""
    assert addresses.domain_of(address) == domain
