"""One table of file types: no row contradicts another."""

import pytest

from pfilter.base import filetypes
from pfilter.base.filetypes import COMPRESSED, ENDINGS, KINDS, SERVED, TABLE

ICONS = ("document", "table", "slides", "image", "film", "sound", "archive", "mail", "other")  # as page.html has them
PAGES = ("text/", "html", "svg", "xml;", "/xml", "+xml", "script", "flash")  # what a browser could show, or run


def test_an_ending_and_a_media_type_belong_to_one_row() -> None:
    """So a name has one kind, and a type one ending."""
    for column in (0, 1):
        words = [word for row in TABLE for word in row[column].split()]
        assert sorted(words) == sorted(set(words))
        assert words == [word.lower() for word in words]


def test_every_row_is_whole() -> None:
    """Kinds are those that have an icon; what holds for a row are words that are known."""
    for suffixes, types, kind, holds in TABLE:
        assert suffixes
        assert kind in ICONS
        assert set(holds.split()) <= {"compressed", "served"}
        assert types or not holds
        assert all(name.count("/") == 1 for name in types.split())


def test_what_is_served_by_its_type_is_harmless() -> None:
    """Nothing that a browser could take for a page."""
    assert not [name for name in SERVED.values() if any(page in name for page in PAGES)]
    assert filetypes.served("a.PDF") == "application/pdf"
    assert filetypes.served("a.jpe") == "image/jpeg"
    for name in ("a.html", "a.svg", "a.xml", "a.js", "a.txt", "a.pdf.html", "a", "pdf", ".pdf", "a.xhtml", "a.swf"):
        assert filetypes.served(name) == ""


def test_what_is_served_gets_its_own_ending_back() -> None:
    """A type leads to an ending that is served by this type, and is of the same kind."""
    for suffix, name in SERVED.items():
        assert SERVED[ENDINGS[name][1:]] == name
        assert KINDS[ENDINGS[name][1:]] == KINDS[suffix]


def test_a_family_is_one_in_the_table_too() -> None:
    """What the families say of a type, its row says."""
    named = {name for name in ENDINGS if name.startswith(filetypes.COMPRESSED_FAMILIES)}
    assert named <= COMPRESSED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("report.pdf", "document"),
        ("Report.XLSX", "table"),
        ("a.tar.gz", "archive"),
        ("mail.u8msg", "mail"),
        ("x.unknown", "other"),
        ("zip", "archive"),
        ("", "other"),
        ("data.json", "other"),
    ],
)
def test_kinds_go_by_the_ending(name: str, kind: str) -> None:
    """The ending counts, in whatever case; a name that is nothing else is one, too."""
    assert filetypes.kind(name) == kind


@pytest.mark.parametrize(
    ("media_type", "ending"),
    [
        (b"application/pdf", ".pdf"),
        (b"image/jpg", ".jpg"),
        (b"audio/aac", ".aac"),
        (b"application/octet-stream", ""),
        (b"text/html\xff", ""),
        (b"", ""),
    ],
)
def test_a_media_type_has_an_ending(media_type: bytes, ending: str) -> None:
    """The first of its row; none for what stands for anything."""
    assert filetypes.ending(media_type) == ending


@pytest.mark.parametrize(
    ("media_type", "is_compressed"),
    [
        (b"image/jpg", True),
        (b"application/x-zip-compressed", True),
        (b"application/vnd.oasis.opendocument.text", True),
        (b"video/x-anything", True),
        (b"audio/mp3", True),
        (b"audio/wav", False),
        (b"application/msword", False),
        (b"application/pdf", False),
        (b"", False),
    ],
)
def test_what_is_compressed_already(media_type: bytes, is_compressed: bool) -> None:
    """By its row, or by its family."""
    assert filetypes.is_compressed(media_type) is is_compressed
