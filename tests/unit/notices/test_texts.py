"""What readers are told: built-in and replaced templates, with hostile values."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from pfilter.base.errors import ConfigError
from pfilter.notices import templates, texts
from pfilter.store.record import Download, Link
from tests.lib import support
from tests.lib.support import BASE_URL, NOW

SENDER = "ann@example.org"
HOSTILE = "<script>alert('x')</script>&\"'"
CONTROLS = "a\r\nBcc: x\x1b[31m\u202e\x00b"


def download(*names: str) -> Download:
    """Return a download of files of these names."""
    page = f"{BASE_URL}/{'a' * 32}/"
    links = tuple(
        Link(name=name, size=1_234_567, sha256="0" * 64, url=f"{page}files/{n}") for n, name in enumerate(names)
    )
    return Download(id="a" * 32, url=page, links=links, until=NOW)


class Tags(HTMLParser):
    """The tags, links and text of a piece of HTML, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.links += [value for name, value in attrs if (tag, name) == ("a", "href")]

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def test_the_text_names_files_sizes_date_and_page() -> None:
    """Plain text names each file and its size, and the date; the page's URL stands alone on its line."""
    text = texts.for_links(download("a.bin", "b.bin"), SENDER, support.policy()).text
    for word in ("a.bin", "b.bin", "1.2 MB", "Friday, 15 January 2027"):
        assert word in text
    assert f"\n{BASE_URL}/{'a' * 32}/" in text
    assert f"{BASE_URL}/{'a' * 32}/" in [line.strip() for line in text.split("\n")]


def test_the_html_has_one_button() -> None:
    """HTML names the files and has one link: to a single file itself, to the page of several; by URLs as they are."""
    html = texts.for_links(download("a.bin"), SENDER, support.policy()).html
    assert Tags(html).links == [f"{BASE_URL}/{'a' * 32}/files/0"]
    assert "Download" in Tags(html).text
    found = Tags(texts.for_links(download("a.bin", "b.bin"), SENDER, support.policy()).html)
    for word in ("a.bin", "b.bin", "1.2 MB", "2 files to download", "Open the download page"):
        assert word in found.text
    page = f"{BASE_URL}/{'a' * 32}/"
    assert f'"{page}files/0"' in html  # for programs that look for links without reading HTML
    assert found.links == [page]
    assert "Friday, 15 January 2027" in found.text


def test_names_are_no_links_and_contact_is_one() -> None:
    """Names stand as text, so that no line under them hides an underscore; a contact that can be a link is one."""
    made = support.policy(notice={"contact": "help@example.org", "organisation": "X"})
    found = Tags(texts.for_links(download("a_b.bin", "c.bin"), SENDER, made).html)
    assert found.links == [f"{BASE_URL}/{'a' * 32}/", "mailto:help@example.org"]
    assert Tags(texts.for_links(download("a"), SENDER, support.policy(notice={"contact": "Room 7"})).html).links == [
        f"{BASE_URL}/{'a' * 32}/files/0"
    ]


@pytest.mark.parametrize("name", ["__init__.py", "-- x.bin", "From x.bin", "On it wrote.bin"])
def test_no_name_hides_the_notice(name: str) -> None:
    """A name that looks like a signature or a header is not taken for one by a library that hides these."""
    from email_reply_parser import EmailReplyParser

    text = "Hello\n\n" + texts.for_links(download(name), SENDER, support.policy()).text
    assert f"{BASE_URL}/{'a' * 32}/" in EmailReplyParser.parse_reply(text)


def test_the_table_reads_from_right_to_left(tmp_path: Path) -> None:
    """In such a language the table, and all in it, starts at the right; names and sizes keep their own direction."""
    from tests.unit.notices.test_language import catalogue

    catalogue(tmp_path, "he", {"Download": "\u05d4\u05d5\u05e8\u05d3\u05d4"})
    made = support.policy(notice={"language": "he", "locale": str(tmp_path)})
    html = texts.for_links(download("a.bin"), SENDER, made).html
    assert 'lang="he" dir="rtl"' in html
    assert 'align="left"' not in html
    assert "<bdi>a.bin</bdi>" in html


def test_one_file_is_one() -> None:
    """The notice speaks of one file, or of several."""
    assert "1 file to" in texts.for_links(download("a"), SENDER, support.policy()).text
    assert "2 files to" in texts.for_links(download("a", "b"), SENDER, support.policy()).text


def test_the_built_in_notices_are_ascii() -> None:
    """The English notice fits into every charset and needs no encoding."""
    made = texts.for_links(download("a"), SENDER, support.policy())
    stripped = texts.for_stripped(["a"], "<1@x>", support.policy())
    assert all(text.isascii() for text in (made.text, made.html, stripped.text, stripped.html))


def test_hostile_names_are_escaped_in_html() -> None:
    """A file name that is HTML is shown, not obeyed, in the notice and on the page."""
    made = download(HOSTILE)
    plain = [Tags(texts.for_links(download("x"), SENDER, support.policy()).html).tags, None]
    found = Tags(texts.for_links(made, SENDER, support.policy()).html)
    assert found.tags == plain[0]
    assert HOSTILE in found.text
    page = Tags(texts.page(made, HOSTILE, support.policy()).decode("utf-8"))
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_controls_reach_no_reader() -> None:
    """No value brings a line end or a control into a notice, a page or a notification."""
    made = download(CONTROLS)
    said = [
        texts.for_links(made, SENDER, support.policy()).text,
        texts.for_links(made, SENDER, support.policy()).html,
        texts.for_stripped([CONTROLS], CONTROLS, support.policy()).text,
        texts.for_stripped([CONTROLS], CONTROLS, support.policy()).html,
        texts.page(made, CONTROLS, support.policy(), CONTROLS).decode("utf-8"),
        texts.notification(made, SENDER, CONTROLS, support.policy()).text,
        texts.quarantined(CONTROLS, CONTROLS, support.ENVELOPE, support.policy()).text,
    ]
    for text in said:
        assert not any(line.startswith("Bcc:") for line in text.split("\n"))
        assert all(character.isprintable() or character == "\n" for character in text)


def test_the_page_shows_sender_and_files_and_needs_no_script() -> None:
    """The page names the sender's address, the files with their sizes, and the date; links are relative."""
    found = Tags(texts.page(download("a.bin"), "ann@example.org", support.policy()).decode("utf-8"))
    assert "ann@example.org" in found.text
    assert "a.bin" in found.text
    assert "1.2 MB" in found.text
    assert found.links == ["files/0"]
    assert "script" not in found.tags


def test_the_note_on_stripped_mail() -> None:
    """The note on stripped mail names the files and a reference, and whom to ask."""
    text = texts.for_stripped(["a.exe", "b.doc"], "<1@x>", support.policy()).text
    assert "a.exe" in text
    assert "b.doc" in text
    assert "Contact your IT department and quote\n<1@x>." in text


@pytest.mark.parametrize("name", templates.NAMES)
def test_any_template_can_be_replaced(tmp_path: Path, name: str) -> None:
    """A file of the same name replaces a built-in template; the others stay."""
    (tmp_path / name).write_text("MINE {{ until }}{{ reference }}", encoding="utf-8")
    changed = support.policy(notice={"templates": str(tmp_path)})
    made = download("a")
    stripped = texts.for_stripped(["a"], "r", changed)
    links = texts.for_links(made, SENDER, changed)
    said = {
        "notice.txt": links.text,
        "notice.html": links.html,
        "stripped.txt": stripped.text,
        "stripped.html": stripped.html,
        "notification.txt": texts.notification(made, SENDER, "s", changed).text,
        "summary.txt": texts.summary([("s", made)], SENDER, changed).text,
        "quarantined.txt": texts.quarantined("n", "r", support.ENVELOPE, changed).text,
        "page.html": texts.page(made, "s", changed).decode("utf-8"),
        "expired.html": texts.expired_page(changed).decode("utf-8"),
    }
    assert [key for key, text in said.items() if text.startswith("MINE")] == [name]


def test_replaced_html_is_autoescaped_too(tmp_path: Path) -> None:
    """An administrator's template need not think of escaping."""
    (tmp_path / "notice.html").write_text("{% for f in files %}{{ f.name }}{% endfor %}")
    made = texts.for_links(download("<b>"), SENDER, support.policy(notice={"templates": str(tmp_path)}))
    assert made.html == "&lt;b&gt;"


def test_replaced_text_is_not_escaped(tmp_path: Path) -> None:
    """Text is text."""
    (tmp_path / "notice.txt").write_text("{% for f in files %}{{ f.name }} {{ url }}{% endfor %}")
    made = texts.for_links(download("<b>&"), SENDER, support.policy(notice={"templates": str(tmp_path)}))
    assert made.text == f"<b>& {BASE_URL}/{'a' * 32}/"


@pytest.mark.parametrize(
    "source",
    [b"{% for %}", b"{{ files|nofilter }}", b"\xff", b"{{ 1 // 0 }}", b"{% include 'other' %}", b"{{ files[0].x.y }}"],
)
def test_a_broken_template_is_a_config_error(tmp_path: Path, source: bytes) -> None:
    """A template that can't be used is an error that names its file, also for `pfilter check`."""
    (tmp_path / "notice.txt").write_bytes(source)
    broken = support.policy(notice={"templates": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"notice\.txt"):
        texts.for_links(download("a"), SENDER, broken)
    with pytest.raises(ConfigError, match=r"notice\.txt"):
        texts.check(broken)


def test_check_renders_every_template() -> None:
    """The built-in templates can be used."""
    texts.check(support.policy())


def test_lines_of_html_stay_short() -> None:
    """The longest safe names, of the characters that grow most by escaping, make no line beyond 998 octets."""
    from urllib.parse import quote

    page = f"{BASE_URL}/{'a' * 32}/"
    for name in ("&" * 150, "'" * 150, "é" * 75, "日" * 50, "😀" * 37):
        link = Link(name=name, size=1, sha256="0" * 64, url=f"{page}files/{quote(name, safe='')}")
        made = Download(id="a" * 32, url=page, links=(link,), until=NOW)
        html = texts.for_links(made, SENDER, support.policy()).html
        assert max(map(len, html.encode("ascii", "xmlcharrefreplace").split(b"\n"))) <= 998
