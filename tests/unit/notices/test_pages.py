"""The pages that recipients see: of a message, and of what is not there (any more)."""

import os
import re
from pathlib import Path

import pytest

from pfilter.notices import templates, texts
from pfilter.store.local import LocalStore
from pfilter.store.record import Download, Link
from tests.lib import stores, support
from tests.lib.command import pfilter
from tests.lib.stores import ID
from tests.lib.support import BASE_URL, NOW, Gateway
from tests.unit.notices.test_texts import CONTROLS, HOSTILE, Tags, download

FAVICON = re.findall(
    r'<link rel="icon" href="(data:image/svg[^"]*)"', (Path(templates.BUILT_IN) / "page.html").read_text()
)[0]
HOUSE = {"organisation": "Example Ltd", "contact": "it@example.org"}
TEMPLATES = Path(templates.BUILT_IN)
MIXED = support.message(
    support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 100, "a.pdf")), "X-Other: 1\n"
)


def page(*names: str, subject: str = "", **keys: object) -> str:
    """Return the page of files of these names."""
    made = support.policy(notice={**HOUSE, **keys})
    return texts.page(download(*names or ("a.pdf",)), "ann@example.org", made, subject).decode("utf-8")


def stored_page(store: Path) -> str:
    """Return the one page in a store."""
    (found,) = (store / "downloads").glob("*/index.html")
    return found.read_text(encoding="utf-8")


def test_the_page_says_who_sent_and_through_whom() -> None:
    """The sender's address, the organisation, a contact that can be clicked; not that anything is safe."""
    found = Tags(page())
    assert "sent through Example Ltd's mail server" in found.text
    assert "ann@example.org" in found.text
    assert "Friday, 15 January 2027" in found.text
    assert "mailto:it@example.org" in found.links
    assert not re.search(r"\b(safe|secure|trusted|virus)", found.text, re.IGNORECASE)


def test_without_an_organisation_it_is_the_host() -> None:
    """Who configures nothing is called as the downloads are."""
    text = Tags(page(organisation="", contact="")).text
    assert "sent through files.example.org's mail server" in text
    assert "Questions" not in text


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://d.example.org:8443/x", "d.example.org"),
        ("http://[2001:db8::1]/x", "[2001:db8::1]"),
        ("https://d.example.org", "d.example.org"),
    ],
)
def test_the_host_is_that_of_the_links(base_url: str, host: str) -> None:
    """Without port and path."""
    made = support.policy().replace(store_base_url=base_url)
    assert f"<header>{host}</header>" in texts.expired_page(made).decode("utf-8")


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("it@example.org", "mailto:it@example.org"),
        ("https://help.example.org/?a=1&b=2", "https://help.example.org/?a=1&b=2"),
        ("+49 30 1234-5678", "tel:+493012345678"),
        ("the reception, ext. 12", None),
        ("javascript:alert(1)", None),
        ("x@example.org?subject=y", None),
        ('https://help.example.org/" onclick="x', "https://help.example.org/%22 onclick=%22x"),
    ],
)
def test_a_contact_is_a_link_if_it_can_be_one(contact: str, link: str | None) -> None:
    """An address, a page or a telephone number can be clicked, words are words."""
    found = Tags(page(contact=contact))
    assert contact in found.text
    assert found.links[1:] == ([link] if link else [])


def test_buttons_say_what_they_do() -> None:
    """Each file has one link, relative, with a name of its own for those who don't see the page."""
    made = page("a.pdf", "b.csv")
    assert re.findall(r'aria-label="([^"]*)"', made) == ["Download a.pdf, 1.2 MB", "Download b.csv, 1.2 MB"]
    assert re.findall(r'class="button" href="([^"]*)" download ', made) == ["files/0", "files/1"]


def test_a_link_elsewhere_stays_whole() -> None:
    """A presigned link of an object store, with its query."""
    link = Link(name="a", size=1, sha256="0" * 64, url="https://s3.example.org/b/a?X-Amz-Date=1&copy=2")
    made = Download(id="a" * 32, url=f"{BASE_URL}/{'a' * 32}/", links=(link,), until=NOW)
    assert link.url in Tags(texts.page(made, "a@b", support.policy()).decode("utf-8")).links
    assert link.url in Tags(texts.for_links(made, "a@b", support.policy()).html).links


def test_checksums_are_there_on_demand() -> None:
    """In an element that opens without a script."""
    made = page()
    assert "0" * 64 in made.partition("<details>")[2].partition("</details>")[0]


def test_nothing_comes_from_elsewhere() -> None:
    """No script, no outside resource, in any page; and a policy in the page itself where a store can't send one."""
    for made in (page(HOSTILE, subject=HOSTILE), texts.expired_page(support.policy(notice=HOUSE)).decode("utf-8")):
        tags = Tags(made).tags
        assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(tags)
        assert re.findall(r"\ssrc=|url\(|@import|\son\w+=\"", made) == []
        assert re.findall(r'<link [^>]*href="([^"]*)"', made) == [FAVICON]
        assert "default-src 'none'" in made
        assert '<meta name="robots" content="noindex, nofollow, noarchive">' in made
        assert '<meta name="referrer" content="no-referrer">' in made


def test_hostile_values_change_no_page() -> None:
    """Names, subject, organisation and contact are text, whatever they hold."""
    plain = Tags(page("a.html", subject="x", organisation="x", contact="x"))
    hostile = Tags(page(HOSTILE, subject=HOSTILE, organisation=HOSTILE, contact=HOSTILE))
    assert hostile.tags == plain.tags
    assert hostile.text.count(HOSTILE) == 6
    controls = page(CONTROLS, subject=CONTROLS, organisation="", contact="")
    assert all(character.isprintable() or character == "\n" for character in controls)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.PDF", "document"), ("a.tar.gz", "archive"), ("a.xlsx", "table"), ("a", "other"), ("pdf", "document"),
        ("a.", "other"), ("a.heic", "image"), ("a.mp3", "sound"), ("a.mp4", "film"), ("a.eml", "mail"),
        ("a.html", "other"),
    ],
)  # fmt: skip
def test_icons_go_by_the_kind_of_file(name: str, kind: str) -> None:
    """Each kind is drawn once, however many files there are, and readers of the screen are spared it."""
    made = page(name, name)
    assert re.findall(r'<symbol id="(\w+)"', made) == [kind]
    assert made.count(f'<use href="#{kind}"/>') == 2
    assert all('aria-hidden="true"' in svg for svg in re.findall(r"<svg[^>]*>", made))


def test_a_thousand_files() -> None:
    """They are one page of reasonable size."""
    assert len(page(*(f"{number}.pdf" for number in range(1000)))) < 600_000


def test_the_subject_is_shown_only_if_configured(store: Path) -> None:
    """A subject may be nobody's business but the reader's."""
    support.process(MIXED, support.link_everything(store))
    assert "Figures" not in stored_page(store)


@pytest.mark.parametrize(
    ("subject", "shown"),
    [("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"), ("<b>x</b>", "&lt;b&gt;x"), ("a\n\tb", "a b")],
)
def test_the_subject_is_shown_as_people_read_it(store: Path, subject: str, shown: str) -> None:
    """Decoded, in one line, escaped."""
    data = MIXED.replace(b"Subject: Figures", f"Subject: {subject}".encode())
    support.process(data, support.link_everything(store, notice={"show_subject": True}))
    assert shown in stored_page(store)


def test_the_page_names_neither_recipients_nor_display_names(store: Path) -> None:
    """It shows the envelope sender's address alone."""
    data = MIXED.replace(b"From: Sender", b"From: The President")
    support.process(data, support.link_everything(store, notice={"show_subject": True}))
    made = stored_page(store)
    assert "sender@example.org" in made
    assert "reader" not in made
    assert "President" not in made


@pytest.mark.parametrize(
    ("author", "sender", "shown"),
    [
        ("Bob <bob@example.org>", b"bounces+reader=example.net@example.org", "bob@example.org"),
        ("bob@EXAMPLE.org", b"sender@example.org", "bob@EXAMPLE.org"),
        ("Bob <bob@elsewhere.example>", b"sender@example.org", "sender@example.org"),
        ("Bob <bob@sub.example.org>", b"sender@example.org", "sender@example.org"),
        ("a@example.org, b@example.org", b"sender@example.org", "sender@example.org"),
        ("=?utf-8?q?bob=40example=2Eorg?= <x@elsewhere.example>", b"sender@example.org", "sender@example.org"),
        ('"Bob, the \\" one" <bob@example.org>', b"sender@example.org", "bob@example.org"),
        ("=?utf-8?q?B=C3=B6b?= <bob@example.org>", b"sender@example.org", "bob@example.org"),
        ("nobody", b"sender@example.org", "sender@example.org"),
    ],
)
def test_who_sent_is_the_author_if_he_is_ours(store: Path, author: str, sender: bytes, shown: str) -> None:
    """The From address, if its domain is ours and the envelope's; a return path may tell the recipient's address."""
    data = MIXED.replace(b"From: Sender <sender@example.org>", f"From: {author}".encode())
    assert data != MIXED or author in MIXED.decode()
    settings = support.link_everything(store, policy={"own_domains": ["example.org", ".example.org"]})
    support.process(data, settings, support.ENVELOPE.replace(sender=sender))
    made = stored_page(store)
    assert f"<dd><bdi>{shown}</bdi></dd>" in made
    assert "reader" not in made


def test_the_first_download_brings_the_page_for_what_is_not_there(store: Path) -> None:
    """It is there before anybody can ask for it, readable by the web server, and is left alone after."""
    settings = support.link_everything(store)
    support.process(MIXED, settings)
    path = store / "downloads" / "expired.html"
    assert path.read_bytes() == texts.expired_page(settings)
    assert support.mode(path) == 0o644
    path.write_bytes(b"mine")
    support.process(MIXED, settings)
    assert path.read_bytes() == b"mine"


def test_the_page_for_what_is_not_there_is_written_where_it_differs(store: Path) -> None:
    """An unchanged page keeps its file."""
    place = LocalStore(str(store), BASE_URL)
    path = store / "downloads" / "expired.html"
    assert place.put_expired_page(lambda: b"1", anew=True)
    before = path.stat().st_ino
    assert not place.put_expired_page(lambda: b"1", anew=True)
    assert path.stat().st_ino == before
    assert place.put_expired_page(lambda: b"2", anew=True)
    assert path.read_bytes() == b"2"


def test_clean_up_leaves_the_page_for_what_is_not_there(gateway: Gateway) -> None:
    """`pfilter expire` writes it, in the language configured, and again when the configuration changed."""
    path = gateway.store / "downloads" / "expired.html"
    for language, word in (("de", "herunterzuladen"), ("fr", "télécharger")):
        gateway.configure(notice=f'language = "{language}"')
        ended = pfilter("expire", "--config", str(gateway.config))
        assert ended.returncode == 0, ended
        assert word in path.read_text(encoding="utf-8")
    ended = pfilter("expire", "--config", str(gateway.config))
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_clean_up_removes_what_a_crash_left_beside_it(gateway: Gateway) -> None:
    """A page that was being written when the machine stopped."""
    left = gateway.store / "downloads" / ".tmp-1-x"
    left.parent.mkdir()
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    assert pfilter("expire", "--config", str(gateway.config)).returncode == 0
    assert [path.name for path in left.parent.iterdir()] == ["expired.html"]


def test_the_page_for_what_is_not_there_tells_nothing() -> None:
    """It is one page for what expired, was taken down, or never was; it says whom to ask."""
    found = Tags(texts.expired_page(support.policy(notice=HOUSE)).decode("utf-8"))
    assert "ask the person who sent it" in found.text
    assert found.links == ["mailto:it@example.org"]
    assert found.tags.count("h1") == 1


def test_all_at_once_is_offered_where_it_can_be_had() -> None:
    """Of several files, if `pfilter serve` is said to answer; its button stands out then, the others are outlined."""
    links = [
        Tags(texts.page(download(*names), "a@b", support.policy(serve={"archive": archive})).decode()).links
        for names, archive in ((("a", "b"), True), (("a", "b"), False), (("a",), True))
    ]
    assert links == [["files.zip", "files/0", "files/1"], ["files/0", "files/1"], ["files/0"]]


# --- After the date


def ended(reason: str, *names: str, sender: str = "ann@example.org", **about: str) -> Tags:
    """Return the page that stays of files of these names."""
    made = stores.record(sender=sender, files=dict.fromkeys(names or ("secret.pdf",), b"1")).replace(**about)
    settings = support.policy(notice={**HOUSE, "languages": {"example.fr": "fr"}})
    page = texts.tombstone(made.at_end(NOW, reason), settings).decode("utf-8")
    assert "secret" not in page
    assert ID not in page
    return Tags(page)


def test_in_the_grace_there_is_no_date() -> None:
    """A date that is over would say that there is nothing to be had."""
    settings = support.policy()
    found = Tags(texts.page(download("a"), "a@b", settings, now=NOW).decode("utf-8"))
    assert "a little longer" in found.text
    assert "2027" not in found.text
    assert "a little longer" not in Tags(texts.page(download("a"), "a@b", settings, now=NOW - 1).decode()).text


def test_what_has_expired_says_until_when_and_whom_to_ask() -> None:
    """The sender can be asked with a click, in a mail whose subject says what about."""
    found = ended("expired", "secret.a", "secret.b")
    assert "These files were available until Friday, 15 January 2027." in found.text
    assert "Ask ann@example.org to send them again." in found.text
    assert found.links == [
        "mailto:ann@example.org?subject=Please%20send%20the%20files%20again",
        "mailto:it@example.org",
    ]
    assert "This file was available until" in ended("expired").text
    subject = ended("expired", subject="Plans & costs").links[0]
    assert subject == "mailto:ann@example.org?subject=Please%20send%20again%3A%20Plans%20%26%20costs"
    assert "Ask bob@example.org to" in ended("expired", author="bob@example.org").text


def test_an_address_that_a_link_would_break_is_a_text() -> None:
    """Whatever could be more than an address in a mailto is shown and no more."""
    for sender in ("a?bcc=x@example.org", "a b@example.org", HOSTILE + "@example.org", "a%40b@example.org", "root"):
        found = ended("expired", sender=sender)
        assert found.links == ["mailto:it@example.org"]
        assert sender in found.text
    assert "Ask" not in ended("expired", sender="").text


def test_what_was_taken_back_says_so() -> None:
    """By its sender, where that is so; else nothing but that it is gone, and nobody is asked to send it again."""
    found = ended("withdrawn")
    assert "This file was taken back by the sender" in found.text
    assert "available until" not in found.text
    neutral = ended("removed", subject="x")
    assert "This file is no longer available" in neutral.text
    for word in ("ann@", "sender", "virus", "again", "2027", "Subject"):
        assert word not in neutral.text


def test_what_has_ended_speaks_the_language_it_had() -> None:
    """A download of French words answers in French when it has ended, too."""
    text = ended("expired", "secret.a", "secret.b", sender="a@example.fr").text
    assert "Ces fichiers étaient disponibles jusqu'au vendredi 15 janvier 2027." in text
    assert "Demandez à a@example.fr de les renvoyer." in text


# --- Colours


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb or #rgb (WCAG 2.2)."""
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", ["page.html", "expired.html"])
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_of_pages_have_contrast(name: str, scheme: int) -> None:
    """Text has 4.5 against what it stands on, what is drawn has 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / name).read_text(encoding="utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", blocks[scheme]))
    pairs = [(text, ground) for text in ("text", "quiet", "action") for ground in ("ground", "card")]
    pairs += [("on-action", "action"), ("on-action", "hover")] if "hover" in colours else []
    found = {(one, other): contrast(colours[one], colours[other]) for one, other in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    assert "icon" not in colours or contrast(colours["quiet"], colours["icon"]) >= 3


@pytest.mark.parametrize("name", ["notice.html", "stripped.html"])
def test_colours_of_notices_have_contrast(name: str) -> None:
    """The box and its button have their own grounds and colours for all on them, whatever the mail around has."""
    source = re.sub(r"<!--.*?-->", "", (TEMPLATES / name).read_text(encoding="utf-8"))
    grounds = set(re.findall(r'(?:bgcolor="|background-color:)(#\w{6})', source))
    assert grounds <= {"#f3f5f8", "#0a4f9e"}
    colours = set(re.findall(r"[\";]color:(#\w{6})", source))
    assert {c for c in colours if contrast(c, "#0a4f9e" if c == "#ffffff" else "#f3f5f8") < 4.5} == set()
    assert [tag for tag in re.findall(r"<(?:td|a) [^>]*>", source) if not re.search(r'[";]color:', tag)] == []
    assert [tag for tag in re.findall(r"<td [^>]*>", source) if "font:" not in tag] == []


def test_the_notice_is_small() -> None:
    """Mail gets smaller by it, not larger."""
    assert len(texts.for_links(download("a.pdf"), "a@b", support.policy(notice=HOUSE)).html) < 3000


@pytest.mark.parametrize("key", ["templates", "locale"])
def test_check_finds_a_folder_that_is_not_there(gateway: Gateway, key: str) -> None:
    """A slip of the pen in a path would otherwise be the built-in words."""
    gateway.configure(notice=f'{key} = "/nonexistent"')
    assert f"[notice] {key} = /nonexistent: no such directory" in pfilter(
        "check", "--config", str(gateway.config)
    ).stdout.decode("utf-8")
