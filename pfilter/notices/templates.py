"""Templates in Jinja2's language (minijinja), built in or the administrator's, with what each can say.

Built-in templates lie in `pfilter/templates`; a file of the same name in `[notice] templates` replaces one. Their
variables are in pfilter.toml(5). Sentences are `_("...")` and `ngettext("...", "...", number)`, as pybabel extracts
them, with placeholders such as %(date)s. HTML is autoescaped, values in sentences too; in text, controls are taken out
of every value, and sentences are wrapped, but never within a value.
"""

import os

from pfilter.base.catalogue import Language
from pfilter.base.errors import ConfigError
from pfilter.base.text import printable
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BUILT_IN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "templates")
NAMES = (
    "notice.txt", "notice.html", "stripped.txt", "stripped.html", "notification.txt", "summary.txt", "quarantined.txt",
    "page.html", "expired.html",
)  # fmt: skip
WIDTH = 76  # columns of a sentence in text


def render(name: str, values: "Mapping[str, object]", words: Language, settings: Settings) -> str:
    """Return a template with its values, in a language. Raises ConfigError for what can't be used."""
    from minijinja import Environment

    told = {"language": words.tag, "direction": words.direction, **_house(settings), **values}
    try:
        source = _source(name, settings.notice_templates)
        environment = Environment(templates={name: source}, keep_trailing_newline=True)
        return environment.render_template(name, **_phrases(words, html=name.endswith(".html")), **told)
    except Exception as error:  # whatever a template makes of what it is given
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


def url(address: str, html: bool) -> str:
    """Return a URL for a template.

    They are made of a checked base_url and percent-encoded names. Escaping would write each slash as &#x2f;, which
    browsers read, but not every program that looks for links in mail.
    """
    from minijinja import safe

    return safe(address.replace("&", "&amp;").replace('"', "%22").replace("<", "%3C") if html else address)


def mailbox(text: str) -> bool:
    """Whether this is an address that can stand in a mailto as it is."""
    local, at, domain = text.rpartition("@")
    return bool(local and at and "." in domain and text.isprintable() and not set(text) & set(' <>",;:()?&%#\\[]/'))


def _house(settings: Settings) -> "dict[str, object]":
    """Return what every template can say about those who run the mail server."""
    contact = printable(settings.notice_contact)
    host = settings.store_base_url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return {
        "organisation": printable(settings.notice_organisation),
        "host": host.partition(":")[0] if not host.startswith("[") else host,
        "contact": contact,
        "contact_url": url(_contact_url(contact), html=True),
    }


def _contact_url(contact: str) -> str:
    """Return where a click on the contact leads: an address, a page, a telephone; "" for anything else."""
    if contact.startswith(("https://", "http://", "mailto:")):
        return contact
    if mailbox(contact):
        return f"mailto:{contact}"
    digits = "".join(c for c in contact if c not in " ()-/.")
    return f"tel:{digits}" if digits.removeprefix("+").isdecimal() and digits.isascii() and len(digits) > 5 else ""
