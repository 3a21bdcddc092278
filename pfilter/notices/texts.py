"""What readers are told: templates in Jinja2's language (minijinja) to text and HTML, in the language of the sender.

Built-in templates lie in `pfilter/templates`; a file of the same name in `[notice] templates` replaces one. Their
variables are in pfilter.toml(5). Sentences are `_("...")` and `ngettext("...", "...", number)`, as pybabel extracts
them, with placeholders such as %(date)s. HTML is autoescaped, values in sentences too; in text, controls are taken out
of every value, and sentences are wrapped, but never within a value.
"""

import os

from pfilter.base import filetypes
from pfilter.base.catalogue import Language
from pfilter.base.errors import ConfigError
from pfilter.base.frozen import Frozen
from pfilter.base.text import ISO, printable, utc
from pfilter.config.settings import Settings
from pfilter.message import header
from pfilter.message.filenames import header_texts
from pfilter.message.model import Download, Message
from pfilter.notices import language

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BUILT_IN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates")
NAMES = (
    "notice.txt", "notice.html", "stripped.txt", "stripped.html", "notification.txt", "summary.txt", "page.html",
    "expired.html",
)  # fmt: skip
WIDTH = 76  # columns of a sentence in text
SUBJECT_LIMIT = 200  # characters of a message's subject that are shown


class Notice(Frozen):
    """One notice in both forms."""

    text: str
    html: str


class Letter(Frozen):
    """A mail to the sender."""

    subject: str
    text: str


def for_links(download: Download, sender: str, settings: Settings) -> Notice:
    """Return the notice about files that became links. Raises ConfigError for what can't be used."""
    return _both("notice", lambda html, words: _download(download, html, words), sender, settings)


def for_stripped(names: "Sequence[str]", reference: str, settings: Settings) -> Notice:
    """Return the notice about files taken off mail without a sender. Raises ConfigError as above."""
    values = {"files": [{"name": _plain(name)} for name in names], "reference": _plain(reference)}
    return _both("stripped", lambda html, words: values, "", settings)


def notification(download: Download, sender: str, subject: str, settings: Settings) -> Letter:
    """Return the mail to the sender. Raises ConfigError as above."""
    words = language.of(sender, settings)
    values = {**_download(download, False, words), "subject": _plain(subject)}
    return Letter(
        subject=words.gettext("Your attachments have been replaced with links"),
        text=_render("notification.txt", values, words, settings),
    )


def summary(downloads: "Sequence[tuple[str, Download]]", sender: str, settings: Settings) -> Letter:
    """Return one mail to the sender about several messages, given as subjects and downloads. Raises ConfigError."""
    words = language.of(sender, settings)
    messages = [{**_download(download, False, words), "subject": _plain(subject)} for subject, download in downloads]
    return Letter(
        subject=words.gettext("Your attachments have been replaced with links"),
        text=_render("summary.txt", {"messages": messages}, words, settings),
    )


def page(download: Download, sender: str, settings: Settings, subject: str = "") -> bytes:
    """Return the page that a recipient lands on, in UTF-8; `subject` is shown if there is one. Raises ConfigError."""
    words = language.of(sender, settings)
    values = {**_download(download, True, words), "sender": _plain(sender), "subject": _plain(subject)}
    return _render("page.html", values, words, settings).encode("utf-8")


def expired_page(settings: Settings) -> bytes:
    """Return the one page for what has expired, was taken down, or never existed, in UTF-8. Raises ConfigError."""
    return _render("expired.html", {}, language.of("", settings), settings).encode("utf-8")


def subject_of(message: Message) -> str:
    """Return the subject of a message as people read it, "" where there is none."""
    field = b"".join(b"Subject:" + value for value in message.values(b"subject")[:1])
    if b"=?" not in field and field.isascii():
        return header.unfold(field.partition(b":")[2]).decode("ascii")[:SUBJECT_LIMIT]
    return header_texts(field)["subject"][:SUBJECT_LIMIT]


def check(settings: Settings) -> None:
    """Render every template in every language, with sample values. Raises ConfigError for what can't be used."""
    from pfilter.message.model import Link

    link = Link(name="a.bin", size=1, sha256="0" * 64, url="https://files.example/d/x/files/a.bin")
    for name in settings.languages:
        spoken = settings.replace(notice_language=name, notice_languages=())
        for links in ((link,), (link, link)):
            sample = Download(id="x", url="https://files.example/d/x/", links=links, until=0)
            names = [one.name for one in links]
            for_links(sample, "", spoken)
            for_stripped(names, "1", spoken)
            notification(sample, "", "subject", spoken)
            summary([("subject", sample), ("", sample)], "", spoken)
            page(sample, "sender@example.org", spoken, "subject")
        expired_page(spoken)


def _both(
    name: str, values: "Callable[[bool, Language], Mapping[str, object]]", sender: str, settings: Settings
) -> Notice:
    words = language.of(sender, settings)
    return Notice(
        text=_render(f"{name}.txt", values(False, words), words, settings),
        html=_render(f"{name}.html", values(True, words), words, settings),
    )


def _download(download: Download, html: bool, words: Language) -> "dict[str, object]":
    files = [
        {
            "name": _plain(link.name),
            "size": words.size(link.size),
            "url": _url(link.url, html),
            "path": _url(link.url.removeprefix(download.url), html),
            "kind": filetypes.kind(link.name),
            "sha256": link.sha256,
        }
        for link in download.links
    ]
    until = {"until": words.date(download.until), "until_iso": utc(download.until, ISO)}
    return {"files": files, "url": _url(download.url, html), **until}


def _url(url: str, html: bool) -> str:
    """Return a URL for a template.

    They are made of a checked base_url and percent-encoded names. Escaping would write each slash as &#x2f;, which
    browsers read, but not every program that looks for links in mail.
    """
    from minijinja import safe

    return safe(url.replace("&", "&amp;").replace('"', "%22").replace("<", "%3C") if html else url)


def _house(settings: Settings) -> "dict[str, object]":
    """Return what every template can say about those who run the mail server."""
    contact = _plain(settings.notice_contact)
    host = settings.store_base_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return {
        "organisation": _plain(settings.notice_organisation),
        "host": host.partition(":")[0] if not host.startswith("[") else host,
        "contact": contact,
        "contact_url": _url(_contact_url(contact), html=True),
    }


def _contact_url(contact: str) -> str:
    """Return where a click on the contact leads: an address, a page, a telephone; "" for anything else."""
    if contact.startswith(("https://", "http://", "mailto:")):
        return contact
    local, at, domain = contact.rpartition("@")
    if local and at and "." in domain and not set(contact) & set(' <>",;:()?&%'):
        return f"mailto:{contact}"
    digits = "".join(c for c in contact if c not in " ()-/.")
    return f"tel:{digits}" if digits.removeprefix("+").isdecimal() and digits.isascii() and len(digits) > 5 else ""


def _render(name: str, values: "Mapping[str, object]", words: Language, settings: Settings) -> str:
    from minijinja import Environment, TemplateError

    told = {"language": words.tag, "direction": words.direction, **_house(settings), **values}
    try:
        source = _source(name, settings.notice_templates)
        environment = Environment(templates={name: source}, keep_trailing_newline=True)
        return environment.render_template(name, **_phrases(words, html=name.endswith(".html")), **told)
    except (TemplateError, OSError, UnicodeDecodeError) as error:
        where = settings.notice_templates or BUILT_IN
        raise ConfigError(f"template {os.path.join(where, name)}: {str(error).partition(chr(10))[0]}") from error


def _phrases(words: Language, *, html: bool) -> "dict[str, Callable[..., str]]":
    """Return the functions with which templates speak; as Jinja2's own, `num` is the number of ngettext."""
    said = _said_in_html if html else _said_in_text

    def gettext(text: str, **values: object) -> str:
        return said(words, words.gettext(text), values)

    def ngettext(one: str, many: str, num: int, **values: object) -> str:
        return said(words, words.ngettext(one, many, num), {"num": num, **values})

    return {"_": gettext, "ngettext": ngettext}


def _said_in_html(words: Language, text: str, values: "dict[str, object]") -> str:
    from minijinja import escape, safe

    # Of the catalogue only what HTML would misread, so that an apostrophe stays one.
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, reference)
    return safe(words.filled(text, {name: escape(value) for name, value in values.items()}))


def _said_in_text(words: Language, text: str, values: "dict[str, object]") -> str:
    """Wrap a sentence, but break no value: a date, a name."""
    whole = words.filled(text, {name: str(value).replace(" ", "\0") for name, value in values.items()})
    lines: list[str] = []
    for line in whole.split("\n"):
        first, *others = line.split(" ")
        lines.append(first)
        for word in others:
            if len(lines[-1]) + 1 + len(word) > WIDTH:
                lines.append(word)
            else:
                lines[-1] += f" {word}"
    return "\n".join(lines).replace("\0", " ")


def _source(name: str, folder: str) -> str:
    if folder:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            pass  # not every template need be replaced
    with open(os.path.join(BUILT_IN, name), encoding="utf-8") as stream:
        return stream.read()


def _plain(value: str) -> str:
    """Return a value in one line, without controls."""
    return printable(value)
